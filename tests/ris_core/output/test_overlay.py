"""Painting a mask: what is filled, what is outlined, and what stays as it was."""

import numpy as np
import pytest

from ris_core.output.overlay import ANSWER_RGB, OTHER_RGB, paint_mask

RED = (200, 0, 0)
GREY = 100


@pytest.fixture
def canvas() -> np.ndarray:
    return np.full((40, 50, 3), GREY, np.uint8)


@pytest.fixture
def ring() -> np.ndarray:
    """A square with a square hole."""
    mask = np.zeros((40, 50), bool)
    mask[8:32, 8:40] = True
    mask[16:24, 18:30] = False
    return mask


def test_a_fill_mixes_the_colour_with_the_image_inside_the_mask_only(canvas: np.ndarray, ring: np.ndarray):
    paint_mask(canvas, ring, RED, opacity=0.25)
    assert (canvas[ring] == (125, 75, 75)).all()
    assert (canvas[~ring] == GREY).all()


def test_an_outline_follows_the_rim_and_the_hole(canvas: np.ndarray, ring: np.ndarray):
    paint_mask(canvas, ring, RED, outline_px=1)
    is_red = (canvas == RED).all(-1)
    assert is_red[8, 8:40].all()  # the upper rim
    assert is_red[20, 17]  # left of the hole
    assert not is_red[12, 12]
    assert not is_red[20, 24]


def luminance(rgb: np.ndarray) -> np.ndarray:
    """Relative luminance, WCAG 2.2."""
    share = np.asarray(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    lighter, darker = np.maximum(luminance(one), luminance(two)), np.minimum(luminance(one), luminance(two))
    return (lighter + 0.05) / (darker + 0.05)


LEVELS = (0, 85, 170, 255)
BACKGROUNDS = [(red, green, blue) for red in LEVELS for green in LEVELS for blue in LEVELS]


@pytest.mark.parametrize("rgb", [RED, ANSWER_RGB, OTHER_RGB])
@pytest.mark.parametrize("outline_px", [1, 2])
def test_an_outline_is_seen_on_each_of_64_backgrounds(ring: np.ndarray, rgb, outline_px):
    for background in BACKGROUNDS:
        canvas = np.full((40, 50, 3), background, np.uint8)
        paint_mask(canvas, ring, rgb, outline_px=outline_px)
        across = canvas[:16, 12]  # from the outside over the rim to the inside
        seen = contrast(across, np.array(background)) >= 3
        assert seen[:8].any(), background
        assert seen[9:].any(), background


def test_nothing_is_painted_without_fill_and_outline(canvas: np.ndarray, ring: np.ndarray):
    paint_mask(canvas, ring, RED)
    assert (canvas == GREY).all()


def test_an_empty_mask_paints_nothing(canvas: np.ndarray):
    paint_mask(canvas, np.zeros((40, 50), bool), RED, opacity=0.5, outline_px=2)
    assert (canvas == GREY).all()
