"""A whole segmenter made small: grid proposals, an encoder of colours, a parser that takes the last word for the head.

Real components of `ris_core`, without weights and torch: "the red square" finds the cell of the grid that is reddest.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ris_core.language.parser import clean_expression
from ris_core.learning.lesson import Lesson
from ris_core.methods._calibration import Calibrator, Logistic
from ris_core.methods.global_local import GlobalLocalMethod as GlobalLocal
from ris_core.methods.guided import UNFITTED, GuidedMethod
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import Expression, Image, Proposals

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}
GREY = 127.5


class GridProposer:
    """Proposes the cells of a grid.

    Args:
        cells: Cells in each direction; 0 proposes nothing.
    """

    def __init__(self, cells: int = 2) -> None:
        self.cells = cells
        self.fingerprint = {"proposer": "grid", "cells": cells}

    def propose(self, image: Image) -> Proposals:
        height, width = image.size_hw
        rows = np.arange(height) * self.cells // height
        columns = np.arange(width) * self.cells // width
        cell = rows[:, None] * self.cells + columns[None]
        masks = [cell == i for i in range(self.cells**2) if (cell == i).any()]
        return Proposals.from_masks(np.stack(masks) if masks else np.zeros((0, height, width), bool))


class ColourEncoder:
    """Regions and texts as mean colours around grey."""

    fingerprint = {"encoder": "colour"}  # noqa: RUF012  (a component's attribute)
    logit_scale, logit_bias = 20.0, 0.0

    def encode(self, image: Image, proposals: Proposals) -> dict[str, np.ndarray]:
        means = [image.pixels[mask].mean(0) - GREY for mask in proposals.masks]
        features = np.array(means, np.float32).reshape(-1, 3)
        return {"global": features, "local": features.copy()}

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self._encode(text) for text in texts], np.float32)

    def _encode(self, text: str) -> np.ndarray:
        named = [np.array(COLOURS[word]) - GREY for word in text.split() if word in COLOURS]
        return np.mean(named, 0) if named else np.full(3, 1.0)


class LastWordParser:
    """Reads every expression as one noun phrase whose head is its last word."""

    fingerprint = "last-word"
    quirks: frozenset[str] = frozenset()

    def parse(self, text: str) -> Expression:
        cleaned = clean_expression(text).lower()
        head = cleaned.split()[-1]
        return Expression(text, cleaned, cleaned, head, (), position="none", relation="none", is_whole=False)


def toy_segmenter(cells: int = 2, encoder: ColourEncoder | None = None) -> Segmenter:
    """A segmenter for images like `toy_image`; answers in milliseconds."""
    return Segmenter(
        profile="toy",
        method_name="global_local",
        proposer=GridProposer(cells),
        encoder=encoder or ColourEncoder(),
        method=GlobalLocal(visual_mix=0.5, text_mix=0.5),
        parser=LastWordParser(),
        version_prefix="toy",
    )


def toy_pixels(height: int = 40, width: int = 60) -> np.ndarray:
    """Red, green / blue, yellow: one colour a quarter."""
    pixels = np.zeros((height, width, 3), np.uint8)
    middle_y, middle_x = height // 2, width // 2
    pixels[:middle_y, :middle_x] = COLOURS["red"]
    pixels[:middle_y, middle_x:] = COLOURS["green"]
    pixels[middle_y:, :middle_x] = COLOURS["blue"]
    pixels[middle_y:, middle_x:] = COLOURS["yellow"]
    return pixels


def toy_png(height: int = 40, width: int = 60) -> bytes:
    """`toy_pixels` as the bytes of a PNG file."""
    return cv2.imencode(".png", toy_pixels(height, width)[..., ::-1])[1].tobytes()


def guided_toy(encoder: ColourEncoder | None = None) -> Segmenter:
    """A toy segmenter whose method can learn a calibrator; it has none."""
    return replace(toy_segmenter(encoder=encoder), method_name="guided", method=GuidedMethod())


def toy_lesson(no_match_below: float = 0.0, **thresholds: float) -> Lesson:
    """What could have been learnt for `guided_toy`; with a threshold above 1 nothing ever matches."""
    answer = Logistic({"look": 1.0, "clauses": 1.0, "margin": 1.0}, bias=1.0)
    return Lesson(guided_toy().model_version, Calibrator(UNFITTED, answer, no_match_below), thresholds)
