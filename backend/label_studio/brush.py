"""Label Studio's run lengths of a brush, written and read a run at a time (its own SDK does both bit by bit).

Format: a stream of bits, most significant first. A header has the number of values (32 bits), the bits of a value minus 1 (5),
and the bits of each of four sizes of run length, minus 1 (4 each). Runs follow until all values are there: whether one value is
repeated (1 bit), which of the four sizes (2), the run's length minus 1 (that many bits), and the value; or, if it is not
repeated, all values of the run. The values are RGBA, pixel by pixel.

Source: `rle-pack` of thi.ng/umbrella, which Label Studio's page uses.
"""

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

CHANNELS = 4
OPAQUE = 127
"""Edited masks have soft edges: a pixel belongs to the mask if its alpha is above this."""
MAX_PIXELS = 200_000_000
"""A larger mask is refused before memory is taken for it."""

VALUE_BITS = 8
LENGTH_BITS = (3, 4, 8, 16)
"""Sizes of run lengths that are written, as the SDK chooses them; the decoder reads any."""
LONGEST_RUN = 1 << LENGTH_BITS[-1]
HEADER_BITS = 32 + 5 + 4 * len(LENGTH_BITS)


def encode_brush(mask: Bool[ndarray, "h w"]) -> list[int]:
    """Encode a mask as a brush's run lengths: the bytes that the SDK's `mask2rle` makes of 0 and 255.

    Raises:
        ValueError: If the mask has no pixels, or more than `MAX_PIXELS`.
    """
    _check_size(*mask.shape)
    pixels = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1])
    lengths = np.diff(starts, append=pixels.size) * CHANNELS
    sizes = np.searchsorted([1 << bits for bits in LENGTH_BITS[:-1]], lengths)

    # a run that is too long is cut, and the SDK writes what is left of it in the largest size, however short that is
    parts = -(-lengths // LONGEST_RUN)
    last = np.cumsum(parts) - 1
    part_lengths = np.full(parts.sum(), LONGEST_RUN)
    part_lengths[last] = lengths - (parts - 1) * LONGEST_RUN
    part_sizes, values = np.repeat(sizes, parts), np.repeat(pixels[starts] * 255, parts)

    length_bits = np.array(LENGTH_BITS)[part_sizes]
    runs = ((0b100 | part_sizes) << length_bits | (part_lengths - 1)) << VALUE_BITS | values
    return _pack(
        np.concatenate([[_make_header(pixels.size)], runs]),
        np.concatenate([[HEADER_BITS], 3 + length_bits + VALUE_BITS]),
    ).tolist()


def decode_brush(packed: bytes, size_hw: tuple[int, int]) -> Bool[ndarray, "h w"]:
    """Decode a brush's run lengths.

    Raises:
        ValueError: If they are cut short, or are not of that size.
    """
    height, width = size_hw
    _check_size(height, width)
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


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {height}x{width} pixels")


def _make_header(pixels: int) -> int:
    header = pixels * CHANNELS << 5 | VALUE_BITS - 1
    for bits in LENGTH_BITS:
        header = header << 4 | bits - 1
    return header


def _pack(numbers: ndarray, widths: ndarray) -> ndarray:
    """Write numbers one after the other, each in as many bits as its width says; as bytes, uint8 (N,)."""
    ends = np.cumsum(widths)
    # one byte more than is full: where the last byte is full, the SDK adds one of zeros
    bits = np.zeros(8 * (ends[-1] // 8 + 1), np.uint8)
    for place in range(int(widths.max())):  # from the last bit of each number to the first
        numbers, ends, widths = (array[widths > place] for array in (numbers, ends, widths))
        bits[ends - 1 - place] = numbers >> place & 1
    return np.packbits(bits)


class _Bits:
    """Numbers from a stream of bits."""

    def __init__(self, packed: bytes) -> None:
        self._bits = bin(int.from_bytes(b"\x01" + packed, "big"))[3:]  # a one in front keeps the zeros
        self._at = 0

    def read(self, width: int) -> int:
        bits = self._bits[self._at : self._at + width]
        self._at += width
        if len(bits) < width:
            raise ValueError("run lengths that are cut short")
        return int(bits, 2)

    def read_many(self, count: int, width: int) -> ndarray:
        if width == 8:
            return np.frombuffer(self.read(8 * count).to_bytes(count, "big"), np.uint8)
        return np.array([self.read(width) & 255 for _ in range(count)], np.uint8)
