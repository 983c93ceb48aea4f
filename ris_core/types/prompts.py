"""What is pointed at on an image: clicks and a box; and what a promptable proposer keeps of an image to answer them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.errors import BadInput


@dataclass(frozen=True, eq=False)
class Prompts:
    """Clicks on an image, in the order they were made, at most one box, drawn before them, and what they correct.

    Attributes:
        points_xy: float (P, 2), in pixels from the image's upper left corner; P may be 0 if there is a box.
        is_positive: bool (P,): on the thing, or on what does not belong to it.
        box_xyxy: float (4,), in pixels: left, upper, right, lower side of a box around the thing.
        mask: bool (H, W), at the image's size: what was found before, which clicks and box correct.

    Raises:
        BadInput: If nothing is pointed at, or, where there is no mask, only at what does not belong to the thing; if the box
            has no area; if the arrays do not fit together.
    """

    points_xy: Float[Array, "p 2"]
    is_positive: Bool[Array, "p"]
    box_xyxy: Float[Array, "4"] | None = None
    mask: Bool[Array, "h w"] | None = None

    def __post_init__(self) -> None:
        points, box = self.points_xy, self.box_xyxy
        if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
            raise BadInput(f"points_xy must be finite (P, 2), not {points.shape} {points.tolist()}.")
        if self.is_positive.dtype != bool or self.is_positive.shape != points.shape[:1]:
            raise BadInput(
                f"is_positive must be bool ({len(points)},), one for each point, not {self.is_positive.dtype} "
                f"{self.is_positive.shape}."
            )
        if box is not None and (box.shape != (4,) or not np.isfinite(box).all()):
            raise BadInput(f"box_xyxy must be four finite numbers, not {box.tolist()}.")
        if box is not None and not (box[0] < box[2] and box[1] < box[3]):
            raise BadInput(f"The box {box.tolist()} has no area; give its left, upper, right and lower side in pixels.")
        if self.mask is not None and (self.mask.dtype != bool or self.mask.ndim != 2 or not self.mask.any()):
            raise BadInput(f"mask must be bool (H, W) and not empty, not {self.mask.dtype} {self.mask.shape}.")
        is_about_mask = self.mask is not None and len(points) > 0
        if box is None and not is_about_mask and not self.is_positive.any():
            raise BadInput("Nothing says where the thing is. Give a positive point on it, or a box around it.")


@dataclass(frozen=True, eq=False)
class PromptEmbedding:
    """An image as a promptable proposer sees it: any number of prompts are answered from it.

    Attributes:
        image_sha256: Digest of the image's bytes.
        size_hw: Height and width of the image in pixels.
        arrays: float16 (C, h, w) by the proposer's names: one of SAM, three of SAM 2.
        embed_fp: Digest of what made the arrays: weights, preprocessing.
    """

    image_sha256: str
    size_hw: tuple[int, int]
    arrays: Mapping[str, Float[Array, "_ _ _"]]
    embed_fp: str

    def __post_init__(self) -> None:
        for name, array in self.arrays.items():
            if array.dtype != np.float16 or array.ndim != 3:
                raise ValueError(f"arrays[{name!r}] must be float16 (C, h, w), not {array.dtype} {array.shape}.")
