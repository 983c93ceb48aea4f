"""An image as the method sees it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from jaxtyping import UInt8

from ris_core.arrays import Array
from ris_core.images import decoding


@dataclass(frozen=True, eq=False)
class Image:
    """An upright RGB image and the digest of the bytes it came from.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, EXIF orientation applied.
        sha256: Hex digest of the encoded file; of the pixels if there was no file.
    """

    pixels: UInt8[Array, "h w 3"]
    sha256: str

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"pixels must be uint8 (H, W, 3), not {self.pixels.dtype} {self.pixels.shape}.")

    @classmethod
    def open(cls, source: str | Path | bytes | BinaryIO, max_pixels: int = decoding.MAX_PIXELS) -> Self:
        """Decode a file; its size is checked before its pixels are.

        Raises:
            BadImage: If it is not an image, is damaged, or has more than `max_pixels`.
        """
        pixels, sha256 = decoding.decode(source, max_pixels)
        return cls(pixels=pixels, sha256=sha256)

    @classmethod
    def from_array(cls, pixels: UInt8[Array, "h w 3"]) -> Self:
        """Take pixels that are in memory already."""
        shape = f"{pixels.shape}".encode()
        return cls(pixels=pixels, sha256=hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).hexdigest())

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]
