"""`ris bench crops`: what `guided` loses where only the proposals that rank first without crops get a crop, and what that saves.

A crop ("local") is a pass through the whole image tower; of what a picture's masks look like in their scene ("global") most is shared.
Asked are synthetic scenes with many proposals: the profile's own filters are opened, so that parts and near copies stay.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import open_clip
import torch
from jaxtyping import Float, Int

from benchmarks.masking import make_ellipses
from demo.benchmark import SCENE_READERS
from ris_core import load_segmenter
from ris_core.arrays import Array
from ris_core.encoders._vit import VisionTower
from ris_core.errors import BadExpression
from ris_core.evaluation.bootstrap import Bootstrap
from ris_core.evaluation.dataset import EvaluationImage
from ris_core.evaluation.metrics import Ratio
from ris_core.geometry.masks import to_grid
from ris_core.methods._similarity import unit
from ris_core.methods.guided import GuidedMethod
from ris_core.profiles import read_profile
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Expression, Scores
from ris_core.types.components import ExpressionParser

PROFILE = "demo"
"""The only one whose models know the scenes."""
STYLES = ("second", "held")
WIDENED = {
    "pred_iou_thresh": 0.1,
    "stability_score_thresh": 0.2,
    "box_nms_thresh": 0.95,
    "max_mask_iou": 0.95,
    "max_proposals": 200,
}
"""Settings of the proposer that keep parts, near copies and poor masks."""
LEAST = 40
"""Scenes with fewer proposals are left out."""
SHARES = (1 / 8, 1 / 4, 1 / 2)
"""Of the proposals, those that get a crop."""
MODEL = "ViT-B-16"
COUNTS = (60, 100)


@dataclass(frozen=True)
class CropLoss:
    """What answers lose with crops of one share of the proposals.

    Attributes:
        settings: Whose settings of the method.
        share: Of the proposals that get a crop.
        miou: Of the expressions that mean something, in per cent.
        difference, low, high: To all crops, in points, with its interval of 95 % over images, paired.
        same: Per cent of the expressions whose answer is the same.
    """

    settings: str
    share: float
    miou: float
    difference: float
    low: float
    high: float
    same: float


@dataclass(frozen=True)
class CropCost:
    """CPU seconds of a picture's features.

    Attributes:
        global_s: "global" of all masks.
        local_s: Crops of a share of them, by share.
    """

    masks: int
    global_s: float
    local_s: Mapping[float, float]

    def ratio(self, share: float) -> float:
        """How many times less a picture takes with crops of that share."""
        return (self.global_s + self.local_s[1.0]) / (self.global_s + self.local_s[share])


@dataclass(frozen=True, eq=False)
class CrowdedScene:
    """What is asked of a scene, and its encoding with all crops."""

    case: EvaluationImage
    encoded: EncodedImage


class PartlyLocalMethod(GuidedMethod):
    """`guided` with crops of some proposals only; the others look as they do in their scene.

    Which they are follows from "global" and the expression: the best of the answer, and of each phrase, without any crop.
    """

    def __init__(self, share: float, settings: Mapping[str, Any]) -> None:
        super().__init__(**settings)
        self.share, self.without_crops = share, GuidedMethod(**{**settings, "visual_mix": 1.0})

    def score(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Scores:
        """As `guided` does, from some of the crops."""
        first = self._rank(encoded, expression, texts, logit_scale, logit_bias)
        first = first[: math.ceil(self.share * len(first))]
        looks = unit(encoded.features["global"]).copy()
        looks[first] = unit(encoded.features["local"][first])
        partly = replace(encoded, features={**encoded.features, "local": looks})
        return super().score(partly, expression, texts, logit_scale, logit_bias)

    def _rank(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float,
    ) -> Int[Array, "n"]:
        """All proposals, in turns the next best of the answer and of what each phrase names."""
        method = self.without_crops
        judge = method.judge(encoded, texts, logit_scale, logit_bias)
        things = [thing for referent in expression.referents for thing in referent.things if thing.phrase]
        looks = [judge.judge(replace(thing, clauses=(), excluded=())).look for thing in things]
        answer = method.score(encoded, expression, texts, logit_scale, logit_bias).values
        places = np.stack([np.argsort(np.argsort(-values, kind="stable")) for values in (answer, *looks)])
        order: Int[Array, "n"] = np.lexsort((places.sum(0), places.min(0)))
        return order


def read_crowded(segmenter: Segmenter, limit: int, tell: Callable[[str], None]) -> Iterator[CrowdedScene]:
    """Scenes with at least `LEAST` proposals, encoded.

    Args:
        limit: Scenes of each style that are looked at.
    """
    for style in STYLES:
        for item in SCENE_READERS[style]().items[:limit]:
            tell(f"Encoding {item.image_id}")
            case = item.load()
            encoded = segmenter.encode(case.image)
            if len(encoded.proposals) >= LEAST:
                yield CrowdedScene(case, encoded)


def load() -> Segmenter:
    """The profile with opened filters."""
    return load_segmenter(PROFILE, proposer=WIDENED)


def measure_loss(
    segmenter: Segmenter, scenes: Iterable[CrowdedScene], names: Sequence[str] = (PROFILE, "base")
) -> list[CropLoss]:
    """Compare answers from some crops with those from all, by the settings that profiles give the method."""
    settings = {name: read_profile(name)["method"]["settings"] for name in names}
    methods: dict[tuple[str, float], Any] = {}
    for name, own in settings.items():
        methods |= {(name, share): PartlyLocalMethod(share, own) for share in SHARES}
        methods[name, 1.0] = GuidedMethod(**own)
    segmenters = [replace(segmenter, method=method) for method in methods.values()]
    rows: list[list[float]] = []
    images: list[int] = []
    for image, scene in enumerate(scenes):
        rows += _ask(scene, segmenter.parser, segmenters)
        images += [image] * (len(rows) - len(images))
    bootstrap = Bootstrap(np.array(images, int), 1 + max(images, default=-1))
    ious = dict(zip(methods, np.array(rows).T, strict=True))
    return [_compare(bootstrap, name, share, some, ious[name, 1.0]) for (name, share), some in ious.items()]


def _ask(scene: CrowdedScene, parser: ExpressionParser, segmenters: Sequence[Segmenter]) -> Iterator[list[float]]:
    """For each expression that means something the IoU of each segmenter's answer; 0 of one that cannot be read."""
    for sample in scene.case.samples:
        if not sample.targets:
            continue
        truth = scene.case.truth(sample)
        try:
            expression = parser.parse(sample.text)
            answers = [segmenter.segment(scene.encoded, expression, top_k=1).answer for segmenter in segmenters]
        except BadExpression:
            yield [0.0] * len(segmenters)
        else:
            yield [float((answer & truth).sum() / (answer | truth).sum()) for answer in answers]


def _compare(
    bootstrap: Bootstrap, name: str, share: float, some: Float[Array, "s"], all_crops: Float[Array, "s"]
) -> CropLoss:
    ones = np.ones(len(some))
    loss = bootstrap.difference(Ratio(100 * some, ones), Ratio(100 * all_crops, ones))
    value, low, high = (float(number or 0.0) for number in loss[:3])
    return CropLoss(name, share, float(100 * some.mean()), value, low, high, float(100 * (some == all_crops).mean()))


def measure_cost(counts: Sequence[int] = COUNTS, model: str = MODEL) -> list[CropCost]:
    """Time the image tower with random weights on as many masks and crops."""
    torch.manual_seed(0)
    tower = VisionTower(open_clip.create_model(model).eval().visual, None, model)
    picture = torch.randn(1, 3, tower.size_px, tower.size_px)
    return [_cost(tower, picture, count) for count in counts]


@torch.inference_mode()
def _cost(tower: VisionTower, picture: torch.Tensor, count: int) -> CropCost:
    grids = torch.from_numpy(to_grid(make_ellipses(count), tower.grid)).flatten(1)
    global_s = _cpu_s(lambda: tower.mask_tokens(tower.early(picture), grids))
    local_s, done, spent_s = {}, 0, 0.0
    for share in (*SHARES, 1.0):
        wanted = math.ceil(share * count)
        spent_s += _cpu_s(partial(tower.plain, picture.expand(wanted - done, -1, -1, -1)))
        local_s[share], done = spent_s, wanted
    return CropCost(count, global_s, local_s)


def _cpu_s(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


def to_json(losses: Sequence[CropLoss], costs: Sequence[CropCost]) -> str:
    """As one JSON document."""
    return json.dumps({"losses": [asdict(one) for one in losses], "costs": [asdict(one) for one in costs]}, indent=1)


def to_markdown(losses: Sequence[CropLoss], costs: Sequence[CropCost]) -> str:
    """As two tables."""
    rows = [
        f"| `{one.settings}` | {one.share:.3g} N | {one.miou:.2f} | {one.difference:+.2f} | {one.low:+.2f} to {one.high:+.2f} "
        f"| {one.same:.1f}% |"
        for one in losses
    ]
    head = [
        "| settings of | crops | mIoU | difference | 95% interval | same answer |",
        f"|{' --- |' * 2}{' ---: |' * 4}",
    ]
    return "\n".join([*head, *rows, "", *_cost_table(costs)])


def _cost_table(costs: Sequence[CropCost]) -> list[str]:
    shares = " | ".join(f"crops of {share:.3g} N, s | times less in all" for share in SHARES)
    rows = [
        f"| {one.masks} | {one.global_s:.1f} | {one.local_s[1.0]:.1f} | "
        + " | ".join(f"{one.local_s[share]:.1f} | {one.ratio(share):.1f}" for share in SHARES)
        + " |"
        for one in costs
    ]
    return [f"| masks | global, s | crops of all, s | {shares} |", f"|{' ---: |' * (3 + 2 * len(SHARES))}", *rows]
