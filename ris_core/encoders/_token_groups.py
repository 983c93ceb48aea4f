"""Patches outside a mask, counted instead of computed.

Where patch tokens are multiplied by a mask's share, those outside all become the zero vector. Equal tokens stay equal in every block
that follows, and m equal keys weigh as much as one whose logit is higher by log m. So the class token, the patches inside and one for
those outside are enough. Only the order of sums changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

SLACK_FACTOR, SLACK = 1.25, 8
"""Masks go through the blocks together if the largest has at most so many times the patches of the smallest, and so many more."""


@dataclass(frozen=True, eq=False)
class TokenGroup:
    """Masks of similar size, padded to the largest of them. Of each there are n tokens: class, patches inside, one for those outside.

    Attributes:
        members: int64 (b,), which masks they are.
        rows: int64 (b, n), the indices of their tokens; of the one for those outside any index.
        factor: float (b, n), what tokens are multiplied by: 1, the mask's share of each patch, 0.
        bias: float (b, n), what is added to the logits of the keys: the logarithm of how many tokens each stands for.
    """

    members: Int[Tensor, "b"]
    rows: Int[Tensor, "b n"]
    factor: Float[Tensor, "b n"]
    bias: Float[Tensor, "b n"]

    def gather(self, tokens: Float[Tensor, "_ tokens width"]) -> Float[Tensor, "b n width"]:
        """The group's tokens, of those that all masks share or of each mask's own."""
        own = tokens.expand(len(self.members), -1, -1) if len(tokens) == 1 else tokens[self.members]
        return own.take_along_dim(self.rows[..., None], dim=1)


def group_masks(share: Float[Tensor, "b cells"]) -> Iterator[TokenGroup]:
    """Group masks by how many patches they touch, the smallest first.

    Args:
        share: Each mask on the patches, in [0, 1].
    """
    counts = (share > 0).sum(1)
    order = counts.argsort(stable=True)
    sizes = counts[order].tolist()
    start = 0
    while start < len(sizes):
        limit = sizes[start] * SLACK_FACTOR + SLACK
        end = next((i for i in range(start, len(sizes)) if sizes[i] > limit), len(sizes))
        yield _make_group(share, order[start:end], sizes[end - 1])
        start = end


def _make_group(share: Float[Tensor, "b cells"], members: Int[Tensor, "m"], most: int) -> TokenGroup:
    own = share[members]
    inside, patches = own.topk(most, dim=1)  # those of the smaller masks end with patches of share 0
    outside = (own == 0).sum(1, keepdim=True)
    first = torch.ones_like(own[:, :1])
    counted = torch.cat([first, (inside > 0).to(own.dtype), outside.to(own.dtype)], dim=1)
    return TokenGroup(
        members=members,
        rows=torch.cat([torch.zeros_like(outside), patches + 1, torch.zeros_like(outside)], dim=1),
        factor=torch.cat([first, inside, 0 * first], dim=1),
        bias=counted.log(),
    )
