"""How suspicious the regions of a project are: four scores in [0, 1], each with a reason in words. No SQL, no HTTP.

Nothing is learnt and no image is read: scores compare what was saved with what was proposed, and what is said of a region with what is
said in the rest of the project.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

from backend.corrections.matching import overlaps
from ris_core.geometry.masks import Rle
from ris_core.output.plain_text import one_line

SAME_THING = 0.5
"""IoU from which two masks count as of the same thing."""
LIKE_ANY = 1.0
"""Regions of no label that each word has beforehand, so that one example decides nothing."""

Kind = Literal["wrong thing", "wrong outline", "wrong label", "wrong words"]


@dataclass(frozen=True)
class SuspectRegion:
    """What is known of a region.

    Attributes:
        id: Its name in the list of regions.
        task: Regions are compared with the others of their task.
        expression: Text; empty if it has none.
        probability: Of the proposal, in [0, 1]; None without one.
        iou, boundary_iou: Of the saved and the proposed mask, in [0, 1]; None without both, and of a prediction.
        mask: As it was saved, or proposed where nobody has annotated the task.
        proposed: The proposed mask; None without one.
    """

    id: str
    task: str
    label: str
    expression: str
    probability: float | None
    iou: float | None
    boundary_iou: float | None
    mask: Rle
    proposed: Rle | None


class Suspicion(NamedTuple):
    """One score.

    Attributes:
        score: In [0, 1].
        reason: In words; empty if the score is 0.
    """

    kind: Kind
    score: float
    reason: str


class SuspiciousRegion(NamedTuple):
    """A region with its four scores."""

    id: str
    scores: tuple[Suspicion, ...]

    @property
    def worst(self) -> Suspicion:
        """The highest score."""
        return max(self.scores, key=lambda one: one.score)


def score_regions(regions: Iterable[SuspectRegion]) -> list[SuspiciousRegion]:
    """The four scores of each region of a project, in the given order.

    Args:
        regions: Those of a task one after the other. They are read once, and masks of one task at a time are kept.
    """
    counts, known = WordCounts(), []
    for _, group in groupby(regions, key=lambda one: one.task):
        task = list(group)
        elsewhere = _fits_other_words(task)
        for region, words in zip(task, elsewhere, strict=True):
            counts.add(region.label, region.expression)
            known.append((region.id, region.label, region.expression, (*_compare_with_proposal(region), words)))
    return [
        SuspiciousRegion(id, (*scores, _judge_label(counts, label, expression)))
        for id, label, expression, scores in known
    ]


class WordCounts:
    """How often each word is said of each label of a project; a word counts once for each expression."""

    def __init__(self) -> None:
        self._labels: dict[str, Counter[str]] = {}

    def add(self, label: str, expression: str) -> None:
        """Count a region."""
        for word in split_words(expression):
            self._labels.setdefault(word, Counter())[label] += 1

    def point_at_labels(self, label: str, expression: str) -> Mapping[str, tuple[float, str]]:
        """How surely some word of a region that was counted points at each label, in [0, 1), and which word.

        It is the share of the label among the other regions of which the word is said, and of `LIKE_ANY` more. The word that
        points best counts alone: "the dog left of the guitar" names another thing too.
        """
        surest: dict[str, tuple[float, str]] = {}
        for word in sorted(split_words(expression)):
            own = self._labels[word]
            rest = own.total() - 1 + LIKE_ANY
            for name, count in own.items():
                share = (count - (name == label)) / rest
                if share > surest.get(name, (0.0, ""))[0]:
                    surest[name] = share, word
        return surest


def split_words(expression: str) -> frozenset[str]:
    """The different words of an expression, in lower case."""
    return frozenset(re.findall(r"\w+", expression.casefold()))


def _compare_with_proposal(region: SuspectRegion) -> tuple[Suspicion, Suspicion]:
    """Suspicion of a wrong thing where a confident proposal is elsewhere, of a wrong outline where it is the same thing."""
    thing, outline = Suspicion("wrong thing", 0.0, ""), Suspicion("wrong outline", 0.0, "")
    probability, iou, boundary_iou = region.probability, region.iou, region.boundary_iou
    if probability is None or iou is None or boundary_iou is None:
        return thing, outline
    if iou < SAME_THING:
        score = probability * (1 - iou)
        return thing._replace(
            score=score, reason=f"the proposal is another thing (p {probability:.2f}, IoU {iou:.2f})"
        ), outline
    if score := probability * (1 - boundary_iou):
        outline = outline._replace(
            score=score,
            reason=f"its outline is not the proposal's (p {probability:.2f}, boundary IoU {boundary_iou:.2f})",
        )
    return thing, outline


def _fits_other_words(task: Sequence[SuspectRegion]) -> list[Suspicion]:
    """Suspicion of wrong words for each region of a task: what was proposed for other words of the task fits its mask better."""
    offered = [one for one in task if one.proposed is not None and one.expression]
    ious = overlaps([one.mask for one in task], [one.proposed for one in offered if one.proposed is not None])
    found = []
    for region, row in zip(task, ious.tolist(), strict=True):
        # of a prediction the mask is the proposal
        own = (region.probability or 0.0) * (1.0 if region.iou is None else region.iou)
        words = split_words(region.expression)
        claims = [
            ((other.probability or 0.0) * iou, other.expression)
            for other, iou in zip(offered, row, strict=True)
            if iou >= SAME_THING and words and split_words(other.expression) != words
        ]
        claim, expression = max(claims, default=(0.0, ""))
        score = max(0.0, claim - own)
        reason = f'it is what was proposed for "{one_line(expression)}"' if score else ""
        found.append(Suspicion("wrong words", score, reason))
    return found


def _judge_label(counts: WordCounts, label: str, expression: str) -> Suspicion:
    """Suspicion of a wrong label: in the rest of the project some word of it has another one, and none has this one."""
    surest = counts.point_at_labels(label, expression)
    own, _ = surest.get(label, (0.0, ""))
    likeliest = max(surest, key=lambda name: surest[name], default=label)
    share, word = surest.get(likeliest, (0.0, ""))
    if share <= own:
        return Suspicion("wrong label", 0.0, "")
    return Suspicion("wrong label", share - own, f'"{one_line(word)}" mostly has the label "{one_line(likeliest)}"')
