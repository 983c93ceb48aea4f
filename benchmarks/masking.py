"""`ris bench masking`: features of masked tokens, with all tokens and with those outside a mask counted as one, in one run."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import open_clip
import torch
from jaxtyping import Bool
from torch import Tensor

from ris_core.arrays import Array
from ris_core.encoders._vit import VisionTower
from ris_core.geometry.masks import to_grid

MODEL = "ViT-B-16"
COUNTS = (20, 60, 100)


@dataclass(frozen=True)
class MaskingCost:
    """What a picture's masks cost, in CPU seconds.

    Attributes:
        shared_s: The blocks before the first masked one, once for all masks.
        all_s: The masked blocks with all tokens of each mask.
        counted_s: The same with the tokens outside counted as one.
        difference: The largest between the two features, relative to the largest number.
    """

    masks: int
    shared_s: float
    all_s: float
    counted_s: float
    difference: float

    @property
    def ratio(self) -> float:
        """How many times less the masked blocks take."""
        return self.all_s / self.counted_s

    @property
    def whole_ratio(self) -> float:
        """How many times less a picture takes, the shared blocks included."""
        return (self.shared_s + self.all_s) / (self.shared_s + self.counted_s)


def measure(counts: Sequence[int] = COUNTS, model: str = MODEL) -> tuple[MaskingCost, ...]:
    """Compare both ways on ellipses of all sizes, with random weights."""
    torch.manual_seed(0)
    net = open_clip.create_model(model).eval()
    tower = VisionTower(net.visual, None, model)
    picture = torch.randn(1, 3, tower.size_px, tower.size_px)
    return tuple(_compare(tower, picture, count) for count in counts)


def to_json(costs: Sequence[MaskingCost]) -> str:
    """As one JSON document."""
    return json.dumps(
        [asdict(cost) | {"ratio": cost.ratio, "whole_ratio": cost.whole_ratio} for cost in costs], indent=1
    )


def to_markdown(costs: Sequence[MaskingCost]) -> str:
    """As a table."""
    head = "| masks | shared blocks, s | all tokens, s | counted, s | times less | of all | difference |"
    rows = [
        f"| {c.masks} | {c.shared_s:.2f} | {c.all_s:.2f} | {c.counted_s:.2f} | {c.ratio:.1f} | {c.whole_ratio:.1f} | {c.difference:.0e} |"
        for c in costs
    ]
    about = f"{MODEL} with random weights; CPU seconds, {torch.get_num_threads()} threads."
    return "\n".join([about, "", head, f"|{' ---: |' * 7}", *rows])


@torch.inference_mode()
def _compare(tower: VisionTower, picture: Tensor, count: int) -> MaskingCost:
    share = torch.from_numpy(to_grid(make_ellipses(count), tower.grid)).flatten(1)
    tokens, shared_s = _timed(lambda: tower.early(picture))
    expected, all_s = _timed(lambda: _mask_all(tower, tokens, share))
    found, counted_s = _timed(lambda: tower.mask_tokens(tokens, share))
    difference = float((found - expected).abs().max() / expected.abs().max())
    return MaskingCost(count, shared_s, all_s, counted_s, difference)


def _mask_all(tower: VisionTower, tokens: Tensor, share: Tensor) -> Tensor:
    """By the definition, with every token; of the last block the class token's row only."""
    factor = torch.cat([torch.ones(len(share), 1), share], dim=1)[..., None]
    states = tokens.expand(len(share), -1, -1)
    for index in tower.masked[:-1]:
        states = tower.run(tower.blocks[index], states * factor)
    block, states = tower.blocks[tower.masked[-1]], states * factor
    normed = block.ln_1(states)
    row = states[:, :1] + block.attn(normed[:, :1], normed, normed, need_weights=False)[0]
    row = row + block.mlp(block.ln_2(row))
    features: Tensor = tower.visual.ln_post(row[:, 0]) @ tower.visual.proj
    return features


def _timed(step: Callable[[], Tensor]) -> tuple[Tensor, float]:
    started = time.process_time()
    made = step()
    return made, time.process_time() - started


def make_ellipses(count: int) -> Bool[Array, "n h w"]:
    """With radii from a thirtieth to a quarter of the sides."""
    rng, side = np.random.default_rng(0), 448
    y, x = np.mgrid[:side, :side] / side
    centres, radii = rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(1 / 30, 1 / 4, (count, 2))
    return np.stack(
        [((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1 for (cy, cx), (ry, rx) in zip(centres, radii, strict=True)]
    )
