"""Mask proposals of an image, as parallel arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.geometry import boxes, duplicates
from ris_core.geometry.run_length_masks import RunLengthMasks


class MaskMeasures(NamedTuple):
    """What methods ask of the masks of an image, whatever the expression is.

    Attributes:
        areas: int64 (N,), in pixels.
        intersections: int64 (N, N), in samples of `duplicates.sample`; the diagonal holds the masks' own sizes.
    """

    areas: Int[Array, "n"]
    intersections: Int[Array, "n n"]

    @classmethod
    def of(cls, masks: Bool[Array, "n h w"] | RunLengthMasks) -> Self:
        """Measure a stack."""
        areas = np.array([np.count_nonzero(mask) for mask in masks], np.int64)
        return cls(areas, duplicates.intersections(masks))


@dataclass(frozen=True, eq=False)
class Proposals:
    """Class-agnostic mask proposals of one image.

    Attributes:
        masks: bool (N, H, W); those of a stored encoding are decoded when they are indexed.
        boxes_xywh: float32 (N, 4), tight and half-open, in pixels.
        predicted_iou: float32 (N,), the proposer's own estimate of its IoU with an object, in [0, 1].
        stability: float32 (N,), IoU of the mask with itself under shifted thresholds, in [0, 1].
        stored_measures: The measures of the masks, if they were stored with them.
    """

    masks: Bool[Array, "n h w"] | RunLengthMasks
    boxes_xywh: Float[Array, "n 4"]
    predicted_iou: Float[Array, "n"]
    stability: Float[Array, "n"]
    stored_measures: MaskMeasures | None = None

    def __post_init__(self) -> None:
        if self.masks.dtype != bool or self.masks.ndim != 3:
            raise ValueError(f"masks must be bool (N, H, W), not {self.masks.dtype} {self.masks.shape}.")
        n = len(self.masks)
        for name, shape in {"boxes_xywh": (n, 4), "predicted_iou": (n,), "stability": (n,)}.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}.")

    @classmethod
    def from_masks(cls, masks: Bool[Array, "n h w"]) -> Self:
        """Masks that somebody else vouches for: tight boxes, predicted IoU and stability 1."""
        ones = np.ones(len(masks), np.float32)
        return cls(masks=masks, boxes_xywh=boxes.from_masks(masks), predicted_iou=ones, stability=ones)

    @cached_property
    def measures(self) -> MaskMeasures:
        """Areas and overlaps of the masks."""
        return self.stored_measures or MaskMeasures.of(self.masks)

    def __len__(self) -> int:
        return len(self.masks)

    def digest(self) -> str:
        """Hex digest of the masks."""
        packed = np.packbits(np.asarray(self.masks), axis=-1).tobytes()
        return hashlib.sha256(f"{self.masks.shape}".encode() + packed).hexdigest()
