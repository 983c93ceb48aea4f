"""How suspicious the regions of a project are: four scores in [0, 1], each with a reason in words. No SQL, no HTTP.

Nothing is learnt and no image is read: scores compare what was saved with what was proposed, and what is said of a region with what is
said in the rest of the project.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple, get_args

import numpy as np

from backend.corrections.matching import overlaps
from ris_core.geometry.masks import Rle
from ris_core.output.plain_text import one_line

SAME_THING = 0.5
"""IoU from which two masks count as of the same thing."""
LIKE_ANY = 1.0
"""Regions of no label that each word has beforehand, so that one example decides nothing."""

Kind = Literal["wrong thing", "wrong outline", "wrong label", "wrong words"]
KINDS: tuple[Kind, ...] = get_args(Kind)


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
    """A region with its four scores.

    Attributes:
        places: Of each score, how many regions have a higher one; the number of all regions if it is 0.
    """

    id: str
    scores: tuple[Suspicion, ...]
    places: tuple[int, ...]

    @property
    def worst(self) -> Suspicion:
        """The score by which the region is nearest to the top of its queue."""
        return min(zip(self.places, self.scores, strict=True), key=lambda one: (one[0], -one[1].score))[1]

    @property
    def order(self) -> tuple[int, float]:
        """Sort key: the four scores take turns, since they do not measure the same."""
        return min(self.places), -self.worst.score


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
    rows = [(*scores, counts.judge(label, expression)) for _, label, expression, scores in known]
    values = np.array([[one.score for one in row] for row in rows]).reshape(len(rows), len(KINDS))  # (N, 4)
    places = np.stack([np.searchsorted(np.sort(-one), -one) for one in values.T], axis=1)
    places[values == 0] = len(rows)
    return [
        SuspiciousRegion(id, row, tuple(place))
        for (id, *_), row, place in zip(known, rows, places.tolist(), strict=True)
    ]


class WordCounts:
    """How often each word is said of each label of a project; a word counts once for each expression."""

    def __init__(self) -> None:
        self._labels: dict[str, Counter[str]] = {}
        self._usual: dict[str, tuple[int, list[tuple[str, int]]]] = {}

    def add(self, label: str, expression: str) -> None:
        """Count a region. All are counted before any is judged."""
        for word in split_words(expression):
            self._labels.setdefault(word, Counter())[label] += 1

    def judge(self, label: str, expression: str) -> Suspicion:
        """Suspicion of a wrong label of a region that was counted: some word has another one elsewhere, and none has this one.

        A word has a label as surely as its share is among the other regions of which it is said, and of `LIKE_ANY` more. The
        word that points best counts alone: "the dog left of the guitar" names another thing too.
        """
        own, other, reason = 0.0, 0.0, ""
        for word in sorted(split_words(expression)):
            total, usual = self._find_usual(word)
            rest = total - 1 + LIKE_ANY
            own = max(own, (self._labels[word][label] - 1) / rest)
            for name, count in usual:
                if name != label and count / rest > other:
                    other = count / rest
                    reason = f'"{one_line(word)}" mostly has the label "{one_line(name)}"'
        return Suspicion("wrong label", other - own, reason) if other > own else Suspicion("wrong label", 0.0, "")

    def _find_usual(self, word: str) -> tuple[int, list[tuple[str, int]]]:
        """Of how many regions a word is said, and its two most frequent labels: one of them is another than a region's."""
        if word not in self._usual:
            own = self._labels[word]
            self._usual[word] = own.total(), own.most_common(2)
        return self._usual[word]


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
