"""SAM's prompt encoder and mask decoder, asked about an image that is encoded already.

Source: [0] Kirillov et al., "Segment Anything", ICCV 2023, appendix A; [1] the `segment_anything` package.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from segment_anything.modeling import Sam
from torch import Tensor

from ris_core.arrays import Array
from ris_core.types.prompts import Prompts

CERTAIN = 8.0
"""Logit of a pixel of a mask that is given, and of the pixels beside it with the sign turned: about what SAM itself says."""


def answer(
    net: Sam,
    features: Float[Tensor, "1 c y x"],
    prompts: Prompts,
    seen_hw: tuple[int, int],
    scale_xy: Float[Array, "2"],
) -> tuple[Float[Tensor, "1 k h w"], Float[Tensor, "1 k"]]:
    """Logits and predicted IoU of what is pointed at: of three masks for a single click, of one mask else.

    One prompt is taken after the other, each together with the ones before and the mask that those brought, as SAM was
    trained [0]: so a click corrects what was answered to the clicks before, or the mask that is given.

    Args:
        features: Of the image encoder.
        seen_hw: Height and width of the image as the image encoder saw it.
        scale_xy: From pixels of the image to pixels as the image encoder saw them.
    """
    on = {"dtype": torch.float32, "device": net.device}
    points = torch.as_tensor(prompts.points_xy * scale_xy, **on)[None]
    signs = torch.as_tensor(prompts.is_positive, **on)[None]
    box = None
    if prompts.box_xyxy is not None:
        box = torch.as_tensor(prompts.box_xyxy * np.tile(scale_xy, 2), **on)[None]
    best = None if prompts.mask is None else _to_logits(net, prompts.mask, seen_hw)
    if box is not None:
        first = 0
    elif best is not None:
        first = 1
    else:  # a negative click before anything else says something only together with the first that is positive
        first = int(prompts.is_positive.argmax()) + 1
    for n in range(first, points.shape[1] + 1):
        is_vague = n == 1 and box is None and prompts.mask is None
        clicks = (points[:, :n], signs[:, :n]) if n else None
        logits, predicted_iou = decode(net, features, clicks, box, best, is_vague)
        best = logits[:, [int(predicted_iou.argmax())]]
    return logits, predicted_iou


def decode(
    net: Sam,
    features: Float[Tensor, "1 c y x"],
    points: tuple[Float[Tensor, "b p 2"], Tensor] | None,
    boxes: Float[Tensor, "b 4"] | None,
    masks: Float[Tensor, "b 1 h w"] | None,
    is_vague: bool,
) -> tuple[Float[Tensor, "b k h w"], Float[Tensor, "b k"]]:
    """Logits and predicted IoU for B prompts: of three masks if they are vague, of one else.

    Args:
        points: x, y in pixels as the image encoder saw them; their signs, 1 or 0.
        boxes: Left, upper, right, lower side in the same pixels.
        masks: Logits of masks to begin from.
    """
    sparse, dense = net.prompt_encoder(points=points, boxes=boxes, masks=masks)
    answer: tuple[Float[Tensor, "b k h w"], Float[Tensor, "b k"]] = net.mask_decoder(
        image_embeddings=features,
        image_pe=net.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=is_vague,
    )
    return answer


def _to_logits(net: Sam, mask: Bool[Array, "h w"], seen_hw: tuple[int, int]) -> Float[Tensor, "1 1 y x"]:
    """A mask at the image's size as the decoder would have said it, with nothing where the image is padded."""
    side = net.image_encoder.img_size
    share = torch.as_tensor(mask, dtype=torch.float32, device=net.device)[None, None]
    share = F.interpolate(share, seen_hw, mode="area")
    share = F.pad(share, (0, side - seen_hw[1], 0, side - seen_hw[0]))
    share = F.interpolate(share, net.prompt_encoder.mask_input_size, mode="area").clamp(0, 1)  # means may round up
    return (2 * share - 1) * CERTAIN
