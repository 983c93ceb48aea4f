"""JPEGs that end too soon: browsers show what there is of them; so do we, if hardly anything is missing.

How much is missing is measured, not guessed: the file is decoded twice, with nothing and with noise where its end should be.
From the first block that differs on, the picture is not in the file. A progressive JPEG says everything coarsely before it says
anything in detail, so there it counts which share of the file that is, not of the picture.
"""

import io
import re
import struct

import numpy as np
from PIL import Image as Pil

from ris_core.arrays import Array

MOST_MISSING = 0.1
"""Largest share of a picture, or of a progressive file, that may be missing."""
_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""In coded data, a marker that is neither a stuffed byte nor a restart."""
_SOF, _PROGRESSIVE, _SOS, _EOI = (0xC0, 0xC1, 0xC2), 0xC2, 0xDA, 0xD9
_COEFFICIENTS = 64
_BLOCK = 16
"""Pixels of a side of a block, colours at half the size included."""
_NOISE_BYTES = 1 << 16


def mend(data: bytes) -> bytes | None:
    """The same JPEG with an end; None if more than `MOST_MISSING` of it is missing, or it is damaged otherwise."""
    last_scan = _find_last_scan(data)
    if last_scan is None:
        return None
    is_progressive, start = last_scan
    noise = np.random.default_rng(0).integers(0, 0xFF, _NOISE_BYTES, np.uint8).tobytes()  # without 0xFF: no marker
    ended = data + _END
    # What is coarse is coded first: in a progressive JPEG only fine detail can be missing.
    scale = 2 if is_progressive else 8
    try:
        one, other = _shrunk(ended, scale), _shrunk(data + b"\x00" + noise + _END, scale)
    except (OSError, ValueError, SyntaxError, struct.error):
        return None
    missing = _measure(one, other, _BLOCK // scale)
    if is_progressive and missing < 1:
        missing_bytes = (len(data) - start) * missing / (1 - missing)
        missing = missing_bytes / (len(data) + missing_bytes)
    return ended if missing <= MOST_MISSING else None


def _measure(one: Array, other: Array, side: int) -> float:
    """The share of two pictures (H, W, C) that comes after the first block in which they differ, row by row of blocks."""
    differs: Array = (one != other).any(2)
    rows = np.flatnonzero(differs.any(1))
    if not len(rows):
        return 0.0
    first = rows[0] // side * side
    column = int(np.flatnonzero(differs[first : first + side].any(0))[0])
    height, width = differs.shape
    before = first * width + min(side, height - first) * column
    return 1 - float(before) / (height * width)


def _shrunk(data: bytes, scale: int) -> Array:
    with Pil.open(io.BytesIO(data), formats=("JPEG",)) as image:
        image.draft(image.mode, (max(1, image.width // scale), max(1, image.height // scale)))
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _find_last_scan(data: bytes) -> tuple[bool, int] | None:
    """Whether the JPEG is progressive, and where the data of its last scan begins; None unless it ends within that."""
    position, is_progressive = 2, False
    bits_left: dict[int, list[int | None]] = {}  # by component: bits of each coefficient that no scan has given yet
    while True:
        match = _MARKER.search(data, position)
        if match is None or match.start() + 4 > len(data):
            return None
        marker, start = data[match.start() + 1], match.start() + 2
        (length,) = struct.unpack_from(">H", data, start)
        body, position = data[start + 2 : start + length], start + length
        if marker == _EOI or position > len(data):
            return None
        if marker in _SOF:
            is_progressive = marker == _PROGRESSIVE
            bits_left = {component: [None] * _COEFFICIENTS for component in body[6::3]}
        elif marker == _SOS:
            count = body[0]
            first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
            for component in body[1 : 1 + 2 * count : 2]:
                if component not in bits_left or last >= _COEFFICIENTS:
                    return None
                bits_left[component][first : last + 1] = [approximation & 0xF] * (last + 1 - first)
            if _MARKER.search(data, position) is None:
                is_whole = all(left == 0 for bits in bits_left.values() for left in bits)
                return (is_progressive, position) if is_whole and bits_left else None
