"""A prediction drawn over its image, for a person to judge."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from ris_core.types import Image, Prediction

ANSWER_RGB = (255, 77, 79)
OTHER_RGB = (24, 144, 255)
FILL = 0.5
"""Opacity of the answer."""


def draw(image: Image, prediction: Prediction) -> Pil.Image:
    """The answer filled, the other candidates outlined with their ranks, a line of text below."""
    pixels = image.pixels.astype(np.float32)
    answer = prediction.answer
    pixels[answer] = pixels[answer] * (1 - FILL) + np.array(ANSWER_RGB, np.float32) * FILL
    canvas = pixels.astype(np.uint8)
    thickness = max(1, round(min(image.size_hw) / 200))
    for rank in reversed(range(len(prediction.masks))):
        colour = ANSWER_RGB if rank in prediction.selected else OTHER_RGB
        _outline(canvas, prediction.masks[rank], colour, thickness if rank in prediction.selected else 1)
    return _with_caption(Pil.fromarray(canvas), prediction)


def _outline(
    canvas: UInt8[ndarray, "h w 3"], mask: Bool[ndarray, "h w"], colour: tuple[int, int, int], px: int
) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, colour, px)


def _with_caption(image: Pil.Image, prediction: Prediction) -> Pil.Image:
    size_px = max(11, image.width // 32)
    font = ImageFont.load_default(size_px)
    drawing = ImageDraw.Draw(image)
    for rank in reversed(range(len(prediction.masks))):
        x, y, _, _ = (float(side) for side in prediction.boxes_xywh[rank])
        colour = ANSWER_RGB if rank in prediction.selected else OTHER_RGB
        drawing.text(
            (x + 2, y + 1),
            f"#{rank + 1} ({prediction.scores[rank]:.2f})",
            colour,
            font,
            stroke_width=2,
            stroke_fill="white",
        )
    lines = [f"{prediction.expression.raw} - {prediction.decision}", prediction.model_version]
    framed = Pil.new("RGB", (image.width, image.height + 2 * size_px + 14), "white")
    framed.paste(image)
    caption = ImageDraw.Draw(framed)
    for i, (line, colour_name) in enumerate(zip(lines, ("black", "gray"), strict=True)):
        caption.text((5, image.height + 4 + i * (size_px + 2)), line, colour_name, font)
    return framed
