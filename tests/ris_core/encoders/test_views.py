"""What an image tower is shown."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image as Pil

from ris_core.encoders._views import (
    CLIP_MEAN,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ROUNDTRIP_LIMIT_PX,
    Views,
    _roundtrip_size,
)
from tests.ris_core.checkpoints import PREPROCESSING
from tests.ris_core.pictures import noise, rectangles

SIDE = 32


def views(*quirks: str, **changes: Any) -> Views:
    own = {name: tuple(PREPROCESSING[name]) for name in ("mean", "std")}
    settings = {"size_px": SIDE, "grid": 4, "interpolation": "bicubic", "quirks": frozenset(quirks), **own}
    return Views(**{**settings, **changes})


class TestCutOuts:
    def test_a_cut_out_shows_the_region_and_the_mean_colour_around_it(self):
        image, stack = noise(SIDE, SIDE), np.zeros((1, SIDE, SIDE), bool)
        stack[0, 0], stack[0, :, 0], stack[0, -1, -1] = True, True, True  # its box is the whole image
        [cut_out], whole = views().cut_outs(image.pixels, stack), views().whole(image.pixels)[0]
        inside = torch.from_numpy(stack[0])
        torch.testing.assert_close(cut_out[:, inside], whole[:, inside])
        torch.testing.assert_close(cut_out[:, ~inside], torch.zeros_like(whole[:, ~inside]))

    def test_a_cut_out_is_the_image_of_its_box(self):
        image, stack = noise(60, 80), rectangles(60, 80, (10, 20, 50, 44)).masks
        [cut_out] = views().cut_outs(image.pixels, stack)
        torch.testing.assert_close(cut_out, views().whole(image.pixels[20:44, 10:50])[0])

    def test_context_margin_grows_the_box_within_the_image(self):
        stack = rectangles(60, 80, (10, 20, 50, 44)).masks
        assert views(context_margin=0.5).boxes_xyxy(stack) == [(0, 8, 70, 56)]
        assert views(context_margin=9.0).boxes_xyxy(stack) == [(0, 0, 80, 60)]

    def test_boxes_are_tight_and_hold_at_least_a_pixel(self):
        stack = rectangles(6, 8, (7, 5, 8, 6), (0, 0, 1, 1), (0, 0, 0, 0)).masks
        assert views().boxes_xyxy(stack) == [(7, 5, 8, 6), (0, 0, 1, 1), (0, 0, 1, 1)]

    def test_released_box_lies_around_the_centre_of_mass(self):
        stack = np.zeros((2, 10, 40), bool)
        stack[0, 2:6, 0:4], stack[0, 2:6, 30:34] = True, True  # 8 columns, their mean index 16.5
        stack[1, 0, 0] = True
        assert views("Q-FSBOX").boxes_xyxy(stack) == [(12, 1, 20, 5), (0, 0, 1, 1)]
        assert views().boxes_xyxy(stack)[0] == (0, 2, 34, 6)


class TestFrames:
    IMAGE, STACK = noise(60, 80), rectangles(60, 80, (20, 20, 40, 30)).masks

    def test_a_frame_is_the_box_with_room_around_it(self):
        assert views(frame_margin=0.5).frames_xyxy(self.STACK) == [(10, 15, 50, 35)]
        assert views(frame_margin=9.0).frames_xyxy(self.STACK) == [(0, 0, 80, 60)]

    def test_released_frame_is_the_picture(self):
        assert views("Q-NOCROP", frame_margin=0.5).frames_xyxy(self.STACK) == [(0, 0, 80, 60)]

    def test_around_a_region_the_local_image_is_filled_and_the_global_one_blurred(self):
        pictures = views(frame_margin=0.0)
        whole = np.ones((1, SIDE, SIDE), bool)
        whole[0, 4:9, 4:9] = False
        image, inside = noise(SIDE, SIDE), torch.from_numpy(whole[0])
        [local], [blurred] = pictures.framed(image.pixels, whole), pictures.blurred(image.pixels, whole)
        sharp, soft = (pictures.whole(p)[0] for p in (image.pixels, cv2.GaussianBlur(image.pixels, (15, 15), 2.6)))
        torch.testing.assert_close(local[:, inside], sharp[:, inside])
        torch.testing.assert_close(blurred[:, inside], sharp[:, inside])
        torch.testing.assert_close(local[:, ~inside], torch.zeros_like(sharp[:, ~inside]))
        torch.testing.assert_close(blurred[:, ~inside], soft[:, ~inside])

    def test_the_grid_lies_over_the_frame(self):
        share = views(frame_margin=0.5).framed_grids(self.STACK).reshape(4, 4)
        expected = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
        np.testing.assert_allclose(share.numpy(), expected, atol=1e-6)

    def test_no_masks_have_no_pictures(self):
        nothing = self.STACK[:0]
        assert list(views().framed(self.IMAGE.pixels, nothing)) == []
        assert views().framed_grids(nothing).shape == (0, 16)


class TestGrids:
    def test_small_masks_vanish_only_as_released(self):
        stack = rectangles(64, 64, (17, 17, 19, 19)).masks
        assert views("Q-VANISH").grids(stack).sum() == pytest.approx(0)
        assert views().grids(stack).sum() > 0.01

    @pytest.mark.parametrize("quirks", [(), ("Q-VANISH",)])
    def test_no_patch_is_covered_by_more_than_all_of_it(self, quirks: tuple[str, ...]):
        for grid in (4, 7, 14):
            shown = views(*quirks, grid=grid)
            shares = torch.cat([shown.grids(np.ones((1, side, side + 3), bool)) for side in range(5, 60)])
            assert shares.max() <= 1
            torch.testing.assert_close(shares, torch.ones_like(shares))

    def test_inside_is_what_is_covered_well_or_as_released_what_is_touched(self):
        share = torch.tensor([[0.0, 0.05, 0.1, 0.3], [0.01, 0.0, 0.002, 0.0], [0.0, 0.0, 0.0, 0.0]])
        assert views().inside(share).tolist() == [
            [False, False, True, True],
            [True, False, False, False],
            [False, False, False, False],
        ]
        assert views("Q-NONZERO").inside(share)[0].tolist() == [False, True, True, True]


def test_a_square_of_another_size_keeps_the_models_own_mean():
    """GEM's picture is normalised with CLIP's constants in the released code too."""
    flat = np.full((20, 30, 3), 128, np.uint8)
    found = views("Q-NORM").square(flat, 48)
    assert found.shape == (1, 3, 48, 48)
    mean, std = (np.array(PREPROCESSING[name]) for name in ("mean", "std"))
    np.testing.assert_allclose(found[0, :, 5, 5].numpy(), (128 / 255 - mean) / std, rtol=1e-5)


class TestReleased:
    """Quirks of the pictures, each by itself."""

    def test_normalisation_is_imagenets(self):
        """Q-NORM"""
        flat = np.full((SIDE, SIDE, 3), 128, np.uint8)
        found = views("Q-NORM").whole(flat)[0, :, 5, 5]
        np.testing.assert_allclose(found, (128 / 255 - np.array(IMAGENET_MEAN)) / IMAGENET_STD, rtol=1e-5)

    def test_shrinking_skips_pixels(self):
        """Q-AA: at a third of the size only the middle one of three pixels counts."""
        pixels = noise(3 * SIDE, 3 * SIDE).pixels
        torch.testing.assert_close(views("Q-AA").whole(pixels), views().whole(np.ascontiguousarray(pixels[1::3, 1::3])))
        assert (views().whole(pixels) - views("Q-AA").whole(pixels)).abs().max() > 0.1

    def test_around_a_region_is_a_warm_grey(self):
        """Q-FILL: a mean colour that is taken for a normalised value, ImageNet's in cut-outs, CLIP's in frames."""
        stack = rectangles(SIDE, SIDE, (0, 0, 4, 4), (0, 0, SIDE, SIDE)).masks
        stack[1, 10:, 10:] = False
        for made, grey in (("cut_outs", IMAGENET_MEAN), ("framed", CLIP_MEAN)):
            for quirks, fill in (((), (0, 0, 0)), (("Q-FILL",), grey)):
                _, found = getattr(views(*quirks), made)(noise(SIDE, SIDE).pixels, stack)
                np.testing.assert_allclose(found[:, 20, 20], fill, rtol=1e-6)


class TestRoundtrip:
    """Quirk Q-ROUNDTRIP: the image is viewed scaled to a short side of 800 px."""

    @pytest.mark.parametrize("size_hw", [(30, 47), (47, 30), (6, 76), (76, 6), (9, 440)])
    def test_the_long_side_follows_however_thin_the_image(self, size_hw: tuple[int, int]):
        pixels, (height, width) = noise(*size_hw).pixels, size_hw
        long = int(800 * max(size_hw) / min(size_hw))
        copy = Pil.fromarray(pixels).resize((long, 800) if width > height else (800, long), Pil.Resampling.BILINEAR)
        found, expected = views("Q-ROUNDTRIP").whole(pixels), views().whole(np.asarray(copy))
        torch.testing.assert_close(found, expected)

    def test_an_image_that_would_need_much_memory_is_scaled_less(self):
        assert views("Q-ROUNDTRIP").whole(noise(2, 3000).pixels).shape == (1, 3, SIDE, SIDE)
        assert _roundtrip_size(3000, 2) == (ROUNDTRIP_LIMIT_PX, 26)
