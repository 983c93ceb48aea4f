"""`ris bench learning`: what a calibrator learnt from 200 simulated outcomes is worth, where there was none and where there was one.

Each expression of a scene is answered twice: by the profile, and by the profile with its calibrator taken away, as it is on photographs.
A simulated annotator judges the answers of some scenes, and is wrong about one in ten; what is learnt from that is measured on other
scenes. Answers are kept in files: measuring again takes seconds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from benchmarks.simulated_annotator import measure_iou
from demo.benchmark import draw_case, draw_everyday_case, draw_other_case
from demo.other_worlds import make_other_scene
from demo.scenes import make_scene
from ris_core import load_segmenter
from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.evaluation.confidence import binned, calibration_error
from ris_core.evaluation.dataset import EvaluationImage
from ris_core.geometry import masks
from ris_core.learning.evidence import FEATURES, JudgedAnswers, read_features
from ris_core.learning.fitting import TooLittle, fit
from ris_core.methods._calibration import Calibrator
from ris_core.methods.guided import UNFITTED
from ris_core.output.documents import list_candidates
from ris_core.segmentation.segmenter import Segmenter

PROFILE = "demo"
SEEDS: Mapping[str, range] = {
    "templates": range(500_300, 500_420),
    "everyday": range(721_000, 721_090),
    "second": range(800_000, 800_080),
}
"""Of the scenes, by generator; nothing was trained or fitted on any of them."""
PAIRS = (
    ("templates", "templates"),
    ("templates", "everyday"),
    ("everyday", "templates"),
    ("second", "second"),
    ("second", "templates+everyday"),
    ("templates", "second"),
)
"""From which scenes is learnt, and on which measured. Of the same ones halves: no image is in both."""
OUTCOMES, PER_IMAGE, MISTAKES = 200, 5, 0.1
"""Outcomes that are learnt from; how many of an image; the share that the annotator mistakes."""
RIGHT_IOU = 0.5
WANTED_ECE, WANTED_T, WANTED_N = 0.06, 0.93, 0.80
"""What a learnt calibrator is to reach: the error at most, the shares at least."""


@dataclass(frozen=True)
class LearningResult:
    """Means over projects, each with its own outcomes; of the expected calibration error the worst too.

    Attributes:
        has_calibrator: The profile's own was there before.
        expressions, absent, hard: That were measured on, how many of them mean nothing, and of how many of those the scene has
            the noun, in another colour or place.
        n_at_t: N-acc where the threshold is put so that T-acc is `WANTED_T`: what no choice of a threshold explains.
        reached: Share of the projects that reach all of `WANTED_ECE`, `WANTED_T` and `WANTED_N`.
        refused: Projects that had too little to learn from.
    """

    learnt_from: str
    measured_on: str
    has_calibrator: bool
    expressions: int
    absent: int
    hard: int
    ece_before: float
    ece: float
    worst_ece: float
    t_before: float
    t_acc: float
    n_before: float
    n_acc: float
    hard_n_acc: float
    mcc_before: float
    mcc: float
    n_at_t: float
    reached: float
    refused: int


def measure(
    folder: Path, projects: int = 20, report: Callable[[str], None] = lambda text: None
) -> list[LearningResult]:
    """Simulate projects.

    Args:
        folder: Where answers are kept, and found again.
        projects: Simulated projects of each kind.
        report: Is told what is being done.
    """
    answers = {style: load_answers(folder, style, report) for style in SEEDS}
    results = []
    for source, target in PAIRS:
        for number, prior in enumerate((None, Calibrator.load(PROFILE))):
            report(f"learning from {source}, measuring on {target}")
            every = answers[source][number]
            own, other = (every.take(every.judged.image % 2 == half) for half in (0, 1))
            if source != target:
                own, other = every, _join([answers[one][number] for one in target.split("+")])
            results.append(_measure(source, target, own.judged, other, prior, projects))
    return results


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """The answers of a profile to the expressions of many scenes, all judged; which of them are about hard negatives."""

    judged: JudgedAnswers
    is_hard: Bool[Array, "m"]

    def take(self, chosen: Bool[Array, "m"]) -> "AnswerSet":
        return AnswerSet(self.judged.take(chosen), self.is_hard[chosen])


def to_json(results: Sequence[LearningResult]) -> str:
    """One JSON document."""
    return json.dumps([asdict(one) for one in results])


def to_markdown(results: Sequence[LearningResult]) -> str:
    """A table."""
    lines = [
        "| learnt from | measured on | calibrator before | expressions (absent, hard) | ECE before | ECE after (worst) | T-acc | N-acc "
        f"(hard) | MCC | N-acc at T-acc {WANTED_T} | reached |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in results:
        lines.append(
            f"| {one.learnt_from} | {one.measured_on} | {'own' if one.has_calibrator else 'none'} | {one.expressions:,} "
            f"({one.absent:,}, {one.hard:,}) | {one.ece_before:.3f} | {one.ece:.3f} ({one.worst_ece:.3f}) | "
            f"{one.t_before:.2f} -> {one.t_acc:.2f} | {one.n_before:.2f} -> {one.n_acc:.2f} ({one.hard_n_acc:.2f}) | "
            f"{one.mcc_before:.2f} -> {one.mcc:.2f} | {one.n_at_t:.2f} | {one.reached:.0%} |"
        )
    return "\n".join(lines)


def _measure(
    source: str, target: str, own: JudgedAnswers, other: AnswerSet, prior: Calibrator | None, projects: int
) -> LearningResult:
    look = prior.look if prior else UNFITTED
    rows, refused = [], 0
    for seed in range(projects):
        try:
            rows.append(judge(fit(annotate(own, seed), look, prior).calibrator, other))
        except TooLittle:
            refused += 1
    after: Float[Array, "p c"] = np.array(rows or [(np.nan,) * 6])
    before = judge(prior, other)
    means = after.mean(axis=0)
    return LearningResult(
        learnt_from=source,
        measured_on=target,
        has_calibrator=prior is not None,
        expressions=len(other.judged),
        absent=int((~other.judged.has_target).sum()),
        hard=int(other.is_hard.sum()),
        ece_before=before[0],
        ece=means[0],
        worst_ece=after[:, 0].max(),
        t_before=before[1],
        t_acc=means[1],
        n_before=before[2],
        n_acc=means[2],
        hard_n_acc=means[5],
        mcc_before=before[3],
        mcc=means[3],
        n_at_t=means[4],
        reached=float(np.mean((after[:, 0] <= WANTED_ECE) & (after[:, 1] >= WANTED_T) & (after[:, 2] >= WANTED_N))),
        refused=refused,
    )


def annotate(every: JudgedAnswers, seed: int, outcomes: int = OUTCOMES) -> JudgedAnswers:
    """So many outcomes of an annotator who does a few expressions of each image, and mistakes some."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for image in rng.permutation(np.unique(every.image)).tolist():
        chosen += rng.permutation(np.flatnonzero(every.image == image))[:PER_IMAGE].tolist()
    taken = np.zeros(len(every), bool)
    taken[chosen[:outcomes]] = True
    own = every.take(taken)
    mistaken = rng.random(len(own)) < MISTAKES
    _, image = np.unique(own.image, return_inverse=True)
    return JudgedAnswers(
        features=own.features,
        is_right=own.is_right ^ mistaken,
        has_target=own.has_target ^ mistaken,
        knows_target=own.knows_target,
        image=image.reshape(-1),
    )


def judge(calibrator: Calibrator | None, answers: AnswerSet) -> tuple[float, ...]:
    """ECE, T-acc, N-acc, MCC, N-acc at `WANTED_T`, and N-acc of hard negatives; without a calibrator of shares, which always answer."""
    judged = answers.judged
    presence: Float[Array, "m"]
    if calibrator is None:
        said, presence, threshold = np.exp(judged.features["margin"]), np.ones(len(judged)), 0.0
    else:
        said, presence = calibrator.answer(judged.features), calibrator.presence(judged.features)
        threshold = calibrator.no_match_below
    there, absent = presence[judged.has_target], presence[~judged.has_target]
    found, told = float((there >= threshold).mean()), float((absent < threshold).mean())
    lost, false = (1 - found) * len(there), (1 - told) * len(absent)
    right, denied = found * len(there), told * len(absent)
    scale = np.sqrt((right + false) * (right + lost) * (denied + false) * (denied + lost))
    correlation = (right * denied - false * lost) / scale if scale else 0.0
    error = float(calibration_error(binned(said, judged.is_right).sum(axis=0)[None])[0])
    told_at_t = float((absent < np.quantile(there, 1 - WANTED_T)).mean())
    return error, found, told, float(correlation), told_at_t, float((presence[answers.is_hard] < threshold).mean())


def _join(parts: Sequence[AnswerSet]) -> AnswerSet:
    judged = [one.judged for one in parts]
    first = np.cumsum([0, *(int(one.image.max()) + 1 for one in judged)]).tolist()
    joined = JudgedAnswers(
        features={name: np.concatenate([one.features[name] for one in judged]) for name in FEATURES},
        is_right=np.concatenate([one.is_right for one in judged]),
        has_target=np.concatenate([one.has_target for one in judged]),
        knows_target=np.concatenate([one.knows_target for one in judged]),
        image=np.concatenate([one.image + start for one, start in zip(judged, first, strict=False)]),
    )
    return AnswerSet(joined, np.concatenate([one.is_hard for one in parts]))


def load_answers(folder: Path, style: str, report: Callable[[str], None]) -> tuple[AnswerSet, AnswerSet]:
    """The answers of a generator's scenes: without a calibrator, and with the profile's own."""
    file = folder / f"{style}.json"
    seeds = SEEDS[style]
    rows = json.loads(file.read_text()) if file.is_file() else []
    known = {row["image"] for row in rows}
    if not known.issuperset(seeds):
        own = load_segmenter(PROFILE)
        plain = load_segmenter(PROFILE, method={"name": "guided", "calibration": ""})
        folder.mkdir(parents=True, exist_ok=True)
    for seed in (one for one in seeds if one not in known):
        report(f"answering scene {seed} of {style}")
        rows += _answer(seed, *_draw(style, seed), plain, own)
        file.write_text(json.dumps(rows))
    return _as_arrays(rows, "plain"), _as_arrays(rows, "own")


def _draw(style: str, seed: int) -> tuple[EvaluationImage, frozenset[str]]:
    """A scene with its expressions, and the nouns of what is in it."""
    if style in ("templates", "everyday"):
        case = draw_case(seed) if style == "templates" else draw_everyday_case(seed)
        return case, frozenset(one.noun for one in make_scene(seed).objects)
    return draw_other_case(style, seed), frozenset(one.noun for one in make_other_scene(style, seed).objects)


def _answer(
    seed: int, case: EvaluationImage, nouns: frozenset[str], plain: Segmenter, own: Segmenter
) -> list[dict[str, object]]:
    """A row for each expression of one thing: features, whether the best candidate is right, whether anything is meant."""
    encoded, rows = plain.encode(case.image), []
    for sample in case.samples:
        row: dict[str, object] = {"image": seed, "text": sample.text, "has_target": bool(sample.targets)}
        for name, segmenter in (("plain", plain), ("own", own)):
            try:
                prediction = segmenter.segment(encoded, sample.text)
            except BadInput:
                break
            numbers = [one.number for one in prediction.expression.referents]
            read = read_features(list_candidates(prediction), encoded.size_hw, numbers[0] if numbers else 1)
            if read is None:
                break
            best = masks.take(prediction.masks, [read.index])[0]
            ious = [measure_iou(best, case.objects[i]) for i in sample.targets]
            row[name] = {**read.values, "is_right": max(ious, default=0.0) >= RIGHT_IOU}
        else:
            row["is_hard"] = not sample.targets and not nouns.isdisjoint(prediction.expression.meant)
            rows.append(row)
    return rows


def _as_arrays(rows: Sequence[Mapping[str, Any]], name: str) -> AnswerSet:
    own = [row[name] for row in rows]
    _, image = np.unique([row["image"] for row in rows], return_inverse=True)
    judged = JudgedAnswers(
        features={feature: np.array([one[feature] for one in own], float) for feature in FEATURES},
        is_right=np.array([one["is_right"] for one in own], bool),
        has_target=np.array([row["has_target"] for row in rows], bool),
        knows_target=np.ones(len(rows), bool),
        image=image.reshape(-1),
    )
    return AnswerSet(judged, np.array([row["is_hard"] for row in rows], bool))
