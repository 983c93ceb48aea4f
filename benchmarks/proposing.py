"""`ris bench proposals`: what the parts of proposing cost on the CPU, in the ways of the proposer `sam` and in the package
`segment_anything` itself, in one run.

The filters get made-up logits like those of a photograph: 768 masks of 60 things, their parts and groups, of which SAM rates three
quarters as good. The decoder and the image encoder's attention have random weights of the true size.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import PromptEncoder, Sam
from segment_anything.modeling.image_encoder import Attention
from segment_anything.utils.amg import build_point_grid
from torch import Tensor, nn

from ris_core.arrays import Array
from ris_core.geometry import masks
from ris_core.proposers import _filters, _grid_decoder, _prompting
from ris_core.proposers._image_attention import ImageAttention
from ris_core.proposers._logit_filters import Frame, Limits, find
from ris_core.proposers._mobile_sam import build_mobile_sam
from ris_core.proposers._predictor import Predictor
from ris_core.proposers.sam import CPU_POINTS

BLANK = np.zeros((480, 640, 3), np.uint8)
"""A picture of the size of most in COCO; nobody looks at it."""
THINGS = 60
LIMITS: dict[str, Any] = {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.7, "box_nms_thresh": 0.9}
"""Those of the profile `base`, as are the following."""
SMALLEST = 0.0026 * BLANK.shape[0] * BLANK.shape[1]
MAX_MASK_IOU, MAX_PROPOSALS = 0.8, 100
SAME_IOU = 0.9
PATCHES = 64
"""Rows and columns of patches that SAM's image encoder sees of an image."""


@dataclass(frozen=True)
class ProposingCost:
    """CPU seconds of one way.

    Attributes:
        ratio: How many times less that is than the package itself takes.
        kept: Number of proposals.
        same: Of filters, the share of the proposals of filtering at the image's size that are kept too (IoU above `SAME_IOU`); of the
            others, the share of numbers that are equal within 1e-4.
    """

    part: str
    way: str
    cpu_s: float
    ratio: float
    kept: int | None = None
    same: float | None = None


def measure(points_per_side: int = 16) -> tuple[ProposingCost, ...]:
    """Compare the ways at a grid of points."""
    torch.manual_seed(0)
    with torch.no_grad():
        decoders = _compare_decoders(points_per_side**2 // 4)
        return *compare_filters(points_per_side), *decoders, *_compare_attention()


def to_json(costs: Sequence[ProposingCost]) -> str:
    """As one JSON document."""
    return json.dumps([asdict(cost) for cost in costs], indent=1)


def to_markdown(costs: Sequence[ProposingCost]) -> str:
    """As a table."""
    rows = [
        f"| {c.part} | {c.way} | {c.cpu_s:.2f} | {c.ratio:.1f} | {'' if c.kept is None else c.kept} | "
        f"{'' if c.same is None else f'{c.same:.1%}'} |"
        for c in costs
    ]
    about = f"A picture of 640 x 480; CPU seconds, {torch.get_num_threads()} threads."
    head = ["| part | way | CPU s | times less | proposals | the same |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    return "\n".join([about, "", *head, *rows])


class _AtOnce(nn.Module):
    """In the place of the image encoder and of the decoder: answers at once, with made-up masks in turn."""

    img_size = 1024

    def __init__(self, logits: Tensor, predicted_iou: Tensor) -> None:
        super().__init__()
        self.logits, self.predicted_iou, self.asked = logits, predicted_iou, 0

    def forward(self, image: Tensor | None = None, **prompts: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The embedding of an image, or logits (B, 3, 256, 256) and predicted IoU (B, 3)."""
        if image is not None:
            return torch.zeros(1, 256, 64, 64)
        batch = slice(self.asked, self.asked + len(prompts["sparse_prompt_embeddings"]))
        self.asked = batch.stop
        return self.logits[batch], self.predicted_iou[batch]


def compare_filters(points_per_side: int = 16) -> Iterator[ProposingCost]:
    """The filters of made-up masks, in each way."""
    made = make_logits(points_per_side)
    ways: dict[str, Callable[[], Sequence[Any]]] = {
        "the package's generator": lambda: _generator(points_per_side, made, is_plain=True).generate(BLANK),
        "at the image's size": lambda: _filter_large(_generator(points_per_side, made, is_plain=False)),
        "as logits": lambda: _filter_logits(*made),
    }
    plain_s, expected = 0.0, []
    for way, step in ways.items():
        found, cpu_s = _timed(step)
        plain_s = plain_s or cpu_s
        same = None
        if way == "at the image's size":
            expected = found
        elif expected:
            same = float((masks.iou(_stack(expected), _stack(found)).max(1) > SAME_IOU).mean())
        yield ProposingCost(f"filters, {made[1].numel()} masks", way, cpu_s, plain_s / cpu_s, len(found), same)


def _generator(points_per_side: int, made: tuple[Tensor, Tensor], is_plain: bool) -> SamAutomaticMaskGenerator:
    net = _net(*made)
    generator = SamAutomaticMaskGenerator(net, points_per_side, points_per_batch=32, **LIMITS)
    if not is_plain:
        generator.predictor = Predictor(net, LIMITS["pred_iou_thresh"])
    return generator


def _net(logits: Tensor, predicted_iou: Tensor) -> Sam:
    at_once = _AtOnce(logits, predicted_iou)
    return Sam(at_once, PromptEncoder(256, (64, 64), (1024, 1024), 16), at_once).eval()


def _filter_large(generator: SamAutomaticMaskGenerator) -> list[dict[str, Any]]:
    """As `SamProposer` without `filter_logits`."""
    records = [_filters.clean(record, SMALLEST) for record in generator.generate(BLANK)]
    records = [record for record in records if record["area"] >= SMALLEST]
    quality = [record["predicted_iou"] * record["stability_score"] for record in records]
    return _filters.keep_distinct(records, quality, MAX_MASK_IOU)[:MAX_PROPOSALS]


def _filter_logits(logits: Tensor, predicted_iou: Tensor) -> list[dict[str, Any]]:
    """As `SamProposer` with `filter_logits`."""
    net = _net(logits, predicted_iou)
    batches = (
        (own[iou > LIMITS["pred_iou_thresh"]], iou[iou > LIMITS["pred_iou_thresh"]])
        for own, iou in zip(logits, predicted_iou, strict=True)
    )
    frame = Frame.of(net, (768, 1024), BLANK.shape[:2])
    stability, offset, overlap = LIMITS["stability_score_thresh"], 1.0, LIMITS["box_nms_thresh"]
    return find(net, batches, frame, Limits(stability, offset, overlap, MAX_MASK_IOU, MAX_PROPOSALS, SMALLEST))


def make_logits(points_per_side: int) -> tuple[Float[Tensor, "n 3 y x"], Float[Tensor, "n 3"]]:
    """For each point of a grid a part, the whole and the group of one of 60 ellipses, each a little different, with predicted IoU."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:256, :256] + 0.5
    centres = rng.uniform((0, 0), (192, 256), (THINGS, 2))
    radii = np.exp(rng.uniform(np.log(6), np.log(60), (THINGS, 2)))
    logits = []
    for point in build_point_grid(points_per_side)[:, ::-1] * (192, 256):
        one, other = np.argsort((((centres - point) / radii) ** 2).sum(1))[:2]
        whole = _level(y, x, centres[one], radii[one])
        part = _level(y, x, centres[one] + radii[one] * 0.4, radii[one] * 0.5)
        group = np.maximum(whole, _level(y, x, centres[other], radii[other]))
        for level in (part, whole, group):
            rough = cv2.resize(rng.normal(0, 1, (32, 32)), (256, 256), interpolation=cv2.INTER_CUBIC)
            logits.append(np.clip(level * rng.uniform(8, 60), -20, 20) + rough)
    shape = len(logits) // 3, 3
    predicted_iou = torch.from_numpy(rng.uniform(0.6, 1, shape).astype(np.float32))
    return torch.from_numpy(np.stack(logits).astype(np.float32)).reshape(*shape, 256, 256), predicted_iou


def _level(
    y: Float[Array, "y x"], x: Float[Array, "y x"], centre: Float[Array, "2"], radii: Float[Array, "2"]
) -> Float[Array, "y x"]:
    """1 at an ellipse's centre, 0 at its edge, below 0 outside."""
    level: Float[Array, "y x"] = 1 - np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1])
    return level


def _compare_decoders(points: int) -> Iterator[ProposingCost]:
    net, features = build_mobile_sam().eval(), torch.randn(1, 256, 64, 64)
    points_xy = torch.rand(points, 2) * 1024
    part = f"decoder, {points} points"

    def as_package() -> list[Tensor]:
        signs = torch.ones(8, 1)
        batches = [(batch[:, None], signs[: len(batch)]) for batch in points_xy.split(8)]
        return [_prompting.decode(net, features, batch, None, None, True)[0].flatten(0, 1) for batch in batches]

    def shared() -> list[Tensor]:
        image = _grid_decoder.prepare(net, features)
        return [_grid_decoder.decode(net, image, batch, 0.0)[0] for batch in points_xy.split(CPU_POINTS)]

    expected, package_s = _timed(as_package)
    found, shared_s = _timed(shared)
    yield ProposingCost(part, "the package's", package_s, 1.0)
    same = _share_of_equal(torch.cat(found), torch.cat(expected))
    yield ProposingCost(part, "the image's side shared", shared_s, package_s / shared_s, same=same)


def _compare_attention() -> Iterator[ProposingCost]:
    """Of a ViT-B's block of the whole image, which are four of twelve."""
    stock = Attention(768, num_heads=12, use_rel_pos=True, input_size=(PATCHES, PATCHES))
    for positions in (stock.rel_pos_h, stock.rel_pos_w):
        nn.init.normal_(positions, std=0.3)
    patches = torch.randn(1, PATCHES, PATCHES, 768)
    part = f"attention of {PATCHES} x {PATCHES} patches"
    expected, package_s = _timed(lambda: stock(patches))
    found, own_s = _timed(lambda: ImageAttention(stock)(patches))
    yield ProposingCost(part, "the package's", package_s, 1.0)
    yield ProposingCost(part, "a head at a time", own_s, package_s / own_s, same=_share_of_equal(found, expected))


def _share_of_equal(found: Tensor, expected: Tensor) -> float:
    return float(torch.isclose(found, expected, rtol=1e-4, atol=1e-5).float().mean())


def _stack(records: Sequence[Mapping[str, Any]]) -> Bool[Array, "n h w"]:
    return np.stack([record["segmentation"] for record in records])


def _timed(step: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    made = step()
    return made, time.process_time() - started
