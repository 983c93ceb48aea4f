"""`ris bench memory`: what remembering corrected regions is worth on things that the models never saw, and what it harms.

A simulated annotator saves regions of new things, one in ten of them wrong, in scenes of a project; what is remembered of them is measured
on the other scenes of the project, and on ordinary scenes with the same nouns. Encoded scenes are kept: measuring again takes minutes.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.memory_cases import (
    PER_IMAGE,
    SEEDS,
    MemoryCase,
    annotate,
    choose_cases,
    mistake,
    read_cases,
    read_ordinary,
)
from benchmarks.simulated_annotator import ACCEPTED_IOU, RefinementLog
from demo.new_things import NAMES, PARTS, new_nouns
from ris_core.arrays import Array
from ris_core.learning.memory_fitting import MemoryExample, fit_memory
from ris_core.methods._region_memory import RegionMemory

CORRECTIONS, MISTAKES = 50, 0.1
SIZES = (25, 50, 100, 200)
"""Numbers of corrections for which the gate's power is measured."""
TASKS = 100
"""Scenes that are labelled next, as far as there are so many; each is asked for `PER_IMAGE` things."""
CANDIDATES = 5
"""Of an answer, that an annotator can look through."""
SHARES = 4
"""Each memory is measured on every fourth ordinary scene, all of them together on all."""
RESAMPLES = 2000
MAX_ERROR = 0.05
RIGHT_IOU = 0.5


@dataclass(frozen=True)
class Gain:
    """A number without a memory and with it, and the 95 % interval of the change, images drawn anew."""

    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True)
class MemoryHarm:
    """Change on ordinary scenes, where the models know the things, for expressions that name a remembered noun.

    Attributes:
        writer: Who wrote the expressions.
        scenes: On which there are such expressions.
        expressions, absent: Answers to those that mean one thing, and that mean nothing, of all orders.
        change, low: Of the mIoU, with the lower end of its 95 % interval; NaN where the gate let nothing pass.
        absent_change, absent_low: Of the share that is told to match nothing.
    """

    writer: str
    scenes: int
    expressions: int
    change: float
    low: float
    absent: int
    absent_change: float
    absent_low: float


@dataclass(frozen=True)
class MemoryResult:
    """What 50 corrections are worth, means over orders in which scenes were labelled.

    Attributes:
        part: "open", "held", or "all" for both.
        expressions, images: That were measured on.
        miou: IoU of what is handed out with what is meant; 0 if nothing is.
        oracle: The same of the best proposals.
        applied: Share of the orders that the gate let pass; the others count with no gain.
        power: The same for each of `SIZES`; None where there are too few scenes. Empty for "all".
        unseen: Largest share of the expressions that can be accepted unseen with an error of `MAX_ERROR`, before and after.
        untouched: The same of tasks: all expressions of a task together, the least probable decides.
        actions: For `TASKS` tasks: accepting, looking through candidates, painting anew.
    """

    part: str
    naming: str
    expressions: int
    images: int
    miou: Gain
    oracle: float
    applied: float
    power: dict[int, float | None]
    unseen: tuple[float, float]
    untouched: tuple[float, float]
    actions: Gain
    harm: tuple[MemoryHarm, ...] = ()


@dataclass(frozen=True)
class Trials:
    """What was measured in all orders, row by row, without a memory and with it.

    Attributes:
        scores: Image, score before, score after of each tested expression.
        actions: Image, actions before, actions after of each task.
        unseen, untouched: Shares before and after, by order.
        passed: Whether the gate let a memory pass, by order.
        harm: By writer: image, change, and 1 if something is meant else 0, of each touched expression of ordinary scenes.
        oracle: Of each expression the best IoU of a proposal.
    """

    scores: list[tuple[float, ...]] = field(default_factory=list)
    actions: list[tuple[float, ...]] = field(default_factory=list)
    unseen: list[tuple[float, float]] = field(default_factory=list)
    untouched: list[tuple[float, float]] = field(default_factory=list)
    passed: list[bool] = field(default_factory=list)
    harm: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    oracle: list[float] = field(default_factory=list)

    def join(self, other: "Trials") -> "Trials":
        """Both together; harm is of each by itself."""
        return Trials(
            scores=[*self.scores, *other.scores],
            actions=[*self.actions, *other.actions],
            unseen=[*self.unseen, *other.unseen],
            untouched=[*self.untouched, *other.untouched],
            passed=[*self.passed, *other.passed],
            oracle=[*self.oracle, *other.oracle],
        )


def measure(
    folder: Path, orders: int = 20, scenes: int = 1500, report: Callable[[str], None] = lambda text: None
) -> list[MemoryResult]:
    """Simulate projects.

    Args:
        folder: Where encoded scenes are kept, and found again.
        orders: In how many orders the scenes of a project are labelled.
        scenes: Number of ordinary scenes.
        report: Is told what is being done.
    """
    results = []
    ordinary = read_ordinary(folder, scenes, NAMES, report)
    for naming in ("known", "made-up"):
        both = Trials()
        for part in PARTS:
            cases = read_cases(folder, part, len(SEEDS[part]), naming == "made-up", report)
            report(f"learning from the {part} scenes, {naming} names")
            own = choose_own(cases, part, naming)
            trials = run_trials(own, ordinary if naming == "known" else {}, orders)
            power = {size: measure_power(own, size, orders) for size in SIZES}
            results.append(sum_up(part, naming, trials, power))
            both = both.join(trials)
        results.append(sum_up("all", naming, both, {}))
    return results


def choose_own(cases: Sequence[MemoryCase], part: str, naming: str) -> list[MemoryCase]:
    """Those that mean a thing with a new drawing."""
    nouns = frozenset(NAMES[one] if naming == "made-up" else one for one in new_nouns(part))
    return [one for one in cases if one.noun in nouns]


def run_trials(own: Sequence[MemoryCase], ordinary: dict[str, list[MemoryExample]], orders: int) -> Trials:
    """Label, learn and measure in each order.

    Args:
        ordinary: Examples of ordinary scenes, by writer.
    """
    trials = Trials(oracle=[float(one.example.overlaps.max(initial=0.0)) for one in own])
    for seed in range(orders):
        corrections, labelled = annotate(own, CORRECTIONS, seed, MISTAKES)
        memory = fit_memory(corrections).memory
        trials.passed.append(memory is not None)
        tests = [one for one in own if one.example.image not in labelled]
        sides = [_judge(tests, None), _judge(tests, memory)]
        images = [one.example.image for one in tests]
        trials.scores.extend(zip(images, sides[0][0].tolist(), sides[1][0].tolist(), strict=True))
        trials.unseen.append((_share_untouched(*sides[0]), _share_untouched(*sides[1])))
        tasks = choose_cases(tests, TASKS * PER_IMAGE, np.random.default_rng([seed, 11]))
        trials.actions.extend(_count_actions(tasks, memory))
        shares = [_share_untouched(*_by_task(tasks, *_judge(tasks, one))) for one in (None, memory)]
        trials.untouched.append((shares[0], shares[1]))
        for writer, examples in ordinary.items():
            share = [one for one in examples if one.image % SHARES == seed % SHARES]
            trials.harm.setdefault(writer, []).extend(_harm(share, memory))
    return trials


def sum_up(part: str, naming: str, trials: Trials, power: dict[int, float | None]) -> MemoryResult:
    """Means and intervals."""
    scores, actions = np.array(trials.scores), np.array(trials.actions)
    unseen, untouched = (np.mean(one, axis=0).tolist() for one in (trials.unseen, trials.untouched))
    return MemoryResult(
        part=part,
        naming=naming,
        expressions=len(trials.oracle),
        images=len(np.unique(scores[:, 0])),
        miou=_compare(scores, 1),
        oracle=float(np.mean(trials.oracle)),
        applied=float(np.mean(trials.passed)),
        power=power,
        unseen=(unseen[0], unseen[1]),
        untouched=(untouched[0], untouched[1]),
        actions=_compare(actions, TASKS),
        harm=tuple(_sum_up_harm(writer, np.array(rows).reshape(-1, 3)) for writer, rows in trials.harm.items()),
    )


POISONS: dict[str, Callable[[MemoryCase, np.random.Generator], int | None]] = {
    "random regions": lambda case, rng: int(rng.integers(case.overlaps.shape[1])),
    "30 % mistaken": lambda case, rng: mistake(case, rng, 0.3),
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
            chosen = choose_cases(cases, CORRECTIONS, rng)
            passed.append(fit_memory([one.saved(save(one, rng)) for one in chosen]).memory is not None)
        shares[name] = float(np.mean(passed))
    return shares


def measure_power(cases: Sequence[MemoryCase], number: int, orders: int) -> float | None:
    """Share of the orders that the gate lets pass; None if there are too few scenes for so many corrections."""
    fits = []
    for seed in range(orders):
        corrections, _ = annotate(cases, number, seed, MISTAKES)
        if len(corrections) < number:
            return None
        fits.append(fit_memory(corrections).memory is not None)
    return float(np.mean(fits))


def resample(values: Float[Array, "m"], image: Float[Array, "m"]) -> tuple[float, float]:
    """95 % interval of a mean, images drawn anew; NaN of no values."""
    if not len(values):
        return float("nan"), float("nan")
    _, own = np.unique(image, return_inverse=True)
    sums, counts = np.bincount(own, values), np.bincount(own)
    draws = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    low, high = np.percentile((draws @ sums) / (draws @ counts), (2.5, 97.5))
    return float(low), float(high)


def count_actions(case: MemoryCase, memory: RegionMemory | None) -> int:
    """What an annotator does without clicks until the mask is right: accept, look through candidates, or paint it anew."""
    order = case.rank(memory)[:CANDIDATES]
    offered = 1 if case.example.choose(memory) else 0  # of "no match" only candidates can be looked through
    is_right = (case.example.overlaps[order] >= ACCEPTED_IOU).tolist()
    if any(is_right[:offered]):
        return RefinementLog(0, 0, False, 1.0).actions
    nexts = is_right[offered:].index(True) + 1 if any(is_right[offered:]) else 0
    return RefinementLog(nexts, 0, not nexts, 1.0).actions


def to_json(results: Sequence[MemoryResult], poisoned: dict[str, float]) -> str:
    """One JSON document."""
    return json.dumps({"results": [asdict(one) for one in results], "poisoned": poisoned})


def to_markdown(results: Sequence[MemoryResult], poisoned: dict[str, float]) -> str:
    """Tables."""
    lines = [
        f"| nouns | names | expressions | mIoU | gain, points | possible | applied at {', '.join(map(str, SIZES))} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in results:
        power = ", ".join("-" if share is None else f"{share:.0%}" for share in one.power.values())
        lines.append(
            f"| {one.part} | {one.naming} | {one.expressions:,} | {one.miou.before:.3f} -> {one.miou.after:.3f} | "
            f"{_points(one.miou)} | {one.oracle:.3f} | {power} |"
        )
    lines += [
        "",
        f"| nouns | names | expressions accepted unseen at {MAX_ERROR:.0%} error | tasks untouched at {MAX_ERROR:.0%} error | "
        f"actions for {TASKS} tasks | change |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for one in results:
        unseen, untouched = (f"{before:.0%} -> {after:.0%}" for before, after in (one.unseen, one.untouched))
        actions = one.actions
        change = f"{actions.after - actions.before:+.0f} [{actions.low:+.0f}, {actions.high:+.0f}]"
        lines.append(
            f"| {one.part} | {one.naming} | {unseen} | {untouched} | {actions.before:.0f} -> {actions.after:.0f} | {change} |"
        )
    lines += [
        "",
        "| nouns | ordinary scenes | expressions by | touched | change, points (lower bound) | absent | told, points (lower bound) |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        for harm in result.harm:
            lines.append(
                f"| {result.part} | {harm.scenes:,} | {harm.writer} | {harm.expressions:,} | {100 * harm.change:+.2f} "
                f"({100 * harm.low:+.2f}) | {harm.absent:,} | {100 * harm.absent_change:+.2f} ({100 * harm.absent_low:+.2f}) |"
            )
    lines += ["", "| poisoned ledger | applied |", "| --- | ---: |"]
    return "\n".join([*lines, *(f"| {name} | {share:.1%} |" for name, share in poisoned.items())])


def _points(gain: Gain) -> str:
    return f"{100 * (gain.after - gain.before):+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _compare(rows: Float[Array, "m 3"], factor: float) -> Gain:
    """Of rows of image, before and after."""
    low, high = resample(factor * (rows[:, 2] - rows[:, 1]), rows[:, 0])
    return Gain(factor * float(rows[:, 1].mean()), factor * float(rows[:, 2].mean()), low, high)


def _judge(tests: Sequence[MemoryCase], memory: RegionMemory | None) -> tuple[Float[Array, "m"], Float[Array, "m"]]:
    """IoU of what answers with what is meant, and how probable the answer is; 0 without one."""
    answers = [one.example.choose(memory) for one in tests]
    values = np.array([0.0 if one is None else one.value for one in answers])
    scores = [
        0.0 if own is None else one.example.overlaps[own.proposal] for one, own in zip(tests, answers, strict=True)
    ]
    return np.array(scores, float), values


def _by_task(
    cases: Sequence[MemoryCase], scores: Float[Array, "m"], values: Float[Array, "m"]
) -> tuple[Float[Array, "t"], Float[Array, "t"]]:
    """Of each image the worst score and the least value."""
    _, own = np.unique([one.example.image for one in cases], return_inverse=True)
    worst, least = np.full(own.max() + 1, np.inf), np.full(own.max() + 1, np.inf)
    np.minimum.at(worst, own, scores)
    np.minimum.at(least, own, values)
    return worst, least


def _share_untouched(scores: Float[Array, "m"], values: Float[Array, "m"]) -> float:
    """Largest share, the most probable first, of which at most `MAX_ERROR` is wrong."""
    order = np.argsort(-values, kind="stable")
    wrong = np.cumsum(scores[order] < RIGHT_IOU) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(wrong <= MAX_ERROR)
    return float(good.max(initial=-1) + 1) / len(order)


def _count_actions(tasks: Sequence[MemoryCase], memory: RegionMemory | None) -> list[tuple[float, float, float]]:
    """Image, actions without the memory and with it, for each image."""
    images = np.array([one.example.image for one in tasks])
    sides = [np.array([count_actions(one, side) for one in tasks]) for side in (None, memory)]
    return [
        (image, float(sides[0][images == image].sum()), float(sides[1][images == image].sum()))
        for image in np.unique(images).tolist()
    ]


def _harm(ordinary: Sequence[MemoryExample], memory: RegionMemory | None) -> list[tuple[float, float, float]]:
    """Image, change and whether something is meant for each expression that names a remembered noun."""
    if memory is None:
        return []
    touched = [one for one in ordinary if any(map(memory.knows, one.names))]
    return [(one.image, one.score(memory) - one.score(None), one.has_target) for one in touched]


def _sum_up_harm(writer: str, rows: Float[Array, "m 3"]) -> MemoryHarm:
    is_meant = rows[:, 2] == 1
    meant, absent = rows[is_meant], rows[~is_meant]
    changes = [float(one[:, 1].mean()) if len(one) else float("nan") for one in (meant, absent)]
    return MemoryHarm(
        writer=writer,
        scenes=len(np.unique(rows[:, 0])),
        expressions=len(meant),
        change=changes[0],
        low=resample(meant[:, 1], meant[:, 0])[0],
        absent=len(absent),
        absent_change=changes[1],
        absent_low=resample(absent[:, 1], absent[:, 0])[0],
    )
