"""How a camera was held: the one tag of EXIF that says which side of a picture is up. Read by itself, and never written.

Other tags may be of any type and lead anywhere; a tag that cannot be read means that nothing is turned, as in browsers.
"""

import struct

from ris_core.arrays import Array

_ORIENTATION = 0x0112
_SHORT = 3
"""EXIF's type for it; browsers take no other."""
_UPRIGHT = 1


def read_orientation(exif: bytes) -> int:
    """EXIF's orientation, 1 (upright) to 8; 1 if there is none that can be read.

    Args:
        exif: A block of EXIF, with or without its name before it.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return _UPRIGHT
    try:
        magic, start = struct.unpack_from(f"{order}HI", block, 2)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", block, entry)
            if tag == _ORIENTATION:
                is_readable = (magic, kind, number) == (42, _SHORT, 1) and 1 <= value <= 8
                return int(value) if is_readable else _UPRIGHT
    except struct.error:  # the block ends before
        pass
    return _UPRIGHT


def turn(pixels: Array, orientation: int) -> Array:
    """Pixels (H, W, …) as they are seen, of ones that are stored in an EXIF orientation; a view of them."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
