"""SAM's prompt encoder and mask decoder, asked about an image that is encoded already.

Source: [0] Kirillov et al., "Segment Anything", ICCV 2023, appendix A; [1] the `segment_anything` package.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from segment_anything.modeling import Sam
from torch import Tensor

from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.types.prompts import PromptEmbedding, Prompts

Decode = Callable[[Any, Any, Any, bool], tuple[Tensor, Tensor]]
"""`decode` with a network and an image."""
CERTAIN = 8.0
"""Logit of a pixel of a mask that is given, and of the pixels beside it with the sign turned: about what SAM itself says."""


def check(embedding: PromptEmbedding, prompts: Prompts, embed_fp: str) -> None:
    """Refuse what a proposer cannot answer.

    Args:
        embed_fp: Of the proposer.

    Raises:
        BadInput: If another one made the embedding, or a mask is given that is not of the image's size.
    """
    if prompts.mask is not None and prompts.mask.shape != embedding.size_hw:
        raise BadInput(f"The mask is {prompts.mask.shape} (H, W), the image is {embedding.size_hw}. Resize the mask.")
    if embedding.embed_fp != embed_fp:
        raise BadInput(
            f"The image was embedded as {embedding.embed_fp}, this is {embed_fp}. Embed it with this proposer."
        )


def answer(
    decode: Decode,
    prompts: Prompts,
    scale_xy: Float[Array, "2"],
    best: Float[Tensor, "1 1 y x"] | None,
    device: torch.device,
) -> tuple[Float[Tensor, "1 k y x"], Float[Tensor, "1 k"]]:
    """Logits and predicted IoU of what is pointed at: of three masks for a single click, of one mask else.

    One prompt is taken after the other, each together with the ones before and the mask that those brought, as SAM was
    trained [0]: so a click corrects what was answered to the clicks before, or the mask that is given.

    Args:
        scale_xy: From pixels of the image to pixels as the image encoder saw them.
        best: Logits of the mask that is given with the prompts.
    """
    points = torch.as_tensor(prompts.points_xy * scale_xy, dtype=torch.float32, device=device)[None]
    signs = torch.as_tensor(prompts.is_positive, dtype=torch.float32, device=device)[None]
    box = None
    if prompts.box_xyxy is not None:
        box = torch.as_tensor(prompts.box_xyxy * np.tile(scale_xy, 2), dtype=torch.float32, device=device)[None]
    if box is not None:
        first = 0
    elif best is not None:
        first = 1
    else:  # a negative click before anything else says something only together with the first that is positive
        first = int(prompts.is_positive.argmax()) + 1
    for n in range(first, points.shape[1] + 1):
        is_vague = n == 1 and box is None and prompts.mask is None
        clicks = (points[:, :n], signs[:, :n]) if n else None
        logits, predicted_iou = decode(clicks, box, best, is_vague)
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


def to_logits(net: Sam, mask: Bool[Array, "h w"], seen_hw: tuple[int, int]) -> Float[Tensor, "1 1 y x"]:
    """A mask at the image's size as the decoder would have said it, with nothing where the image is padded.

    Args:
        seen_hw: Height and width of the image as the image encoder saw it.
    """
    side = net.image_encoder.img_size
    share = torch.as_tensor(mask, dtype=torch.float32, device=net.device)[None, None]
    share = F.interpolate(share, seen_hw, mode="area")
    share = F.pad(share, (0, side - seen_hw[1], 0, side - seen_hw[0]))
    return certain_logits(share, net.prompt_encoder.mask_input_size)


def certain_logits(share: Float[Tensor, "1 1 h w"], size_hw: tuple[int, int]) -> Float[Tensor, "1 1 y x"]:
    """A mask scaled to the size of the decoder's logits, as such."""
    share = F.interpolate(share, size_hw, mode="area").clamp(0, 1)  # means may round up
    return (2 * share - 1) * CERTAIN
