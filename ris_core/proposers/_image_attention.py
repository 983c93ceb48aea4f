"""The attention of SAM's image encoder, ViT-B to ViT-H, with less memory and time than the package's.

The package makes the scores of all heads at once, three times 0.8 GB in a ViT-B's blocks of the whole image. Here the relative
positions are the bias of torch's own attention, on a CPU of a few heads at a time; the sums are the same, in another order.

Source: [0] Li et al., "MViTv2", CVPR 2022, Eq. 4; [1] `Attention` of the `segment_anything` package, whose weights are used.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from segment_anything.modeling import ImageEncoderViT, Sam
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn

CPU_SCORES = 2**24
"""Scores of queries with keys that are made at once on a CPU, 64 MiB: one head of 64 x 64 patches, or many of a window's."""


def replace(net: Sam) -> None:
    """Put `ImageAttention` in the place of the package's, if the network's image encoder is the package's."""
    if isinstance(net.image_encoder, ImageEncoderViT):
        for block in net.image_encoder.blocks:
            block.attn = ImageAttention(block.attn)


class ImageAttention(nn.Module):
    """The package's attention of patches to each other, computed in another order.

    Args:
        stock: The package's, with relative positions; its weights are used under their names.
    """

    def __init__(self, stock: Attention) -> None:
        super().__init__()
        self.num_heads: int = stock.num_heads
        self.qkv, self.proj = stock.qkv, stock.proj
        self.rel_pos_h, self.rel_pos_w = stock.rel_pos_h, stock.rel_pos_w

    def forward(self, x: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        """Patches of images or windows."""
        batch, height, width, _ = x.shape
        heads = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.flatten(1, 2)  # (B heads, N, d) each
        at_once = len(queries) if x.is_cuda else max(1, CPU_SCORES // (height * width) ** 2)
        parts = zip(queries.split(at_once), keys.split(at_once), values.split(at_once), strict=True)
        seen = [F.scaled_dot_product_attention(q, k, v, self._bias(q, height, width)) for q, k, v in parts]
        rows: Any = torch.cat(seen).unflatten(0, (batch, -1)).transpose(1, 2).reshape(x.shape)
        mixed: Tensor = self.proj(rows)
        return mixed

    def _bias(self, queries: Float[Tensor, "m n d"], height: int, width: int) -> Float[Tensor, "m n n"]:
        """Of each query with each key: what their distance in rows and that in columns add to their score."""
        placed = queries.unflatten(1, (height, width))
        by_row = torch.einsum("bhwc,hkc->bhwk", placed, get_rel_pos(height, height, self.rel_pos_h))
        by_column = torch.einsum("bhwc,wkc->bhwk", placed, get_rel_pos(width, width, self.rel_pos_w))
        return (by_row[..., :, None] + by_column[..., None, :]).flatten(3).flatten(1, 2)
