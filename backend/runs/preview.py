"""A look before a run: what its first tasks give, as a picture, and what all of them will take."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil
from PIL import ImageDraw

from backend.base.fonts import load_font
from backend.db.records import Answer
from backend.label_studio.label_config import Control
from backend.runs.answers import make_candidate_predictions, make_regions
from backend.runs.item import RunItem
from backend.runs.summary import show_span
from ris_core.geometry import masks
from ris_core.output.overlay import Rgb, paint_mask
from ris_core.output.plain_text import one_line
from ris_core.types import Image

TILE_PX = 320
"""Side of one picture of the sheet."""
CAPTION_PX, FONT_PX, LINES = 40, 13, 2
LONGEST_CAPTION = 48
"""Characters of one line."""
FILL, OUTLINE_PX, FRAME_PX = 0.35, 2, 5
NOTHING_RGB, UNSURE_RGB = (215, 38, 30), (240, 160, 0)
COLOURS = ((230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240))


@dataclass(frozen=True)
class RunEstimate:
    """What a whole run will take.

    Attributes:
        tasks: How many there are.
        seconds: At the rate of those that are answered.
        studio_bytes: What Label Studio is sent, and keeps.
        cache_bytes: What the feature cache would hold if it held all.
    """

    tasks: int
    seconds: float
    studio_bytes: int
    cache_bytes: int

    def to_text(self) -> str:
        """In one line."""
        return (
            f"{self.tasks} tasks: about {show_span(self.seconds)}, {show_bytes(self.studio_bytes)} for Label Studio, "
            f"{show_bytes(self.cache_bytes)} of feature cache"
        )


def estimate(
    items: Sequence[RunItem],
    seconds: float,
    tasks: int,
    control: Control,
    bytes_of_an_image: float,
    top_k: int = 1,
) -> RunEstimate:
    """Extrapolate from some items to all.

    Args:
        items: Those that are answered; at least one.
        seconds: Between two of them on average, with all workers.
        top_k: How many candidates are written.
    """
    sizes = [
        len(str([make_regions(item, control), make_candidate_predictions(item, control, "", top_k)])) for item in items
    ]
    return RunEstimate(
        tasks=tasks,
        seconds=seconds * tasks,
        studio_bytes=round(sum(sizes) / len(sizes) * tasks),
        cache_bytes=round(bytes_of_an_image * tasks),
    )


def draw(items: Sequence[RunItem], open_image: Callable[[RunItem], Image]) -> UInt8[ndarray, "h w 3"]:
    """A sheet of the items' images with what was found in them, RGB: a colour for each query, named below.

    A tile of which a query found nothing, or is unsure, is framed and says so.
    """
    tiles = [_draw_tile(item, open_image(item)) for item in items]
    columns = math.ceil(math.sqrt(len(tiles)))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def show_bytes(number: float) -> str:
    """Bytes in a unit that can be read."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _draw_tile(item: RunItem, image: Image) -> UInt8[ndarray, "h w 3"]:
    height, width = image.size_hw
    scale = TILE_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
    for number, answer in enumerate(item.answers):
        colour = COLOURS[number % len(COLOURS)]
        for i in answer.selected:
            mask = masks.from_rle(answer.candidates[i]["mask"]).astype(np.uint8)
            small = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
            paint_mask(pixels, small > 0, colour, opacity=FILL, outline_px=OUTLINE_PX)
    tile = np.full((TILE_PX + CAPTION_PX, TILE_PX, 3), 255, np.uint8)
    tile[: pixels.shape[0], : pixels.shape[1]] = pixels
    return _with_caption(tile, item)


def _with_caption(tile: UInt8[ndarray, "h w 3"], item: RunItem) -> UInt8[ndarray, "h w 3"]:
    """The task, and of its first queries the expression and the best score."""
    canvas = Pil.fromarray(tile)
    drawing = ImageDraw.Draw(canvas)
    for number, answer in enumerate(item.answers[:LINES]):
        scores = [answer.candidates[i]["score"] for i in answer.selected]
        score = f"{max(scores):.2f}{', unsure' if _is_unsure(answer) else ''}" if scores else "nothing found"
        text = f"{item.task}: {one_line(answer.expression)} ({score})"
        where = (4, TILE_PX + 2 + number * (FONT_PX + 4))
        text = text[:LONGEST_CAPTION]
        drawing.text(where, text, COLOURS[number % len(COLOURS)], load_font(text, FONT_PX))
    if mark := _find_mark(item):
        words, colour = mark
        font = load_font(words, FONT_PX)
        drawing.rectangle((0, 0, TILE_PX - 1, TILE_PX - 1), outline=colour, width=FRAME_PX)
        left, upper, right, lower = drawing.textbbox((2 * FRAME_PX, 2 * FRAME_PX), words, font)
        drawing.rectangle((left - 4, upper - 3, right + 4, lower + 3), fill="black", outline="white")
        drawing.text((2 * FRAME_PX, 2 * FRAME_PX), words, "white", font)
    return np.asarray(canvas)


def _find_mark(item: RunItem) -> tuple[str, Rgb] | None:
    """What a tile says of its worst query, and the colour of its frame; None if all were answered surely."""
    if any(not answer.selected for answer in item.answers):
        return "nothing found", NOTHING_RGB
    if any(_is_unsure(answer) for answer in item.answers):
        return "unsure", UNSURE_RGB
    return None


def _is_unsure(answer: Answer) -> bool:
    return answer.decision == "ambiguous"
