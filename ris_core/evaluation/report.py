"""From the records of a run to its report: every number with its interval, all on the same draws."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from ris_core.arrays import Array
from ris_core.evaluation import confidence, metrics
from ris_core.evaluation.bootstrap import Bootstrap, ConfidenceInterval
from ris_core.evaluation.dataset import MAIN, Dataset
from ris_core.evaluation.kinds import KINDS
from ris_core.evaluation.metrics import Metric
from ris_core.evaluation.published import Published, published
from ris_core.evaluation.record import IS_RIGHT, EvaluatedImage
from ris_core.evaluation.results import Results
from ris_core.evaluation.runner import ORACLE
from ris_core.evaluation.tables import EvaluationReport, Row, Table

SMALL_PX, MEDIUM_PX = 32**2, 96**2
"""Areas that COCO calls medium and large from, in pixels."""
TINY_SHARE = 0.01
"""Share of the image below which a target is reported apart."""
COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
RANKS = (1, 3, 5)
RECALLS = (0.5, 0.7)


def build(
    dataset: Dataset,
    records: Iterable[EvaluatedImage],
    *,
    about: Mapping[str, str],
    calibrated: Mapping[str, bool],
    quirks: frozenset[str] = frozenset(),
) -> EvaluationReport:
    """Count everything.

    Args:
        dataset: What was asked.
        records: The images that are done.
        about: What was run, in words.
        calibrated: For each method whether its scores claim to be probabilities; the first is compared with the others.
        quirks: Q-EMPTY-GL or nothing, see `ris_core.evaluation.protocol`.
    """
    nonempty_records = [record for record in records if record.asked]
    results = Results.of(nonempty_records, skip_without_proposals="Q-EMPTY-GL" in quirks)
    about = {**about, "images": f"{results.images:,}", "expressions": f"{len(results.image):,}"}
    if not (results.part == MAIN).any():
        return EvaluationReport(about, [])
    counter = _Counter(dataset, results, list(calibrated))
    tables = [
        counter.overall(),
        counter.by_kind(),
        *counter.breakdowns(),
        counter.differences(),
        counter.oracle_shares(),
        counter.calibration(calibrated),
        *counter.reliabilities(calibrated),
        counter.risks(),
        _proposals(nonempty_records),
        _beside_published(counter, published(dataset.name, dataset.split)),
    ]
    return EvaluationReport(about, [table for table in tables if table.rows])


class _Counter:
    """The tables over one set of results; every number on the same draws."""

    def __init__(self, dataset: Dataset, results: Results, methods: Sequence[str]) -> None:
        self.dataset, self.results, self.methods = dataset, results, methods
        self.bootstrap = Bootstrap(results.image, results.images)
        self.main = results.part == MAIN
        self.columns = [ORACLE, *methods]

    def count(self, metric: Metric, method: str, among: Bool[Array, "s"]) -> ConfidenceInterval:
        return self.bootstrap.ratio(metric(self.results, self.results.methods[method]).among(among))

    def overall(self) -> Table:
        numbers: dict[str, Metric] = {"mIoU": metrics.mean_iou, "oIoU": metrics.overall_iou}
        for t in self.dataset.precision_at:
            numbers[f"Pr@{t}"] = metrics.precision(t, inclusive=self.dataset.precision_inclusive)
        numbers |= {f"acc@{k}": metrics.accuracy(k) for k in RANKS}
        if (self.results.targets[self.main] == 0).any():
            numbers |= {
                "T-acc": metrics.target_accuracy,
                "N-acc": metrics.no_target_accuracy,
                "gIoU": metrics.generalized_iou,
                "cIoU": metrics.cumulative_iou,
            }
        rows = [Row(name, [self.count(m, name, self.main) for m in numbers.values()]) for name in self.columns]
        passes = "at least" if self.dataset.precision_inclusive else "more than"
        note = (
            f"Pr@t: IoU of {passes} t. acc@k: one of the k best candidates has an IoU of at least {IS_RIGHT} with a target, or "
            "with all targets together."
        )
        return Table("All expressions", note, ["method", *numbers], rows)

    def by_kind(self) -> Table:
        """mIoU, and N-acc for what has no target."""
        groups = {kind: self.main & (self.results.kind == kind) for kind in _ordered(self.results.kind[self.main])}
        if (self.results.targets[self.main] > 1).any():
            groups["one target"] = self.main & (self.results.targets == 1)
            groups["several targets"] = self.main & (self.results.targets > 1)
        groups["all with a target"] = self.main & (self.results.targets > 0)
        return self._grouped("By kind of expression", "mIoU.", groups)

    def breakdowns(self) -> list[Table]:
        """By the size of the target, by how many objects share its class, and the parts reported apart."""
        px, means = self.results.truth_px, self.main & (self.results.targets > 0)
        sizes = {
            f"small (below {SMALL_PX} px)": means & (px < SMALL_PX),
            "medium": means & (px >= SMALL_PX) & (px < MEDIUM_PX),
            f"large (from {MEDIUM_PX} px)": means & (px >= MEDIUM_PX),
            f"below {TINY_SHARE:.0%} of the image": means & (self.results.truth_share < TINY_SHARE),
        }
        same, has_class = self.results.same_class, means & (self.results.same_class > 0)
        classes = {
            "alone of its class": has_class & (same == 1),
            "2": has_class & (same == 2),
            "3 or more": has_class & (same > 2),
        }
        parts = {part: self.results.part == part for part in sorted(set(self.results.part) - {MAIN})}
        return [
            self._grouped("By size of the target", "mIoU; sizes as COCO has them.", sizes),
            self._grouped("By number of objects of the target's class", "mIoU.", classes),
            self._grouped("Reported apart", "mIoU, on images that no other table counts.", parts),
        ]

    def differences(self) -> Table:
        """The first method less each of the others, paired."""
        first, *others = self.methods
        groups = {kind: self.results.kind == kind for kind in _ordered(self.results.kind[self.main])}
        groups = {"one target": self.results.targets == 1, "all with a target": self.results.targets > 0, **groups}
        ratio = {name: metrics.mean_iou(self.results, self.results.methods[name]) for name in self.methods}
        rows = [
            Row(label, [self.bootstrap.difference(ratio[first].among(g), ratio[o].among(g)) for o in others])
            for label, g in ((label, group & self.main) for label, group in groups.items())
            if others and (g & (self.results.targets > 0)).any()
        ]
        note = f"mIoU of {first} less that of the other method, on the same draws: above 0 it is better."
        return Table("Paired differences", note, ["expressions", *others], rows)

    def oracle_shares(self) -> Table:
        """What share of the best choice among the proposals each method reaches."""
        one = self.main & (self.results.targets == 1)
        groups = {kind: one & (self.results.kind == kind) for kind in _ordered(self.results.kind[one])}
        groups["one target"] = one
        rows = [
            Row(label, [self._oracle_share(method, group) for method in self.methods])
            for label, group in groups.items()
            if group.any()
        ]
        return Table(
            "Share of the oracle",
            "mIoU over that of the best choice among the proposals; expressions with one target.",
            ["expressions", *self.methods],
            rows,
        )

    def calibration(self, calibrated: Mapping[str, bool]) -> Table:
        """ECE and the area under risk against coverage."""
        rows = []
        for name in self.methods:
            answers = self.results.methods[name]
            columns = confidence.binned(answers.score, answers.is_right)
            error = self.bootstrap.statistic(columns, confidence.calibration_error, self.main)
            area = float(confidence.risk_at_coverage(answers.score[self.main], answers.is_right[self.main]).mean())
            rows.append(Row(name, ["yes" if calibrated[name] else "no", error, area]))
        note = (
            f"Is the first candidate's score the probability that its IoU is at least {IS_RIGHT}? ECE over {confidence.BINS} "
            "bins of equal width; the scores of methods that are not calibrated only rank, so their ECE is no fault. AURC: "
            "mean risk over all coverages."
        )
        return Table("Calibration", note, ["method", "calibrated", "ECE", "AURC"], rows)

    def reliabilities(self, calibrated: Mapping[str, bool]) -> list[Table]:
        """What was promised and what came, for the methods that promise."""
        tables = []
        for name in (name for name in self.methods if calibrated[name]):
            answers = self.results.methods[name]
            bins = confidence.reliability(answers.score[self.main], answers.is_right[self.main])
            rows = [Row(f"{b.low:.1f} to {b.high:.1f}", [b.n, b.score, b.right]) for b in bins]
            tables.append(Table(f"Reliability of {name}", "", ["score", "answers", "mean score", "right"], rows))
        return tables

    def risks(self) -> Table:
        """Share of wrong answers among the surest."""
        rows = []
        for name in self.methods:
            answers = self.results.methods[name]
            risk = confidence.risk_at_coverage(answers.score[self.main], answers.is_right[self.main])
            rows.append(Row(name, [float(risk[max(0, round(c * len(risk)) - 1)]) for c in COVERAGES]))
        note = "Share of wrong first candidates among the surest share of the answers."
        return Table("Risk at coverage", note, ["method", *(f"{c:.0%}" for c in COVERAGES)], rows)

    def _grouped(self, title: str, note: str, groups: Mapping[str, Bool[Array, "s"]]) -> Table:
        rows = []
        for label, group in groups.items():
            nothing = group & (self.results.targets == 0)
            means = group & ~nothing
            if means.any():
                cells = [self.count(metrics.mean_iou, method, means) for method in self.columns]
                rows.append(Row(label, [int(means.sum()), *cells]))
            if nothing.any():
                cells = [self.count(metrics.no_target_accuracy, method, nothing) for method in self.columns]
                rows.append(Row(label if label == "no_target" else f"{label}, no target", [int(nothing.sum()), *cells]))
        if any((group & (self.results.targets == 0)).any() for group in groups.values()):
            note = f"{note.rstrip('.')}; N-acc where there is no target."
        return Table(title, note, ["expressions", "n", *self.columns], rows)

    def _oracle_share(self, method: str, group: Bool[Array, "s"]) -> ConfidenceInterval:
        answers, oracle = self.results.methods[method], self.results.methods[ORACLE]
        return self.bootstrap.ratio(metrics.share_of_oracle(self.results, answers, oracle).among(group))


def _proposals(records: Sequence[EvaluatedImage]) -> Table:
    """How well the annotated objects are proposed at all, whatever is asked about them."""
    part = np.array([r.part for r in records for _ in r.object_px], str)
    image = np.array([row for row, r in enumerate(records) for _ in r.object_px], int)
    share = np.array([px / r.image_px for r in records for px in r.object_px], float)
    best = np.array([iou for r in records for iou in r.object_iou], float)
    bootstrap = Bootstrap(image, len(records))
    groups = {
        "all objects": part == MAIN,
        f"below {TINY_SHARE:.0%} of the image": (part == MAIN) & (share < TINY_SHARE),
        **{other: part == other for other in sorted(set(part) - {MAIN})},
    }
    rows = [
        Row(
            label,
            [
                int(group.sum()),
                *(
                    bootstrap.ratio(metrics.Ratio(values * group, group.astype(float)))
                    for values in (best, *(best > t for t in RECALLS))
                ),
            ],
        )
        for label, group in groups.items()
        if group.any()
    ]
    counts, seconds = [r.proposals for r in records], [r.encode_s for r in records]
    note = (
        f"Each object's best proposal. {np.mean(counts):.1f} proposals an image; {np.median(seconds):.2f} s to encode one "
        "(median, by the clock; next to nothing if it was cached)."
    )
    return Table("Proposals", note, ["objects", "n", "mIoU", *(f"recall at {t}" for t in RECALLS)], rows)


def _beside_published(counter: _Counter, rows: Sequence[Published]) -> Table:
    ours = [
        Row(
            f"**ours: {name}**",
            [counter.count(m, name, counter.main) for m in (metrics.overall_iou, metrics.mean_iou)] + ["this run"],
        )
        for name in counter.columns
    ]
    theirs = [Row(p.method, [p.overall_iou, p.mean_iou, f"{p.source} ({p.standing})"]) for p in rows]
    note = "Published numbers and how we know them; other proposals and other weights than ours unless they say so."
    return Table("Beside the papers", note, ["method", "oIoU", "mIoU", "source"], [*ours, *theirs] if rows else [])


def _ordered(kinds: Iterable[str]) -> list[str]:
    names = set(kinds)
    return [kind for kind in KINDS if kind in names] + sorted(str(kind) for kind in names - set(KINDS))
