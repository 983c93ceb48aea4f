"""`ris bench learning --plots`: how much is learnt from how many outcomes, and what each part is worth alone and with the other.

The parts are the calibrator and the threshold of a label. Learnt from the scenes of one generator, measured on those of another, with
a profile whose own calibrator was taken away. Words have no figure: a phrase is answered bit by bit as what was accepted for it.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.learning import AnswerSet, annotate, judge, load_answers
from ris_core.arrays import Array
from ris_core.evaluation.confidence import reliability, risk_at_coverage
from ris_core.learning.evidence import JudgedAnswers
from ris_core.learning.fitting import Fit, TooLittle, fit
from ris_core.learning.thresholds import choose_threshold
from ris_core.methods._calibration import Calibrator
from ris_core.methods.guided import UNFITTED

SOURCE, TARGET = "templates", "everyday"
"""From which scenes is learnt, and on which measured."""
OUTCOMES = (100, 150, 200, 300, 500)
STANDARD = 200
"""Outcomes from which everything but the curves is learnt."""
MAX_ERROR = 0.2
"""What the threshold of a label allows; one in ten of the outcomes is mistaken."""
_STYLE: Any = {
    "svg.hashsalt": "learning",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_BEFORE, _AFTER = "#999999", "#3d7fc4"


@dataclass(frozen=True)
class CurvePoint:
    """What is learnt from so many outcomes: the ECE of each project, and means over projects."""

    outcomes: int
    eces: Sequence[float]
    t_acc: float
    n_acc: float


@dataclass(frozen=True)
class PartFigures:
    """What is handed out with a part: means over projects.

    Attributes:
        handed_out: Share of the expressions that are answered.
        wrong: Share of those answers that is wrong.
        kept: Share of the right answers that is handed out.
    """

    part: str
    handed_out: float
    wrong: float
    kept: float


@dataclass(frozen=True, eq=False)
class LearningPlots:
    """What is drawn, and the tables beside it."""

    curve: Sequence[CurvePoint]
    parts: Sequence[PartFigures]
    before: Float[Array, "m"]
    after: Sequence[Float[Array, "m"]]
    is_right: Bool[Array, "m"]

    def to_markdown(self) -> str:
        """Both tables."""
        lines = ["| outcomes | ECE, median (best to worst) | T-acc | N-acc |", "| ---: | ---: | ---: | ---: |"]
        for one in self.curve:
            ece = f"{np.median(one.eces):.3f} ({min(one.eces):.3f} to {max(one.eces):.3f})"
            lines.append(f"| {one.outcomes} | {ece} | {one.t_acc:.2f} | {one.n_acc:.2f} |")
        lines += ["", "| learnt | answered | of these wrong | right answers kept |", "| --- | ---: | ---: | ---: |"]
        lines += [f"| {one.part} | {one.handed_out:.0%} | {one.wrong:.1%} | {one.kept:.0%} |" for one in self.parts]
        return "\n".join(lines)

    def write(self, folder: Path) -> Path:
        """Draw all of it as one SVG; equal numbers give equal bytes."""
        with rc_context(_STYLE):
            figure = Figure(figsize=(10.0, 3.3), layout="constrained")
            for axes, draw in zip(
                figure.subplots(1, 3), (self._draw_curve, self._draw_reliability, self._draw_risk), strict=True
            ):
                draw(axes)
            buffer = io.StringIO()
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "learning.svg"
        file.write_text(buffer.getvalue(), encoding="utf-8")
        return file

    def _draw_curve(self, axes: Any) -> None:
        x = [one.outcomes for one in self.curve]
        for one in self.curve:
            axes.plot([one.outcomes] * len(one.eces), one.eces, ".", color=_AFTER, alpha=0.4, label="a project")
        axes.plot(x, [np.median(one.eces) for one in self.curve], color=_AFTER, label="median")
        axes.set_ylim(0, None)
        _name(axes, "How many outcomes", "judged answers", "calibration error (ECE)")

    def _draw_reliability(self, axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color="#cccccc", linewidth=1, linestyle="--")
        pooled, repeated = np.concatenate(self.after), np.tile(self.is_right, len(self.after))
        for score, right, colour, label in (
            (self.before, self.is_right, _BEFORE, "before"),
            (pooled, repeated, _AFTER, "after"),
        ):
            bins = [one for one in reliability(score, right) if one.n >= 20 * len(score) / len(self.before)]
            axes.plot([one.score for one in bins], [one.right for one in bins], marker="o", color=colour, label=label)
        _name(axes, "Do scores say how often answers are right?", "score", "share right")

    def _draw_risk(self, axes: Any) -> None:
        coverage = np.arange(1, len(self.is_right) + 1) / len(self.is_right)
        after = np.mean([risk_at_coverage(score, self.is_right) for score in self.after], axis=0)
        for risk, colour, label in (
            (risk_at_coverage(self.before, self.is_right), _BEFORE, "before"),
            (after, _AFTER, "after"),
        ):
            axes.plot(coverage[::20], risk[::20], color=colour, label=label)
        axes.set_ylim(0, None)
        _name(axes, "Best scores first: how many are wrong?", "share of the expressions", "share wrong")


def measure(folder: Path, projects: int = 20, report: Callable[[str], None] = lambda text: None) -> LearningPlots:
    """Simulate projects. Args: as of `benchmarks.learning.measure`."""
    own, other = (load_answers(folder, style, report)[0] for style in (SOURCE, TARGET))
    curve = []
    for outcomes in OUTCOMES:
        report(f"learning from {outcomes} outcomes")
        learnt = _learn(own.judged, projects, outcomes)
        rows: Float[Array, "p c"] = np.array([judge(fitted.calibrator, other) for _, fitted in learnt])
        ece, t_acc, n_acc = rows[:, 0], rows[:, 1], rows[:, 2]
        curve.append(CurvePoint(outcomes, ece.tolist(), float(t_acc.mean()), float(n_acc.mean())))
    learnt = _learn(own.judged, projects, STANDARD)
    return LearningPlots(
        curve=curve,
        parts=_measure_parts(learnt, other),
        before=_shares(other.judged),
        after=[fitted.calibrator.answer(other.judged.features) for _, fitted in learnt],
        is_right=other.judged.is_right,
    )


def _learn(every: JudgedAnswers, projects: int, outcomes: int) -> list[tuple[JudgedAnswers, Fit]]:
    """The outcomes of each project and what is learnt from them; without projects that have too little."""
    learnt = []
    for seed in range(projects):
        own = annotate(every, seed, outcomes)
        with suppress(TooLittle):
            learnt.append((own, fit(own, UNFITTED, None)))
    return learnt


def _shares(judged: JudgedAnswers) -> Float[Array, "m"]:
    """Scores without a calibrator: shares among the things of an image."""
    return np.exp(judged.features["margin"])


def _measure_parts(learnt: Sequence[tuple[JudgedAnswers, Fit]], other: AnswerSet) -> list[PartFigures]:
    judged, parts = other.judged, dict[str, list[Bool[Array, "m"]]]()
    for outcomes, fitted in learnt:
        plain, calibrator = _shares(judged), fitted.calibrator
        said, is_found = calibrator.answer(judged.features), _finds(calibrator, judged)
        alone = choose_threshold("", _shares(outcomes), outcomes.is_right, MAX_ERROR).threshold or 0.0
        found = fitted.is_found
        chosen = choose_threshold("", fitted.probability[found], outcomes.is_right[found], MAX_ERROR).threshold or 0.0
        parts.setdefault("nothing", []).append(np.ones(len(judged), bool))
        parts.setdefault("a threshold", []).append(plain >= alone)
        parts.setdefault("the calibrator", []).append(is_found)
        parts.setdefault("both", []).append(is_found & (said >= chosen))
    return [_count(name, chosen, judged.is_right) for name, chosen in parts.items()]


def _finds(calibrator: Calibrator, judged: JudgedAnswers) -> Bool[Array, "m"]:
    return calibrator.presence(judged.features) >= calibrator.no_match_below


def _count(part: str, chosen: Sequence[Bool[Array, "m"]], is_right: Bool[Array, "m"]) -> PartFigures:
    handed_out = float(np.mean(chosen))
    wrong = float(np.mean([(one & ~is_right).sum() / max(one.sum(), 1) for one in chosen]))
    return PartFigures(
        part, handed_out, wrong, float(np.mean([(one & is_right).sum() / is_right.sum() for one in chosen]))
    )


def _name(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once, fontsize=8, frameon=False)
