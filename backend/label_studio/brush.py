"""Label Studio's run lengths of a brush, read run by run (its own SDK reads them bit by bit).

Format: a stream of bits, most significant first. How many values (32 bits), bits of a value - 1 (5), bits of each of four
lengths - 1 (4 each); then runs until all values are there: is it one value repeated (1), which of the four lengths (2),
values of the run - 1 (that many bits), and the value, or all of them one by one. The values are RGBA, pixel by pixel.
"""

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

CHANNELS = 4
OPAQUE = 127
"""Edited masks have soft edges: what is less than half there is not."""
MAX_PIXELS = 200_000_000
"""A larger mask is refused before memory is taken for it."""


def decode_brush(packed: bytes, size_hw: tuple[int, int]) -> Bool[ndarray, "h w"]:
    """Decode a brush's run lengths.

    Raises:
        ValueError: If they are cut short, or are not of that size.
    """
    height, width = size_hw
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {height}x{width} pixels")
    bits = _Bits(packed)
    length = bits.read(32)
    if length != height * width * CHANNELS:
        raise ValueError(f"run lengths of {length} values for an image of {height}x{width}")
    word = bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(length, np.uint8)
    at = 0
    while at < length:
        is_run = bits.read(1)
        end = at + 1 + bits.read(sizes[bits.read(2)])
        if end > length:
            raise ValueError("a run that goes beyond the image")
        values[at:end] = bits.read(word) & 255 if is_run else bits.read_many(end - at, word)
        at = end
    return values.reshape(height, width, CHANNELS)[..., CHANNELS - 1] > OPAQUE


class _Bits:
    """Numbers from a stream of bits."""

    def __init__(self, packed: bytes) -> None:
        self._bits = bin(int.from_bytes(b"\x01" + packed, "big"))[3:]  # a one in front keeps the zeros
        self._at = 0

    def read(self, width: int) -> int:
        taken = self._bits[self._at : self._at + width]
        self._at += width
        if len(taken) < width:
            raise ValueError("run lengths that are cut short")
        return int(taken, 2)

    def read_many(self, count: int, width: int) -> ndarray:
        if width == 8:
            return np.frombuffer(self.read(8 * count).to_bytes(count, "big"), np.uint8)
        return np.array([self.read(width) & 255 for _ in range(count)], np.uint8)
