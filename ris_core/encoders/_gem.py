"""Patch features that words find: GEM, from the inside of CLIP's vision transformer.

Source: [0] Bousselham et al., "Grounding Everything: Emerging Localization Properties in Vision-Language Transformers", CVPR
2024, Section 3. Written from the formulas on the tower's public modules, so that it does not depend on their order of axes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from ris_core.encoders._vit import VisionTower
from ris_core.errors import BadInput


class Grounding(NamedTuple):
    """Settings of [0] for a tower of B blocks.

    Attributes:
        px: Side of the image, a multiple of the patches' side.
        blocks: How many last blocks have the second stream, 0 to B.
        rounds: Times that alike tokens are drawn together.
        temperature: Factor on the cosines between tokens; None takes it from the tokens' norms, block by block.
    """

    px: int
    blocks: int
    rounds: int = 1
    temperature: float | None = None

    @classmethod
    def of(
        cls,
        tower: VisionTower,
        px: int | None = None,
        blocks: int | None = None,
        rounds: int = 1,
        temperature: float | None = None,
    ) -> "Grounding":
        """Settings that suit a tower: by default twice its image size and, as in [0], half of its blocks.

        Raises:
            BadInput: If one of them is out of range.
        """
        depth, patch = len(tower.blocks), tower.patch_px
        px = 2 * tower.size_px // patch * patch if px is None else px
        blocks = depth // 2 if blocks is None else blocks
        if px < patch or px % patch:
            raise BadInput(
                f"heat_px is {px}; {tower.name} has patches of {patch} px: give a multiple, such as {32 * patch}."
            )
        if not 0 <= blocks <= depth:
            raise BadInput(f"heat_blocks is {blocks}; {tower.name} has {depth} blocks: give 0 to {depth}.")
        if rounds < 0:
            raise BadInput(f"heat_rounds is {rounds}; give 0 or more.")
        return cls(px, blocks, rounds, temperature)


def inputs(tower: VisionTower, image: Float[Tensor, "1 3 s s"]) -> list[Float[Tensor, "1 tokens width"]]:
    """The tokens before each block; the image may have another size than the model's."""
    stages = [tower.embed(image)]
    for block in tower.blocks[:-1]:
        stages.append(tower.run(block, stages[-1]))
    return stages


def ground(
    tower: VisionTower, before: list[Float[Tensor, "1 tokens width"]], settings: Grounding
) -> Float[Tensor, "tokens e"]:
    """[0]'s features of the class token and the patches, not normalised.

    Args:
        before: `inputs` of the image at the settings' size.
        settings: Without blocks the ordinary stream is read: CLIP's own patches.
    """
    first = len(tower.blocks) - settings.blocks
    grounded = before[first] if settings.blocks else tower.run(tower.blocks[-1], before[-1])
    for block, tokens in zip(tower.blocks[first:], before[first:], strict=True):
        attended = _gather_alike(block, block.ln_1(tokens), settings.rounds, settings.temperature)
        grounded = grounded + block.ls_1(attended)
    features: Float[Tensor, "tokens e"] = (tower.visual.ln_post(grounded) @ tower.visual.proj)[0]
    return features


def _gather_alike(
    block: ResidualAttentionBlock, normed: Float[Tensor, "1 tokens width"], rounds: int, temperature: float | None
) -> Float[Tensor, "1 tokens width"]:
    """[0] Eq. 3-5: values gathered by the likeness of queries to queries, keys to keys and values to values, averaged."""
    attn = block.attn
    heads = (attn.num_heads, attn.head_dim)
    projected = F.linear(normed, attn.in_proj_weight, attn.in_proj_bias)
    query, key, value = (part.unflatten(-1, heads).transpose(1, 2) for part in projected.chunk(3, dim=-1))
    if temperature is None:
        temperature = normed.norm(dim=-1).mean().item() * attn.head_dim**-0.5
    gathered = torch.zeros_like(value)
    for group in (value, key, query):
        unit = F.normalize(group, dim=-1)
        for _ in range(rounds):
            neighbours = F.scaled_dot_product_attention(unit, unit, unit, scale=temperature)
            unit = F.normalize(neighbours, dim=-1)
        gathered = gathered + F.scaled_dot_product_attention(unit, unit, value, scale=temperature)
    output: Float[Tensor, "1 tokens width"] = attn.out_proj((gathered / 3).transpose(1, 2).flatten(2))
    return output
