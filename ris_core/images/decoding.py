"""Encoded image files to upright RGB pixels; whatever is wrong with a file is said before its pixels are decoded.

All pictures go through here: what is segmented, exported and shown obeys the same rules.
"""

import hashlib
import io
import logging
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, TiffImagePlugin, UnidentifiedImageError
from PIL import Image as Pil

from ris_core.arrays import Array
from ris_core.errors import BadImage
from ris_core.images import exif, jpeg_tail
from ris_core.images.file_kinds import recognise
from ris_core.images.rgb import to_rgb

log = logging.getLogger(__name__)

MAX_PIXELS = 50_000_000
"""Largest image that is decoded, width x height; 150 MB as RGB."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Decoders that are tried."""
_BROKEN = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    LookupError,
    AttributeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What decoders raise on damaged files."""
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"BM")
"""Of files of these formats; WebP's is in two parts."""
_limit_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A picture, and what its file was.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright.
        sha256: Hex digest of the encoded bytes.
        format: One of `FORMATS`.
        is_as_stored: Other programs see the same things in the same places: nothing had to be turned or mended.
    """

    pixels: UInt8[Array, "h w 3"]
    sha256: str
    format: str
    is_as_stored: bool


def decode(source: str | Path | bytes | BinaryIO, max_pixels: int = MAX_PIXELS) -> tuple[UInt8[Array, "h w 3"], str]:
    """Upright RGB pixels of an encoded image, and the sha256 of the encoded bytes; as of `read`."""
    image = read(source, max_pixels)
    return image.pixels, image.sha256


def read(source: str | Path | bytes | BinaryIO, max_pixels: int = MAX_PIXELS, *, upright: bool = True) -> DecodedImage:
    """Decode a file.

    The first frame of an animation is taken, transparency is laid over white, CMYK and palettes become RGB. Values of more
    than 8 bits that fill a small part of their type are stretched, and the log says so. A JPEG that lacks its end is decoded.

    Args:
        max_pixels: Largest width x height.
        upright: Apply the EXIF orientation.

    Raises:
        BadImage: If the bytes are no image, are damaged or cut short, or have more than `max_pixels`; with its cause.
    """
    name, data = _read(source)
    if not data:
        raise BadImage(f"{name} is empty (0 bytes).", f"Give an image file: {', '.join(FORMATS)}.", cause="empty")
    picture = _load(name, data, max_pixels)
    orientation = picture.orientation if upright else 1

    def read_as(raw_mode: str) -> Pil.Image:
        return _open(name, picture.data, max_pixels).load(max_pixels, raw_mode)

    try:
        pixels, limits = to_rgb(picture.image, picture.raw_mode, read_as)
    except _BROKEN as error:
        raise _damaged(name, error) from error
    if limits and limits.is_stretched:
        log.warning(
            "%s has values from %g to %g, a small part of what their type holds: stretched to black and white",
            name,
            limits.low,
            limits.high,
        )
    if orientation != 1:
        pixels = np.ascontiguousarray(exif.turn(pixels, orientation))
    is_as_stored = orientation == 1 and not picture.is_mended
    return DecodedImage(pixels, hashlib.sha256(data).hexdigest(), picture.format, is_as_stored)


@dataclass
class _Picture:
    """A file that has been opened, and its pixels loaded.

    Attributes:
        data: The encoded bytes, with an end if that had to be added.
        raw_mode: How values stand in the file, in Pillow's words: "RGB;16B".
        orientation: EXIF's, 1 if it has none.
    """

    image: Pil.Image
    data: bytes
    raw_mode: str
    is_mended: bool = False
    orientation: int = 1

    @property
    def format(self) -> str:
        return "JPEG" if self.image.format == "MPO" else str(self.image.format)

    def load(self, max_pixels: int, raw_mode: str | None = None) -> Pil.Image:
        """The image with its pixels, as they are stored; read in another raw mode, if one is given."""
        image: Any = self.image
        if raw_mode:
            image.tile = [_with_raw_mode(tile, raw_mode) for tile in image.tile]
        if self.format != "TIFF":
            image.load()
            return self.image
        # Pillow turns a TIFF as it loads it, writing EXIF anew, and may fail over other tags
        image.getexif = Pil.Exif
        with _pillow_limit(max_pixels):
            image.load()
        image._size = image.im.size
        return self.image


def _read(source: str | Path | bytes | BinaryIO) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        return "The image", source
    if isinstance(source, str | Path):
        try:
            return str(source), Path(source).read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no such name"
            raise BadImage(f"{source} cannot be opened ({reason}).", "Check the path.", cause="missing") from error
    return "The image", source.read()


def _load(name: str, data: bytes, max_pixels: int) -> _Picture:
    picture = _open(name, data, max_pixels)
    try:
        picture.load(max_pixels)
    except _BROKEN as error:
        mended = jpeg_tail.mend(data) if picture.format == "JPEG" else None
        if mended is None:
            raise _damaged(name, error) from error
        log.warning("%s lacks its end; what there is of it is decoded", name)
        picture = _open(name, mended, max_pixels)
        picture.is_mended = True
        picture.load(max_pixels)
    if picture.format != "TIFF" and isinstance(block := picture.image.info.get("exif"), bytes):
        picture.orientation = exif.read_orientation(block)  # now: a PNG may have it at its end
    return picture


def _open(name: str, data: bytes, max_pixels: int) -> _Picture:
    try:
        with _pillow_limit(max_pixels):
            image = Pil.open(io.BytesIO(data), formats=FORMATS)
    except Pil.DecompressionBombError as error:
        raise BadImage(
            f"{name} is far too large ({error}).",
            f"The limit is {max_pixels / 1e6:g} megapixels. Scale it down first.",
            cause="too_large",
        ) from error
    except _BROKEN as error:
        raise _unreadable(name, data, error) from error
    if image.width * image.height > max_pixels:
        raise BadImage(
            f"{name} has {image.width} x {image.height} = {image.width * image.height / 1e6:.1f} megapixels; "
            f"the limit is {max_pixels / 1e6:g}.",
            "Scale it down first.",
            cause="too_large",
        )
    picture = _Picture(image, data, _read_raw_mode(image))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        picture.orientation = _read_tiff_orientation(image)
    return picture


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Pillow's own limit, which all of the process shares, is ours for a moment."""
    with _limit_lock:
        before, Pil.MAX_IMAGE_PIXELS = Pil.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Pil.MAX_IMAGE_PIXELS = before


def _read_raw_mode(image: Pil.Image) -> str:
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return mode if isinstance(mode, str) else ""


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    arguments = tile[3]
    return tile._replace(args=(raw_mode, *arguments[1:]) if isinstance(arguments, tuple) else raw_mode)


def _read_tiff_orientation(image: TiffImagePlugin.TiffImageFile) -> int:
    try:
        orientation = image.tag_v2.get(ExifTags.Base.Orientation)
    except _BROKEN:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _unreadable(name: str, data: bytes, error: Exception) -> BadImage:
    """The error of bytes that no decoder takes, or that one of them finds broken at once."""
    if not isinstance(error, UnidentifiedImageError):
        return _damaged(name, error)
    if data.startswith(_BEGINNINGS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return _damaged(name, ValueError("its header cannot be read"))
    cause, kind = recognise(data)
    if cause == "web_page":
        return BadImage(
            f"{name} is not an image but a web page.",
            "Look at its address: a page that asks for a login may have come in its place, for want of a token.",
            cause=cause,
        )
    what = f"its kind is {kind}" if kind else "no known image format"
    return BadImage(
        f"{name} is not an image that can be read ({what}).",
        f"Give one of {', '.join(FORMATS)}.",
        cause=cause,
        kind=kind,
    )


def _damaged(name: str, error: Exception) -> BadImage:
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return BadImage(f"{name} is damaged or cut short ({reason}).", "Save or download it again.", cause="damaged")
