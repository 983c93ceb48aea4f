"""Mask proposals of an image, as parallel arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.geometry import boxes


@dataclass(frozen=True, eq=False)
class Proposals:
    """Class-agnostic mask proposals of one image.

    Attributes:
        masks: bool (N, H, W).
        boxes_xywh: float32 (N, 4), tight and half-open, in pixels.
        predicted_iou: float32 (N,), the proposer's own estimate of its IoU with an object, in [0, 1].
        stability: float32 (N,), IoU of the mask with itself under shifted thresholds, in [0, 1].
    """

    masks: Bool[Array, "n h w"]
    boxes_xywh: Float[Array, "n 4"]
    predicted_iou: Float[Array, "n"]
    stability: Float[Array, "n"]

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

    def __len__(self) -> int:
        return len(self.masks)

    def digest(self) -> str:
        """Hex digest of the masks."""
        packed = np.packbits(self.masks, axis=-1).tobytes()
        return hashlib.sha256(f"{self.masks.shape}".encode() + packed).hexdigest()
