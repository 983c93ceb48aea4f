"""`ris bench learning`: what a calibrator learnt from 200 simulated outcomes is worth, where there was none and where there was one.

Each expression of a scene is answered twice: by the profile, and by the profile with its calibrator taken away, as it is on photographs.
A simulated annotator judges the answers of some scenes, and is wrong about one in ten; what is learnt from that is measured on other
scenes. Answers are kept in files: measuring again takes seconds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.simulated_annotator import measure_iou
from demo.benchmark import draw_case, draw_other_case
from ris_core import load_segmenter
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
    "second": range(800_000, 800_060),
    "practice": range(810_000, 810_090),
}
"""Of the scenes, by generator; nothing was trained or fitted on any of them."""
PAIRS = (
    ("templates", "templates"),
    ("practice", "practice"),
    ("practice", "templates+second"),
    ("templates", "second+practice"),
)
"""From which scenes is learnt, and on which measured. Of the same ones halves: no image is in both."""
OUTCOMES, PER_IMAGE, MISTAKES = 200, 5, 0.1
"""Outcomes that are learnt from; how many of an image; the share that the annotator mistakes."""
RIGHT_IOU = 0.5
WANTED_T = 0.93


@dataclass(frozen=True)
class LearningResult:
    """Means over projects, each with its own outcomes; of the expected calibration error the worst too.

    Attributes:
        has_calibrator: The profile's own was there before.
        expressions, absent: That were measured on, and how many of them mean nothing.
        n_at_t: N-acc where the threshold is put so that T-acc is `WANTED_T`: what no choice of a threshold explains.
        refused: Projects that had too little to learn from.
    """

    learnt_from: str
    measured_on: str
    has_calibrator: bool
    expressions: int
    absent: int
    ece_before: float
    ece: float
    worst_ece: float
    t_before: float
    t_acc: float
    n_before: float
    n_acc: float
    mcc_before: float
    mcc: float
    n_at_t: float
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
    answers = {style: _load(folder, style, report) for style in SEEDS}
    results = []
    for source, target in PAIRS:
        for number, prior in enumerate((None, Calibrator.load(PROFILE))):
            report(f"learning from {source}, measuring on {target}")
            every = answers[source][number]
            own, other = (every.take(every.image % 2 == half) for half in (0, 1))
            if source != target:
                own, other = every, _join([answers[one][number] for one in target.split("+")])
            results.append(_measure(source, target, own, other, prior, projects))
    return results


def to_json(results: Sequence[LearningResult]) -> str:
    """One JSON document."""
    return json.dumps([asdict(one) for one in results])


def to_markdown(results: Sequence[LearningResult]) -> str:
    """A table."""
    lines = [
        "| learnt from | measured on | calibrator before | expressions (absent) | ECE before | ECE after (worst) | T-acc | N-acc | MCC | "
        f"N-acc at T-acc {WANTED_T} |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in results:
        lines.append(
            f"| {one.learnt_from} | {one.measured_on} | {'own' if one.has_calibrator else 'none'} | {one.expressions:,} "
            f"({one.absent}) | {one.ece_before:.3f} | {one.ece:.3f} ({one.worst_ece:.3f}) | {one.t_before:.2f} -> {one.t_acc:.2f} | "
            f"{one.n_before:.2f} -> {one.n_acc:.2f} | {one.mcc_before:.2f} -> {one.mcc:.2f} | {one.n_at_t:.2f} |"
        )
    return "\n".join(lines)


def _measure(
    source: str, target: str, own: JudgedAnswers, other: JudgedAnswers, prior: Calibrator | None, projects: int
) -> LearningResult:
    look = prior.look if prior else UNFITTED
    rows, refused = [], 0
    for seed in range(projects):
        try:
            rows.append(_judge(fit(_annotate(own, seed), look, prior).calibrator, other))
        except TooLittle:
            refused += 1
    after = np.array(rows)
    before = _judge(prior, other)
    means = after.mean(axis=0)
    return LearningResult(
        learnt_from=source,
        measured_on=target,
        has_calibrator=prior is not None,
        expressions=len(other),
        absent=int((~other.has_target).sum()),
        ece_before=before[0],
        ece=means[0],
        worst_ece=after[:, 0].max(),
        t_before=before[1],
        t_acc=means[1],
        n_before=before[2],
        n_acc=means[2],
        mcc_before=before[3],
        mcc=means[3],
        n_at_t=means[4],
        refused=refused,
    )


def _annotate(every: JudgedAnswers, seed: int) -> JudgedAnswers:
    """The outcomes of an annotator who does a few expressions of each image, and mistakes some."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for image in rng.permutation(np.unique(every.image)).tolist():
        chosen += rng.permutation(np.flatnonzero(every.image == image))[:PER_IMAGE].tolist()
    taken = np.zeros(len(every), bool)
    taken[chosen[:OUTCOMES]] = True
    outcomes = every.take(taken)
    mistaken = rng.random(len(outcomes)) < MISTAKES
    _, image = np.unique(outcomes.image, return_inverse=True)
    return JudgedAnswers(
        features=outcomes.features,
        is_right=outcomes.is_right ^ mistaken,
        has_target=outcomes.has_target ^ mistaken,
        knows_target=outcomes.knows_target,
        image=image.reshape(-1),
    )


def _judge(calibrator: Calibrator | None, answers: JudgedAnswers) -> tuple[float, ...]:
    """ECE, T-acc, N-acc, MCC, and N-acc at `WANTED_T`; without a calibrator of shares, which always answer."""
    if calibrator is None:
        said, presence, threshold = np.exp(answers.features["margin"]), np.ones(len(answers)), 0.0
    else:
        said, presence = calibrator.answer(answers.features), calibrator.presence(answers.features)
        threshold = calibrator.no_match_below
    there, absent = presence[answers.has_target], presence[~answers.has_target]
    found, told = float((there >= threshold).mean()), float((absent < threshold).mean())
    lost, false = (1 - found) * len(there), (1 - told) * len(absent)
    right, denied = found * len(there), told * len(absent)
    scale = np.sqrt((right + false) * (right + lost) * (denied + false) * (denied + lost))
    correlation = (right * denied - false * lost) / scale if scale else 0.0
    error = float(calibration_error(binned(said, answers.is_right).sum(axis=0)[None])[0])
    return error, found, told, float(correlation), float((absent < np.quantile(there, 1 - WANTED_T)).mean())


def _join(parts: Sequence[JudgedAnswers]) -> JudgedAnswers:
    first = np.cumsum([0, *(int(one.image.max()) + 1 for one in parts)])
    return JudgedAnswers(
        features={name: np.concatenate([one.features[name] for one in parts]) for name in FEATURES},
        is_right=np.concatenate([one.is_right for one in parts]),
        has_target=np.concatenate([one.has_target for one in parts]),
        knows_target=np.concatenate([one.knows_target for one in parts]),
        image=np.concatenate([one.image + start for one, start in zip(parts, first, strict=False)]),
    )


def _load(folder: Path, style: str, report: Callable[[str], None]) -> tuple[JudgedAnswers, JudgedAnswers]:
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
        rows += _answer(seed, draw_case(seed) if style == "templates" else draw_other_case(style, seed), plain, own)
        file.write_text(json.dumps(rows))
    return _as_arrays(rows, "plain"), _as_arrays(rows, "own")


def _answer(seed: int, case: EvaluationImage, plain: Segmenter, own: Segmenter) -> list[dict[str, object]]:
    """A row for each expression of one thing: features, whether the best candidate is right, whether anything is meant."""
    encoded, rows = plain.encode(case.image), []
    for sample in case.samples:
        row: dict[str, object] = {"image": seed, "has_target": bool(sample.targets)}
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
            rows.append(row)
    return rows


def _as_arrays(rows: Sequence[Mapping[str, object]], name: str) -> JudgedAnswers:
    own = [row[name] for row in rows]
    _, image = np.unique([row["image"] for row in rows], return_inverse=True)
    return JudgedAnswers(
        features={feature: np.array([one[feature] for one in own], float) for feature in FEATURES},  # type: ignore[index]
        is_right=np.array([one["is_right"] for one in own], bool),  # type: ignore[index]
        has_target=np.array([row["has_target"] for row in rows], bool),
        knows_target=np.ones(len(rows), bool),
        image=image.reshape(-1),
    )
