"""Encoded image files to upright RGB pixels; whatever is wrong with a file is said before its pixels are decoded."""

import hashlib
import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image as Pil
from PIL import ImageOps, UnidentifiedImageError

from ris_core.errors import BadImage

MAX_PIXELS = 50_000_000
"""Largest image that is decoded, width x height; 150 MB as RGB."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Decoders that are tried."""
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I", "F")


def decode(source: str | Path | bytes | BinaryIO, max_pixels: int = MAX_PIXELS) -> tuple[UInt8[ndarray, "h w 3"], str]:
    """Upright RGB pixels of an encoded image, and the sha256 of the encoded bytes.

    The first frame of an animation is taken, transparency is laid over white, 16-bit grey is scaled to 8 bits, CMYK and
    palettes become RGB, and the EXIF orientation is applied.

    Raises:
        BadImage: If the bytes are no image, are damaged or cut short, or have more than `max_pixels`.
    """
    name, data = _read(source)
    if not data:
        raise BadImage(f"{name} is empty (0 bytes).", f"Give an image file: {', '.join(FORMATS)}.")
    try:
        image = Pil.open(io.BytesIO(data), formats=FORMATS)
    except Pil.DecompressionBombError as error:
        raise BadImage(
            f"{name} is far too large ({error}).", f"The limit is {max_pixels / 1e6:g} megapixels. Scale it down first."
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise BadImage(
            f"{name} is not an image that can be read ({_reason(error)}).", f"Give one of {', '.join(FORMATS)}."
        ) from error
    if image.width * image.height > max_pixels:
        raise BadImage(
            f"{name} has {image.width} x {image.height} = {image.width * image.height / 1e6:.1f} megapixels; "
            f"the limit is {max_pixels / 1e6:g}.",
            "Scale it down first.",
        )
    try:
        image.load()
        pixels = np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
        raise BadImage(f"{name} is damaged or cut short ({_reason(error)}).", "Save or download it again.") from error
    return pixels, hashlib.sha256(data).hexdigest()


def _read(source: str | Path | bytes | BinaryIO) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "The image", source
    if isinstance(source, str | Path):
        try:
            return str(source), Path(source).read_bytes()
        except OSError as error:
            raise BadImage(f"{source} cannot be opened ({error.strerror}).", "Check the path.") from error
    return "The image", source.read()


def _to_rgb(image: Pil.Image) -> Pil.Image:
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image, np.float64)
        top = 65535 if values.max(initial=0) > 255 else 255
        image = Pil.fromarray(np.clip(values * (255 / top), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Pil.alpha_composite(Pil.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    return (
        str(error).split(" <_io")[0].replace("cannot identify image file", "no known image format").strip()
        or type(error).__name__
    )
