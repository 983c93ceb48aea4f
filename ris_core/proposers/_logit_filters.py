"""Proposals of SAM's logits: what is dropped is dropped at the decoder's own size, and only the rest is enlarged to the image.

The filters are those of the package's generator and of `_filters`, in the same order. A mask near a limit may fall on its other side,
since a pixel of the logits stands for several of the image.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from segment_anything.modeling import Sam
from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score
from torch import Tensor
from torchvision.ops import nms

from ris_core.proposers._filters import clean, keep_distinct


class Frame(NamedTuple):
    """Where an image lies in logits: at their upper left, and the rest is padding.

    Attributes:
        size_yx: Rows and columns of the logits whose centres are in the image, at least one of each.
        scale_yx: Height and width in the image's pixels of a pixel of the logits.
        seen_hw: Height and width of the image as the image encoder saw it.
        work_hw: Height and width of the image, to which masks are enlarged.
    """

    size_yx: tuple[int, int]
    scale_yx: tuple[float, float]
    seen_hw: tuple[int, int]
    work_hw: tuple[int, int]

    @classmethod
    def of(cls, net: Sam, seen_hw: tuple[int, int], work_hw: tuple[int, int]) -> "Frame":
        """The frame of an image that a network has seen."""
        stride = net.image_encoder.img_size / net.prompt_encoder.mask_input_size[0]
        rows, columns = (max(1, math.ceil(side / stride - 0.5)) for side in seen_hw)
        scale_y, scale_x = (stride * work / seen for work, seen in zip(work_hw, seen_hw, strict=True))
        return cls((rows, columns), (scale_y, scale_x), seen_hw, work_hw)

    def cut(self, logits: Float[Tensor, "n y x"]) -> Float[Tensor, "n rows columns"]:
        """Without the padding."""
        return logits[:, : self.size_yx[0], : self.size_yx[1]]


class Limits(NamedTuple):
    """The proposer's settings of these names; `smallest` is the least area of masks, holes and islands in the image's pixels."""

    stability_score_thresh: float
    stability_score_offset: float
    box_nms_thresh: float
    max_mask_iou: float
    max_proposals: int
    smallest: float


def find(
    net: Sam, batches: Iterable[tuple[Float[Tensor, "_ y x"], Float[Tensor, "_"]]], frame: Frame, limits: Limits
) -> list[dict[str, Any]]:
    """Records of proposals at the image's size, cleaned, the best first.

    Args:
        batches: Logits, and the IoU that SAM expects of each; those that it rates as bad are left out already.
    """
    stable = [_keep_stable(net, *batch, frame, limits) for batch in batches]
    logits, predicted_iou, stability = (torch.cat(parts) for parts in zip(*stable, strict=True))
    kept = nms(_boxes(frame.cut(logits) > net.mask_threshold, frame), predicted_iou, limits.box_nms_thresh)
    records = _measure(
        frame.cut(logits[kept]) > net.mask_threshold, predicted_iou[kept], stability[kept], frame, limits
    )
    quality = [record["predicted_iou"] * record["stability_score"] for record in records]
    best = keep_distinct(records, quality, limits.max_mask_iou)[: limits.max_proposals]
    enlarged = (_enlarge(net, logits[kept[record["number"]]], record, frame, limits.smallest) for record in best)
    return [record for record in enlarged if record["area"] >= max(1, limits.smallest)]


def _keep_stable(
    net: Sam, logits: Float[Tensor, "n y x"], predicted_iou: Float[Tensor, "n"], frame: Frame, limits: Limits
) -> tuple[Float[Tensor, "k y x"], Float[Tensor, "k"], Float[Tensor, "k"]]:
    """Logits, predicted IoU and stability of the masks that are not empty."""
    seen = frame.cut(logits)
    stability = calculate_stability_score(seen, net.mask_threshold, limits.stability_score_offset)
    kept = (seen > net.mask_threshold).flatten(1).any(1)
    if limits.stability_score_thresh > 0:
        kept &= stability >= limits.stability_score_thresh
    return logits[kept], predicted_iou[kept], stability[kept]


def _boxes(masks: Bool[Tensor, "n rows columns"], frame: Frame) -> Float[Tensor, "n 4"]:
    """Boxes xyxy from the first to the last pixel of the image, which is how the package's generator compares them."""
    boxes: Float[Tensor, "n 4"] = batched_mask_to_box(masks).float()
    boxes[:, 2:] += 1
    return boxes * boxes.new_tensor(frame.scale_yx[::-1] * 2) - boxes.new_tensor([0, 0, 1, 1])


def _measure(
    masks: Bool[Tensor, "n rows columns"],
    predicted_iou: Float[Tensor, "n"],
    stability: Float[Tensor, "n"],
    frame: Frame,
    limits: Limits,
) -> list[dict[str, Any]]:
    """Cleaned records of the masks that are large enough, with their "number"."""
    smallest = limits.smallest / math.prod(frame.scale_yx)
    columns = zip(masks.cpu().numpy(), predicted_iou.tolist(), stability.tolist(), strict=True)
    records = (
        {"number": i, **clean({"segmentation": mask, "predicted_iou": iou, "stability_score": stable}, smallest)}
        for i, (mask, iou, stable) in enumerate(columns)
    )
    return [record for record in records if record["area"] >= max(1, smallest)]


def _enlarge(
    net: Sam, logits: Float[Tensor, "y x"], record: Mapping[str, Any], frame: Frame, smallest: float
) -> dict[str, Any]:
    """A record with the mask at the image's size, cleaned there."""
    [[large]] = net.postprocess_masks(logits[None, None], frame.seen_hw, frame.work_hw)
    return clean({**record, "segmentation": (large > net.mask_threshold).cpu().numpy()}, smallest)
