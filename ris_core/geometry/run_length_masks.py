"""A stack of masks that is kept as run lengths and decoded where it is indexed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco

from ris_core.arrays import Array


class RunLengthMasks:
    """Masks of one image as COCO compressed run lengths.

    It is indexed as an array bool (N, H, W) by an index, a slice or a list of indices, and gives such arrays: only what is asked for is
    decoded. Of a photograph of 12 megapixels, 100 masks are 1.2 GB as arrays, and some 200 kB like this.

    Args:
        counts: COCO's compressed counts of each mask.
        size_hw: Height and width of all masks, in pixels.
    """

    def __init__(self, counts: Sequence[bytes], size_hw: tuple[int, int]) -> None:
        self.counts, self._size_hw = tuple(counts), size_hw

    @classmethod
    def encode(cls, masks: Bool[Array, "n h w"]) -> RunLengthMasks:
        """Encode a stack, exactly; mask by mask, since all at once would need another copy of the stack."""
        counts = [encode(mask) for mask in masks]
        height, width = masks.shape[1:]
        return cls(counts, (height, width))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, H, W)."""
        return (len(self.counts), *self._size_hw)

    ndim, dtype = 3, np.dtype(bool)

    @property
    def nbytes(self) -> int:
        """Bytes that the run lengths need."""
        return sum(map(len, self.counts))

    @property
    def boxes_xywh(self) -> Float[Array, "n 4"]:
        """Tight, half-open boxes in pixels, float32 (N, 4), as `boxes.from_masks` finds them; nothing is decoded."""
        return np.asarray(coco.toBbox(self._rles), np.float32).reshape(-1, 4)

    def take(self, numbers: Sequence[int]) -> RunLengthMasks:
        """Some of them, as run lengths."""
        return RunLengthMasks([self.counts[number] for number in numbers], self._size_hw)

    def map_inside(self, change: Callable[[Bool[Array, "y x"]], Bool[Array, "y x"]]) -> RunLengthMasks:
        """Change each mask within its box. What comes back as the same object was not changed, and costs no encoding."""
        return RunLengthMasks([self._change(n, change) for n in range(len(self))], self._size_hw)

    def _change(self, number: int, change: Callable[[Bool[Array, "y x"]], Bool[Array, "y x"]]) -> bytes:
        left, upper, width, height = self.take([number]).boxes_xywh[0].astype(int)
        rows, columns = slice(upper, upper + height), slice(left, left + width)
        turned = coco.decode(self._rles[number]).T  # column by column: the whole need not be turned
        inside = cv2.transpose(turned[columns, rows]).view(bool) if width else np.zeros((0, 0), bool)
        changed = change(inside)
        if changed is inside:
            return self.counts[number]
        turned[columns, rows] = changed.T
        return bytes(coco.encode(turned.T)["counts"])

    def iou(self, others: RunLengthMasks) -> Float[Array, "n m"]:
        """Pairwise IoU, in [0, 1], exact; 0 where both are empty. Nothing is decoded."""
        return self._compare(others, is_share=False)

    def shares_inside(self, others: RunLengthMasks) -> Float[Array, "n m"]:
        """Share of each mask that lies in each other, in [0, 1], exact; 0 for an empty one. Nothing is decoded."""
        return self._compare(others, is_share=True)

    def _compare(self, others: RunLengthMasks, is_share: bool) -> Float[Array, "n m"]:
        if not (len(self) and len(others)):
            return np.zeros((len(self), len(others)))
        compared: Float[Array, "n m"] = coco.iou(self._rles, others._rles, [is_share] * len(others))
        return np.nan_to_num(compared)  # empty ones are divided by nothing

    @property
    def _rles(self) -> list[dict[str, object]]:
        return [{"size": list(self._size_hw), "counts": counts} for counts in self.counts]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: Any) -> Array:
        """Decode one mask, (H, W), or several, (n, H, W)."""
        if isinstance(index, int | np.integer):
            return self._decode(self.counts[index])
        numbers = np.arange(len(self.counts))[index]
        stack = np.empty((len(numbers), *self._size_hw), bool)
        for mask, number in zip(stack, numbers, strict=True):
            decode(self.counts[number], mask)
        return stack

    def __iter__(self) -> Iterator[Array]:
        return map(self._decode, self.counts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All of them, for `numpy.asarray`."""
        stack = self[:]
        return stack if dtype is None else stack.astype(dtype)

    def _decode(self, counts: bytes) -> Bool[Array, "h w"]:
        return decode(counts, np.empty(self._size_hw, bool))


def encode(mask: Bool[Array, "h w"]) -> bytes:
    """COCO's compressed counts of a mask.

    COCO goes through an image column by column. OpenCV turns a mask five times as fast as numpy does.
    """
    turned = cv2.transpose(np.ascontiguousarray(mask, bool).view(np.uint8))
    return bytes(coco.encode(turned.T)["counts"])


def decode(counts: bytes, out: Bool[Array, "h w"]) -> Bool[Array, "h w"]:
    """Write the mask of COCO's compressed counts to `out`, which has its size and lies row by row in memory; returns it."""
    columns = coco.decode({"size": list(out.shape), "counts": counts}).T
    cv2.transpose(columns, dst=out.view(np.uint8))
    return out
