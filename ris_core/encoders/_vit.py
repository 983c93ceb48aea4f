"""What the published methods do inside a vision transformer of `open_clip`: masked tokens, masked attention, two streams.

Sources: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023, Section 3.2;
[1] Liu and Li, "Hybrid Global-Local Representation with Augmented Spatial Guidance", CVPR 2025, Section 3.2. The tower's
public modules are used as they are. Three facts save work and change no result: of the last block only the class token is
read; where attention is masked only the class token's row is; and the patches outside a mask are alike (`_token_groups`).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor

from ris_core.encoders._token_groups import group_masks
from ris_core.errors import BadInput

FUSION_WEIGHT = 2.0
"""Weight of the other stream's tokens in [1]."""
LAST_BLOCKS = 3
"""How many last blocks are masked if nothing else is said, as in [0] and [1]."""


class VisionTower:
    """An image tower with a class token, blocks numbered from 0, B of them.

    Args:
        visual: The tower, in evaluation; read by its class token.
        masked_blocks: The blocks that are masked or fused: how many last ones, or their indices.
        name: Of the model, for messages.

    Attributes:
        masked: Indices of those blocks, ascending.
        size_px, patch_px: Sides of the model's input and of its patches.
        grid: Patches per side, g.

    Raises:
        BadInput: If the tower is not made of CLIP's own blocks, its images are not square, or it has no such blocks.
    """

    def __init__(self, visual: Any, masked_blocks: int | Sequence[int] | None, name: str) -> None:
        self.visual, self.name = _checked(visual, name), name
        self.blocks = list(visual.transformer.resblocks)
        self.masked = _masked_indices(masked_blocks, len(self.blocks), name)
        self.size_px, self.grid, self.patch_px = visual.image_size[0], visual.grid_size[0], visual.patch_size[0]

    def plain(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b e"]:
        """CLIP's own features, not normalised."""
        return self.finish(self.early(images))

    def early(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b tokens width"]:
        """The tokens before the first masked block: what all masks of an image share."""
        tokens = self.embed(images)
        for block in self.blocks[: self.masked[0]]:
            tokens = self.run(block, tokens)
        return tokens

    def finish(self, tokens: Float[Tensor, "b tokens width"]) -> Float[Tensor, "b e"]:
        """The features of `early`, nothing masked."""
        for index in range(self.masked[0], len(self.blocks)):
            tokens = self._step(index, tokens)
        return self._project(tokens)

    def mask_tokens(
        self, tokens: Float[Tensor, "_ tokens width"], share: Float[Tensor, "b cells"]
    ) -> Float[Tensor, "b e"]:
        """[0] Eq. 2: before each masked block every patch token times the mask's share of the patch.

        Args:
            tokens: `early` of one image for all masks, or of one for each.
            share: Each mask on the patches, in [0, 1].
        """
        features: Tensor = self.visual.proj.new_empty(len(share), self.visual.proj.shape[1])
        for group in group_masks(share):
            states = group.gather(tokens)
            for index in range(self.masked[0], len(self.blocks)):
                if index in self.masked:
                    states = states * group.factor[..., None]
                rows = 1 if index == len(self.blocks) - 1 else states.shape[1]
                states = self._attend(self.blocks[index], states, group.bias, rows)
            features[group.members] = self._project(states)
        return features

    def mask_attention(
        self, tokens: Float[Tensor, "_ tokens width"], inside: Bool[Tensor, "b cells"], skips_last: bool = False
    ) -> Float[Tensor, "b e"]:
        """In the masked blocks the class token attends to itself and to the patches inside.

        Args:
            tokens: As of `mask_tokens`.
            inside: The patches of each mask.
            skips_last: Leave the last block out, as released (Q-LAST).
        """
        tokens = tokens.expand(len(inside), -1, -1)
        for index in range(self.masked[0], len(self.blocks) - skips_last):
            tokens = self._step(index, tokens, self._seen(index, inside))
        return self._project(tokens)

    def fuse_into_local(
        self,
        local: Float[Tensor, "b tokens width"],
        blurred: Float[Tensor, "b tokens width"],
        share: Float[Tensor, "b cells"],
        inside: Bool[Tensor, "b cells"],
    ) -> Float[Tensor, "b e"]:
        """[1]'s G2L: the local stream takes up the patches of the blurred one that lie in the mask.

        Args:
            local, blurred: `early` of the local and of the blurred images.
            share, inside: Each mask on the patches, as above; the blurred stream's class token sees those inside.
        """
        for index in range(self.masked[0], len(self.blocks)):
            addition = FUSION_WEIGHT * _masked(blurred, share) if index in self.masked else 0
            local = self._step(index, local + addition)
            if index < len(self.blocks) - 1:
                blurred = self._step(index, blurred, self._seen(index, inside))
        return self._project(local)

    def fuse_into_global(
        self,
        local: Float[Tensor, "b tokens width"],
        blurred: Float[Tensor, "b tokens width"],
        inside: Bool[Tensor, "b cells"],
    ) -> Float[Tensor, "b e"]:
        """[1]'s L2G: the blurred stream, weighted, takes up the local one; arguments as above."""
        for index in range(self.masked[0], len(self.blocks)):
            mixed = local + FUSION_WEIGHT * blurred if index in self.masked else blurred
            blurred = self._step(index, mixed, self._seen(index, inside))
            if index < len(self.blocks) - 1:
                local = self._step(index, local)
        return self._project(blurred)

    def embed(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b tokens width"]:
        """The class token and the patches with their places; the images may have another size than the model's."""
        visual = self.visual
        patches = visual.conv1(images)  # (b, width, rows, columns)
        position = self._positions(patches.shape[-1])
        token = visual.class_embedding.expand(len(images), 1, -1)
        tokens: Float[Tensor, "b tokens width"] = visual.ln_pre(
            torch.cat([token, patches.flatten(2).transpose(1, 2)], dim=1) + position
        )
        return tokens

    def run(
        self, block: ResidualAttentionBlock, tokens: Float[Tensor, "b tokens width"]
    ) -> Float[Tensor, "b tokens width"]:
        """A block of the tower, as it is."""
        return self._ordered(block(self._ordered(tokens)))

    def _positions(self, side: int) -> Float[Tensor, "tokens width"]:
        """The position embedding, resampled if the image has other than g x g patches."""
        own: Float[Tensor, "tokens width"] = self.visual.positional_embedding
        if side == self.grid:
            return own
        patches = own[1:].T.unflatten(1, (self.grid, self.grid))[None]  # (1, width, g, g)
        resized = F.interpolate(patches, (side, side), mode="bicubic", align_corners=False, antialias=True)
        return torch.cat([own[:1], resized[0].flatten(1).T])

    def _seen(self, index: int, inside: Bool[Tensor, "b cells"]) -> Bool[Tensor, "b cells"] | None:
        return inside if index in self.masked else None

    def _step(
        self, index: int, tokens: Float[Tensor, "b tokens width"], inside: Bool[Tensor, "b cells"] | None = None
    ) -> Float[Tensor, "b n width"]:
        """A block in which the class token attends to itself and to the patches inside, everything else to everything."""
        block = self.blocks[index]
        if index == len(self.blocks) - 1:
            return self._class_row(block, tokens, inside)
        if inside is None:
            return self.run(block, tokens)
        return torch.cat([self._class_row(block, tokens, inside), self.run(block, tokens)[:, 1:]], dim=1)

    def _class_row(
        self,
        block: ResidualAttentionBlock,
        tokens: Float[Tensor, "b tokens width"],
        inside: Bool[Tensor, "b cells"] | None,
    ) -> Float[Tensor, "b 1 width"]:
        """The class token after a block."""
        forbidden = None
        if inside is not None:  # additive, because a boolean mask means different things to different modules
            allowed = torch.cat([inside.new_ones(len(inside), 1), inside], dim=1)
            forbidden = torch.zeros_like(allowed, dtype=tokens.dtype).masked_fill(~allowed, float("-inf"))
        return self._attend(block, tokens, forbidden, 1)

    def _attend(
        self,
        block: ResidualAttentionBlock,
        tokens: Float[Tensor, "b tokens width"],
        bias: Float[Tensor, "b tokens"] | None,
        rows: int,
    ) -> Float[Tensor, "b rows width"]:
        """The first tokens after a block, with something added to the logits of the keys."""
        normed = block.ln_1(tokens)
        queries, keys = self._ordered(normed[:, :rows]), self._ordered(normed)
        attended, _ = block.attn(queries, keys, keys, key_padding_mask=bias, need_weights=False)
        states = tokens[:, :rows] + block.ls_1(self._ordered(attended))
        output: Float[Tensor, "b rows width"] = states + block.ls_2(block.mlp(block.ln_2(states)))
        return output

    def _ordered(self, tokens: Float[Tensor, "x y width"]) -> Float[Tensor, "_x _y width"]:
        """To the library's order of axes and back: it was tokens first once, and is batch first now."""
        return tokens if self.visual.transformer.batch_first else tokens.transpose(0, 1)

    def _project(self, tokens: Float[Tensor, "b n width"]) -> Float[Tensor, "b e"]:
        features: Float[Tensor, "b e"]
        with torch.autocast(tokens.device.type, enabled=False):  # whatever the blocks' precision
            features = self.visual.ln_post(tokens[:, 0].float()) @ self.visual.proj
        return features


def _checked(visual: VisionTransformer, name: str) -> VisionTransformer:
    if visual.grid_size[0] != visual.grid_size[1]:
        raise BadInput(
            f"The image tower of {name} sees {visual.grid_size} patches (H, W); give a model of square images."
        )
    other = next((b for b in visual.transformer.resblocks if not isinstance(b, ResidualAttentionBlock)), None)
    if other is not None:
        raise BadInput(
            f"The image tower of {name} is made of {type(other).__name__}s; give a model of CLIP's own blocks, such as "
            "ViT-B-16-quickgelu."
        )
    return visual


def _masked_indices(masked_blocks: int | Sequence[int] | None, depth: int, name: str) -> tuple[int, ...]:
    if masked_blocks is None:
        masked_blocks = min(LAST_BLOCKS, depth)
    if isinstance(masked_blocks, int):
        indices = tuple(range(depth - masked_blocks, depth)) if masked_blocks <= depth else ()
    else:
        indices = tuple(sorted(set(masked_blocks)))
    if not indices or indices[0] < 0 or indices[-1] >= depth:
        raise BadInput(
            f"masked_blocks is {masked_blocks}; {name} has {depth} blocks: give how many last ones, 1 to {depth}, "
            f"or a list of indices from 0 to {depth - 1}."
        )
    return indices


def _masked(
    tokens: Float[Tensor, "b tokens width"], share: Float[Tensor, "b cells"]
) -> Float[Tensor, "b tokens width"]:
    """Patch tokens times the mask's share; the class token is kept."""
    return tokens * torch.cat([share.new_ones(len(share), 1), share], dim=1)[:, :, None]
