"""Pictures without meaning, and masks to go with them."""

import numpy as np

from ris_core.types import Image, Proposals


def noise(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def rectangles(height: int, width: int, *boxes_xyxy: tuple[int, int, int, int]) -> Proposals:
    stack = np.zeros((len(boxes_xyxy), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(stack, boxes_xyxy, strict=True):
        mask[y1:y2, x1:x2] = True
    return Proposals.from_masks(stack)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())
