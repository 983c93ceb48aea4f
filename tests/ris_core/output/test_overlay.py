"""Painting a mask: what is filled, what is outlined, and what stays as it was."""

import numpy as np
import pytest

from ris_core.output.overlay import HALO_RGB, paint_mask

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


def test_a_halo_surrounds_the_outline(canvas: np.ndarray, ring: np.ndarray):
    paint_mask(canvas, ring, RED, outline_px=2, halo_px=6)
    column = canvas[:20, 12]
    red, white = ((column == rgb).all(-1).nonzero()[0] for rgb in (RED, HALO_RGB))
    assert white.min() < red.min() <= 8 <= red.max() < white.max()


def test_nothing_is_painted_without_fill_and_outline(canvas: np.ndarray, ring: np.ndarray):
    paint_mask(canvas, ring, RED)
    assert (canvas == GREY).all()


def test_an_empty_mask_paints_nothing(canvas: np.ndarray):
    paint_mask(canvas, np.zeros((40, 50), bool), RED, opacity=0.5, outline_px=2, halo_px=4)
    assert (canvas == GREY).all()
