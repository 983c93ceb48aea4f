"""Masks painted over their image, for a person to judge: one mask, or a whole prediction."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from ris_core.arrays import Array
from ris_core.types import Image, Prediction

Rgb = tuple[int, int, int]
"""A colour; each channel in [0, 255]."""
FontLoader = Callable[[str, int], ImageFont.FreeTypeFont | ImageFont.ImageFont]
"""A font for a text, with a height in pixels."""

ANSWER_RGB: Rgb = (255, 77, 79)
OTHER_RGB: Rgb = (24, 144, 255)
BLACK: Rgb = (0, 0, 0)
WHITE: Rgb = (255, 255, 255)
ANSWER_OPACITY = 0.5


def load_own_font(text: str, size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, which has Latin letters only."""
    return ImageFont.load_default(size_px)


def draw(image: Image, prediction: Prediction, load_font: FontLoader = load_own_font) -> Pil.Image:
    """The image with the answer filled, all candidates outlined with their ranks, and a caption below.

    Args:
        load_font: The font of the caption, which has the expression.
    """
    canvas = image.pixels.copy()
    paint_mask(canvas, prediction.answer, ANSWER_RGB, opacity=ANSWER_OPACITY)
    thickness = max(1, round(min(image.size_hw) / 200))
    for rank in reversed(range(len(prediction.masks))):  # the best candidate last, on top of the others
        is_selected = rank in prediction.selected
        colour = ANSWER_RGB if is_selected else OTHER_RGB
        paint_mask(canvas, prediction.masks[rank], colour, outline_px=thickness if is_selected else 1)
    return _with_caption(Pil.fromarray(canvas), prediction, load_font)


def paint_mask(
    canvas: UInt8[Array, "h w 3"],
    mask: Bool[Array, "h w"],
    rgb: Rgb,
    *,
    opacity: float = 0.0,
    outline_px: int = 0,
) -> None:
    """Paint a mask onto an image, in place.

    Args:
        canvas: uint8 (H, W, 3), RGB, contiguous.
        mask: bool (H, W), of the same size.
        opacity: Of the fill, in [0, 1]; 0 for no fill.
        outline_px: Width of the outline; 0 for none. Holes are outlined too. A white and a black rim go along both of its sides:
            whatever lies under it, one of them stands out with a contrast of 4.58 or more (WCAG 2.2, relative luminance).
    """
    if opacity:
        canvas[mask] = canvas[mask] * (1 - opacity) + np.array(rgb) * opacity
    if outline_px:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for colour, width_px in ((BLACK, outline_px + 4), (WHITE, outline_px + 2), (rgb, outline_px)):
            cv2.drawContours(canvas, contours, -1, colour, width_px)


def _with_caption(image: Pil.Image, prediction: Prediction, load_font: FontLoader) -> Pil.Image:
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
        caption.text((5, image.height + 4 + i * (size_px + 2)), line, colour_name, load_font(line, size_px))
    return framed
