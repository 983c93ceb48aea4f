"""`ris bench memory`: what remembering corrected regions is worth on things that the models never saw, and what it harms.

A simulated annotator saves regions of new things, one in ten of them wrong, in scenes of a project; what is remembered of them is measured
on the other scenes of the project, and on ordinary scenes with the same nouns. Encoded scenes are kept: measuring again takes minutes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from backend.inference.feature_cache import FeatureCache
from demo.expressions import make_expressions
from demo.new_things import NAMES, call_by_made_up_names, make_new_scene, new_nouns
from demo.scenes import Scene, make_scene
from ris_core import load_segmenter
from ris_core.arrays import Array
from ris_core.geometry import masks
from ris_core.learning.memory_examples import make_example
from ris_core.learning.memory_fitting import ChosenProposal, MemoryExample, fit_memory
from ris_core.methods._region_memory import RegionMemory
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image

PROFILE = "demo"
SEEDS: Mapping[str, Sequence[int]] = {
    "open": range(900_000, 900_160),
    "held": range(930_000, 930_120),
    "ordinary": (*range(910_000, 910_175), *range(911_600, 912_925)),
}
"""Of the scenes; nothing was trained or fitted on any of them."""
CORRECTIONS, PER_IMAGE, MISTAKES = 50, 2, 0.1
SIZES = (25, 50, 100, 200)
"""Numbers of corrections for which the gate's power is measured."""
RESAMPLES = 2000
MAX_ERROR = 0.05
CACHE_BYTES = 4 * 1024**3


@dataclass(frozen=True, eq=False)
class MemoryCase:
    """An expression of one thing in a scene.

    Attributes:
        noun: Of what is meant.
        overlaps: (N, K), IoU of each proposal with each thing of the scene.
        target: Which thing is meant.
    """

    example: MemoryExample
    noun: str
    overlaps: Float[Array, "n k"]
    target: int

    def saved(self, thing: int | None) -> MemoryExample:
        """The example as an annotator left it: with that thing saved, or with what was offered if None."""
        if thing is None:
            chosen = self.example.choose(None)
            offered = np.zeros(len(self.overlaps))
            offered[[chosen.proposal] if chosen else []] = 1
            return replace(self.example, overlaps=offered, has_target=chosen is not None)
        return replace(self.example, overlaps=self.overlaps[:, thing])


@dataclass(frozen=True)
class MemoryResult:
    """What 50 corrections are worth, means over orders in which scenes were labelled.

    Attributes:
        expressions, images: That were measured on.
        miou, miou_remembered: IoU of what is handed out with what is meant; 0 if nothing is.
        low, high: 95 % interval of the gain, images drawn anew.
        applied: Share of the orders that the gate let pass; the others count with no gain.
        power: The same for each of `SIZES`; None where there are too few scenes.
        untouched, untouched_remembered: Largest share of the expressions that can be accepted unseen with an error of `MAX_ERROR`.
        harm, harm_low, harm_expressions: Change of the mIoU on ordinary scenes, for expressions that name a remembered noun.
    """

    part: str
    naming: str
    expressions: int
    images: int
    miou: float
    miou_remembered: float
    low: float
    high: float
    oracle: float
    applied: float
    power: dict[int, float | None]
    untouched: float
    untouched_remembered: float
    harm: float
    harm_low: float
    harm_expressions: int


def measure(
    folder: Path, orders: int = 20, scenes: int = 475, report: Callable[[str], None] = lambda text: None
) -> list[MemoryResult]:
    """Simulate projects.

    Args:
        folder: Where encoded scenes are kept, and found again.
        orders: In how many orders the scenes of a project are labelled.
        scenes: Number of ordinary scenes.
        report: Is told what is being done.
    """
    results = []
    ordinary = read_cases(folder, "ordinary", scenes, is_named=False, report=report)
    for part in ("open", "held"):
        for naming in ("known", "made-up"):
            cases = read_cases(folder, part, len(SEEDS[part]), naming == "made-up", report)
            report(f"learning from the {part} scenes, {naming} names")
            results.append(measure_part(part, naming, cases, ordinary, orders))
    return results


def measure_part(
    part: str, naming: str, cases: Sequence[MemoryCase], ordinary: Sequence[MemoryCase], orders: int
) -> MemoryResult:
    """The gain on a part's scenes and the harm on ordinary ones."""
    nouns = frozenset(NAMES[one] if naming == "made-up" else one for one in new_nouns(part))
    own = [one for one in cases if one.noun in nouns]
    rows, harms, untouched, passed = [], [], [], []
    for seed in range(orders):
        corrections, labelled = annotate(own, CORRECTIONS, seed, MISTAKES)
        memory = fit_memory(corrections).memory
        passed.append(memory is not None)
        tests = [one for one in own if one.example.image not in labelled]
        sides = [_judge(tests, None), _judge(tests, memory)]
        rows += [(one.example.image, *scores) for one, *scores in zip(tests, sides[0][0], sides[1][0], strict=True)]
        untouched.append([_share_untouched(*side) for side in sides])
        harms += _harm(ordinary, memory)
    table: Float[Array, "m 3"] = np.array(rows)
    gain = table[:, 2] - table[:, 1]
    harm: Float[Array, "m 2"] = np.array(harms).reshape(-1, 2)
    low, high = resample(gain, table[:, 0])
    shares = np.mean(untouched, axis=0)
    return MemoryResult(
        part=part,
        naming=naming,
        expressions=len(own),
        images=len(np.unique(table[:, 0])),
        miou=float(table[:, 1].mean()),
        miou_remembered=float(table[:, 2].mean()),
        low=low,
        high=high,
        oracle=float(np.mean([one.example.overlaps.max(initial=0.0) for one in own])),
        applied=float(np.mean(passed)),
        power={size: _power(own, size, orders) if size != CORRECTIONS else float(np.mean(passed)) for size in SIZES},
        untouched=float(shares[0]),
        untouched_remembered=float(shares[1]),
        harm=float(harm[:, 1].mean()) if len(harm) else 0.0,
        harm_low=resample(harm[:, 1], harm[:, 0])[0] if len(harm) else 0.0,
        harm_expressions=len(harm) // orders,
    )


POISONS: dict[str, Callable[[MemoryCase, np.random.Generator], int | None]] = {
    "random regions": lambda case, rng: int(rng.integers(case.overlaps.shape[1])),
    "30 % mistaken": lambda case, rng: _mistake(case, rng, 0.3),
    "accepts everything": lambda case, rng: None,
}
"""Ledgers of ordinary scenes, where the models know the things: what is saved for an expression."""


def poison(cases: Sequence[MemoryCase], trials: int = 200) -> dict[str, float]:
    """Share of the trials in which the gate lets a memory pass that was learnt from a poisoned ledger."""
    shares = {}
    for name, save in POISONS.items():
        passed = []
        for seed in range(trials):
            rng = np.random.default_rng([seed, 7])
            chosen = _choose_cases(cases, CORRECTIONS, rng)
            passed.append(fit_memory([one.saved(save(one, rng)) for one in chosen]).memory is not None)
        shares[name] = float(np.mean(passed))
    return shares


def annotate(
    cases: Sequence[MemoryCase], number: int, seed: int, mistakes: float
) -> tuple[list[MemoryExample], frozenset[int]]:
    """Corrections of a few expressions of each image, some of them mistaken, and the images that are labelled with that."""
    rng = np.random.default_rng(seed)
    chosen = _choose_cases(cases, number, rng)
    saved = [one.saved(_mistake(one, rng, mistakes)) for one in chosen]
    return saved, frozenset(one.example.image for one in chosen)


def resample(values: Float[Array, "m"], image: Float[Array, "m"]) -> tuple[float, float]:
    """95 % interval of a mean, images drawn anew."""
    _, own = np.unique(image, return_inverse=True)
    sums, counts = np.bincount(own, values), np.bincount(own)
    draws = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    low, high = np.percentile((draws @ sums) / (draws @ counts), (2.5, 97.5))
    return float(low), float(high)


def read_cases(
    folder: Path, part: str, number: int, is_named: bool, report: Callable[[str], None] = lambda text: None
) -> list[MemoryCase]:
    """The expressions of a part's scenes; scenes that are not encoded yet are.

    Args:
        is_named: With made-up names, and without the profile's vocabulary, which would refuse them.
    """
    segmenter = load_segmenter(PROFILE)
    segmenter = replace(segmenter, vocabulary=None) if is_named else segmenter
    cache, cases = FeatureCache(folder, CACHE_BYTES), []
    for seed in SEEDS[part][:number]:
        scene = make_scene(seed) if part == "ordinary" else make_new_scene(part, seed)
        image = Image.from_array(scene.image)
        encoded = cache.get(segmenter.encode_fp, image.sha256)
        if encoded is None:
            report(f"encoding scene {seed} of {part}")
            encoded = cache.put(segmenter.encode(image))
        things = np.array([one.mask for one in scene.objects])
        cases += make_cases(segmenter, scene, encoded, masks.iou(encoded.proposals.masks, things), is_named)
    return cases


def make_cases(
    segmenter: Segmenter, scene: Scene, encoded: EncodedImage, overlaps: Float[Array, "n k"], is_named: bool
) -> list[MemoryCase]:
    """The expressions of a scene that mean one thing."""
    cases = []
    for one in make_expressions(scene):
        if len(one.targets) != 1:
            continue
        [target] = one.targets
        text = call_by_made_up_names(one.text) if is_named else one.text
        example = make_example(segmenter, encoded, text, overlaps[:, target], True, scene.seed)
        if example:
            noun = scene.objects[target].noun
            example = replace(example, choose=_remembering(example))
            cases.append(MemoryCase(example, NAMES.get(noun, noun) if is_named else noun, overlaps, target))
    return cases


def to_json(results: Sequence[MemoryResult], poisoned: dict[str, float]) -> str:
    """One JSON document."""
    return json.dumps({"results": [asdict(one) for one in results], "poisoned": poisoned})


def to_markdown(results: Sequence[MemoryResult], poisoned: dict[str, float]) -> str:
    """Tables."""
    lines = [
        "| nouns | names | expressions | mIoU | gain, points | possible | applied | applied at "
        f"{', '.join(map(str, SIZES))} | accepted unseen at {MAX_ERROR:.0%} error | harm, points (lower bound) | touched |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in results:
        gain = 100 * (one.miou_remembered - one.miou)
        power = ", ".join("-" if share is None else f"{share:.0%}" for share in one.power.values())
        lines.append(
            f"| {one.part} | {one.naming} | {one.expressions:,} | {one.miou:.3f} -> {one.miou_remembered:.3f} | {gain:+.1f} "
            f"[{100 * one.low:+.1f}, {100 * one.high:+.1f}] | {one.oracle:.3f} | {one.applied:.0%} | {power} | "
            f"{one.untouched:.0%} -> {one.untouched_remembered:.0%} | {100 * one.harm:+.2f} ({100 * one.harm_low:+.2f}) | "
            f"{one.harm_expressions:,} |"
        )
    lines += ["", "| poisoned ledger | applied |", "| --- | ---: |"]
    return "\n".join([*lines, *(f"| {name} | {share:.1%} |" for name, share in poisoned.items())])


def _remembering(example: MemoryExample) -> Callable[[RegionMemory | None], ChosenProposal | None]:
    """The same choice, worked out once where no memory touches it."""
    plain = cache(lambda: example.choose(None))
    return lambda memory: example.choose(memory) if memory and any(map(memory.knows, example.names)) else plain()


def _choose_cases(cases: Sequence[MemoryCase], number: int, rng: np.random.Generator) -> list[MemoryCase]:
    """A few of each image until there are enough."""
    images = np.array([one.example.image for one in cases])
    chosen: list[MemoryCase] = []
    for image in rng.permutation(np.unique(images)).tolist():
        own = rng.permutation(np.flatnonzero(images == image))[:PER_IMAGE]
        chosen += [cases[i] for i in own.tolist()]
        if len(chosen) >= number:
            break
    return chosen[:number]


def _mistake(case: MemoryCase, rng: np.random.Generator, share: float) -> int:
    """What is meant, or sometimes another thing of the scene."""
    others = [thing for thing in range(case.overlaps.shape[1]) if thing != case.target]
    return others[rng.integers(len(others))] if others and rng.random() < share else case.target


def _judge(tests: Sequence[MemoryCase], memory: RegionMemory | None) -> tuple[Float[Array, "m"], Float[Array, "m"]]:
    """IoU of what answers with what is meant, and how probable the answer is; 0 without one."""
    answers = [one.example.choose(memory) for one in tests]
    values = np.array([0.0 if one is None else one.value for one in answers])
    scores = [
        0.0 if own is None else one.example.overlaps[own.proposal] for one, own in zip(tests, answers, strict=True)
    ]
    return np.array(scores, float), values


def _share_untouched(scores: Float[Array, "m"], values: Float[Array, "m"]) -> float:
    """Largest share, the most probable first, of which at most `MAX_ERROR` is wrong."""
    order = np.argsort(-values, kind="stable")
    wrong = np.cumsum(scores[order] < 0.5) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(wrong <= MAX_ERROR)
    return float(good.max(initial=-1) + 1) / len(order)


def _harm(ordinary: Sequence[MemoryCase], memory: RegionMemory | None) -> list[tuple[int, float]]:
    """Image and change for each expression that names a remembered noun."""
    if memory is None:
        return []
    touched = [one.example for one in ordinary if any(map(memory.knows, one.example.names))]
    return [(one.image, one.score(memory) - one.score(None)) for one in touched]


def _power(cases: Sequence[MemoryCase], number: int, orders: int) -> float | None:
    fits = []
    for seed in range(orders):
        corrections, _ = annotate(cases, number, seed, MISTAKES)
        if len(corrections) < number:
            return None
        fits.append(fit_memory(corrections).memory is not None)
    return float(np.mean(fits))
