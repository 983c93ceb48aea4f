"""`ris bench suspicion`: how many planted errors are found at the top of the queue "suspicious".

Expressions of scenes are answered by the profile. A simulated annotator accepts a proposal that overlaps the truth enough, and else
draws the truth. Then one region in twenty is spoilt, in four ways by turns. Answers are kept in files: measuring again takes seconds.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool

from backend.corrections.matching import boundary_overlap, overlap
from backend.review.suspicion import KINDS, Kind, SuspectRegion, score_regions
from benchmarks import suspicion_boxes
from benchmarks.simulated_annotator import ACCEPTED_IOU, measure_iou
from benchmarks.suspicion_boxes import BoxedRegion
from demo.benchmark import draw_case, draw_other_case
from demo.other_worlds import make_other_scene
from demo.scenes import make_scene
from ris_core import load_segmenter
from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.geometry.masks import Rle, from_rle, to_rle
from ris_core.segmentation.segmenter import Segmenter

PROFILE = "demo"
SEEDS: Mapping[str, range] = {"templates": range(0, 60), "second": range(800_000, 800_060)}
"""Of the scenes, by generator: of both the part that is only ever measured on."""
PER_IMAGE = 5
"""Regions of an image."""
SPOILT = 0.05
"""Share of the regions that is spoilt."""
OUTLINE_IOU = (0.6, 0.85)
"""IoU of a spoilt outline with the truth: drawn evenly between these."""
LOOKED_AT = 0.15
"""Share of the queue that is looked at."""
WANTED, WANTED_OF_A_KIND = 0.8, 0.6
"""Shares of the planted errors that are to be found there."""
ORDERS = ("suspicious", "lowest probability first", "random", "cleanlab's boxes")
"""The last one where cleanlab is installed."""
RESAMPLES = 2_000


@dataclass(frozen=True)
class FoundErrors:
    """What stands in the first part of a queue.

    Attributes:
        order: One of `ORDERS`.
        kind: Of the planted errors; "all" for the four together.
        planted: Number of errors, in all projects.
        found: Share of them that is found.
        low, high: 95 % interval of it, by resampling images.
    """

    world: str
    order: str
    kind: str
    regions: int
    planted: int
    found: float
    low: float
    high: float


def measure(folder: Path, projects: int = 20, report: Callable[[str], None] = lambda text: None) -> list[FoundErrors]:
    """Simulate projects of the scenes of each generator.

    Args:
        folder: Where answers are kept, and found again.
        projects: Simulated projects of each generator; each spoils other regions.
        report: Is told what is being done.
    """
    results = []
    for world in SEEDS:
        scenes = _load(folder, world, report)
        report(f"spoiling {projects:,} projects of {world}")
        results += _measure(world, scenes, projects)
    return results


def to_json(results: Sequence[FoundErrors]) -> str:
    """One JSON document."""
    return json.dumps([asdict(one) for one in results])


def to_markdown(results: Sequence[FoundErrors]) -> str:
    """A table: a row for each generator and order."""
    lines = [
        f"| scenes | regions | order | all errors | {' | '.join(KINDS)} |",
        f"| --- | ---: | --- | ---: | {' | '.join(['---:'] * len(KINDS))} |",
    ]
    for start in range(0, len(results), 1 + len(KINDS)):
        row = results[start : start + 1 + len(KINDS)]
        cells = [f"{one.found:.2f} ({one.low:.2f} to {one.high:.2f}) of {one.planted:,}" for one in row]
        lines.append(f"| {row[0].world} | {row[0].regions:,} | {row[0].order} | {' | '.join(cells)} |")
    if not suspicion_boxes.is_installed():
        lines += ["", f"cleanlab's order is left out: it is not installed ({suspicion_boxes.INSTALL})."]
    return "\n".join(lines)


def spoil_outline(mask: Bool[Array, "h w"], generator: np.random.Generator) -> Bool[Array, "h w"]:
    """Grow, shrink, shift or cut a mask until its IoU with what it was is within `OUTLINE_IOU`; what is too thin is cut."""
    wanted = generator.uniform(*OUTLINE_IOU)
    change = generator.choice([*_CHANGES, "cut"])
    for step in range(1, max(mask.shape) if change in _CHANGES else 0):
        changed = _CHANGES[change](mask, step)
        if (left := measure_iou(changed, mask)) <= wanted:
            if left >= OUTLINE_IOU[0]:
                return changed
            break
    return _cut(mask, wanted)


def _measure(world: str, scenes: Sequence["_Scene"], projects: int) -> list[FoundErrors]:
    images = {scene.image: number for number, scene in enumerate(scenes)}
    planted = np.zeros((len(images), len(KINDS)))
    orders = ORDERS if suspicion_boxes.is_installed() else ORDERS[:-1]
    found = np.zeros((len(orders), *planted.shape))
    size = 0
    for seed in range(projects):
        generator = np.random.default_rng(seed)
        project = _make_project(scenes, generator)
        size += len(project)
        for order, is_seen in enumerate(_look(project, generator)):
            for one, is_found in zip(project, is_seen.tolist(), strict=True):
                if one.spoilt is not None:
                    place = images[int(one.region.task)], KINDS.index(one.spoilt)
                    planted[place] += order == 0
                    found[(order, *place)] += is_found
    draws = np.random.default_rng(0).multinomial(len(images), np.full(len(images), 1 / len(images)), RESAMPLES)
    results = []
    for order, name in enumerate(orders):
        for kind in ("all", *KINDS):
            columns = [i for i, one in enumerate(KINDS) if kind in ("all", one)]
            hits, errors = found[order][:, columns].sum(1), planted[:, columns].sum(1)
            drawn = draws[draws @ errors > 0]
            low, high = np.quantile(drawn @ hits / (drawn @ errors), (0.025, 0.975)).tolist()
            share = float(hits.sum() / errors.sum())
            results.append(FoundErrors(world, name, kind, size // projects, int(errors.sum()), share, low, high))
    return results


class _Made(NamedTuple):
    """A region of a simulated project, the label of what its words mean, and what is wrong with it; None if nothing is."""

    region: SuspectRegion
    meant: str
    spoilt: Kind | None


def _look(project: Sequence[_Made], generator: np.random.Generator) -> Iterator[Bool[Array, "n"]]:
    """Which regions are looked at, by each of `ORDERS`; equal ones are in a random order."""
    regions = [one.region for one in project]
    chance = generator.random(len(regions))
    orders = [one.order for one in score_regions(regions)]
    place = {order: number for number, order in enumerate(sorted(set(orders)))}
    suspicion = np.array([place[order] for order in orders])
    probability = np.array([-1.0 if one.probability is None else one.probability for one in regions])
    values_of = [suspicion, probability, np.zeros(len(regions))]
    if suspicion_boxes.is_installed():
        values_of.append(suspicion_boxes.score_boxes([BoxedRegion(one.region, one.meant) for one in project]))
    for values in values_of:
        is_seen = np.zeros(len(regions), bool)
        is_seen[np.lexsort((chance, values))[: int(LOOKED_AT * len(regions))]] = True
        yield is_seen


def _make_project(scenes: Sequence["_Scene"], generator: np.random.Generator) -> list[_Made]:
    chosen = [
        (scene, scene.answers[i])
        for scene in scenes
        for i in generator.permutation(len(scene.answers))[:PER_IMAGE].tolist()
    ]
    labels = sorted({label for scene in scenes for label in scene.labels})
    spoilt = generator.permutation(len(chosen))[: round(SPOILT * len(chosen))].tolist()
    kind_of = {place: KINDS[number % len(KINDS)] for number, place in enumerate(spoilt)}
    return [
        _spoil(str(number), scene, answer, kind_of.get(number), labels, generator)
        for number, (scene, answer) in enumerate(chosen)
    ]


def _spoil(
    id: str,
    scene: "_Scene",
    answer: "_Answer",
    kind: Kind | None,
    labels: Sequence[str],
    generator: np.random.Generator,
) -> _Made:
    """A region as it was saved, with an error of a kind. A scene in which such an error cannot be made has none."""
    label, mask = scene.labels[answer.thing], scene.masks[answer.thing]
    others = [i for i in range(len(scene.masks)) if i != answer.thing]
    asked = [one for one in scene.answers if one.thing != answer.thing and one.text != answer.text]
    if (kind == "wrong thing" and not others) or (kind == "wrong words" and not asked):
        kind = None
    if kind == "wrong words":  # the annotator means the thing, and types what means another one
        answer = asked[generator.integers(len(asked))]
    if kind == "wrong thing":
        mask = scene.masks[others[generator.integers(len(others))]]
    elif kind == "wrong outline":
        mask = to_rle(spoil_outline(from_rle(mask), generator))
    elif answer.proposed is not None and overlap(mask, answer.proposed) >= ACCEPTED_IOU:
        mask = answer.proposed
    if kind == "wrong label":
        rest = [one for one in labels if one != label]
        label = rest[generator.integers(len(rest))]
    iou = boundary_iou = None
    if answer.proposed is not None:
        iou, boundary_iou = overlap(mask, answer.proposed), boundary_overlap(mask, answer.proposed)
    region = SuspectRegion(
        id, str(scene.image), label, answer.text, answer.probability, iou, boundary_iou, mask, answer.proposed
    )
    return _Made(region, scene.labels[answer.thing], kind)


def _enlarge(mask: Bool[Array, "h w"], step: int) -> Bool[Array, "h w"]:
    return cv2.dilate(mask.astype(np.uint8), _disc(step)).astype(bool)


def _shrink(mask: Bool[Array, "h w"], step: int) -> Bool[Array, "h w"]:
    return cv2.erode(mask.astype(np.uint8), _disc(step), borderValue=0).astype(bool)


def _shift(mask: Bool[Array, "h w"], step: int) -> Bool[Array, "h w"]:
    return np.pad(mask, ((step, 0), (step, 0)))[: mask.shape[0], : mask.shape[1]]


def _cut(mask: Bool[Array, "h w"], rest: float) -> Bool[Array, "h w"]:
    """The lowest part of a mask, a share of its pixels."""
    pixels = np.flatnonzero(mask)
    changed = mask.copy()
    changed.flat[pixels[: round((1 - rest) * len(pixels))]] = False
    return changed


def _disc(radius_px: int) -> Array:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))


_CHANGES: Mapping[str, Callable[[Array, int], Array]] = {
    "enlarge": _enlarge,
    "shrink": _shrink,
    "shift": _shift,
}


class _Answer(NamedTuple):
    """An expression of one thing in a scene: which thing, and what the profile proposed; None where it proposed nothing."""

    text: str
    thing: int
    probability: float | None
    proposed: Rle | None


class _Scene(NamedTuple):
    """What is in a scene, and the answers to its expressions."""

    image: int
    labels: Sequence[str]
    masks: Sequence[Rle]
    answers: Sequence[_Answer]


def _load(folder: Path, world: str, report: Callable[[str], None]) -> list[_Scene]:
    """The answers in a generator's scenes."""
    file = folder / f"{world}.json"
    rows = json.loads(file.read_text()) if file.is_file() else []
    known = {row["image"] for row in rows}
    missing = [seed for seed in SEEDS[world] if seed not in known]
    if missing:
        segmenter = load_segmenter(PROFILE)
        folder.mkdir(parents=True, exist_ok=True)
    for seed in missing:
        report(f"answering scene {seed} of {world}")
        rows.append(_answer(seed, world, segmenter))
        file.write_text(json.dumps(rows))
    return [_Scene(**{**row, "answers": [_Answer(*one) for one in row["answers"]]}) for row in rows]


def _answer(seed: int, world: str, segmenter: Segmenter) -> dict[str, Any]:
    case = draw_case(seed) if world == "templates" else draw_other_case(world, seed)
    things = make_scene(seed).objects if world == "templates" else make_other_scene(world, seed).objects
    encoded, answers = segmenter.encode(case.image), []
    for sample in case.samples:
        if len(sample.targets) != 1:
            continue
        try:
            prediction = segmenter.segment(encoded, sample.text)
        except BadInput:
            continue
        chosen = prediction.selected
        probability = float(prediction.scores[chosen[0]]) if chosen else None
        answers.append(
            _Answer(sample.text, int(sample.targets[0]), probability, to_rle(prediction.answer) if chosen else None)
        )
    labels = [one.noun for one in things]
    return {"image": seed, "labels": labels, "masks": [to_rle(one) for one in case.objects], "answers": answers}
