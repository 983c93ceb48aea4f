"""Remembering the regions that people saved, and whether that is worth it: the weight is learnt, and a gate keeps out what may harm.

Everything is judged on images that were not remembered. Without a sure gain on the expressions that a memory touches there is none: the
lower bound of the mean gain has to be above 0, with images taken for the independent units.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ris_core.arrays import Array
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods._similarity import unit

FITTING_IOU = 0.5
"""A proposal stands for a saved region from this IoU on; below it nothing is remembered of it. Answers below it are wrong."""
WEIGHTS = (5.0, 8.0)
"""Weights that are tried."""
SUREST = 0.98
"""Probability to which a memory lifts a look at most."""
MAX_BYTES = 256 * 1024
"""What a memory may take; the newest regions are kept."""
FOLDS = 10
LEAST_IMAGES = 8
"""Images with touched expressions below which nothing is sure."""
RISK = 0.025
"""Probability that a memory without worth passes the gate: one-sided."""


class ChosenProposal(NamedTuple):
    """Which proposal answers, and the value that the method gives it."""

    proposal: int
    value: float


@dataclass(frozen=True, eq=False)
class MemoryExample:
    """An answer of one thing of which it is known what is meant, with the image's N proposals.

    Attributes:
        noun: Head noun of the expression.
        names: Nouns of all things that the expression speaks of, landmarks too.
        image: The same number for the same image.
        visual: (N, E), features of the proposals, of length 1.
        overlaps: (N,), their IoU with what was saved; all 0 if nothing is meant.
        has_target: Something is meant.
        choose: What answers, with a memory or without; None if nothing does.
    """

    noun: str
    names: frozenset[str]
    image: int
    visual: Float[Array, "n e"]
    overlaps: Float[Array, "n"]
    has_target: bool
    choose: Callable[[RegionMemory | None], ChosenProposal | None]

    def score(self, memory: RegionMemory | None) -> float:
        """IoU of what answers with what is meant; where nothing is meant, 1 for no answer. In [0, 1]."""
        chosen = self.choose(memory)
        if not self.has_target:
            return float(chosen is None)
        return 0.0 if chosen is None else float(self.overlaps[chosen.proposal])


@dataclass(frozen=True, eq=False)
class MemoryFit:
    """What remembering is worth.

    Attributes:
        memory: Of all examples; None if no gain is sure.
        touched: Held-out examples that a memory touches.
        images: On how many images they are.
        before, after: Their mean score without a memory, and with those that never saw their image.
        low: Lower bound of the gain; NaN if there are too few images.
    """

    memory: RegionMemory | None
    touched: int
    images: int
    before: float
    after: float
    low: float


def fit_memory(examples: Sequence[MemoryExample]) -> MemoryFit:
    """Remember what a gain is sure of.

    Args:
        examples: Oldest first.
    """
    image = np.array([one.image for one in examples], int)
    before = np.array([one.score(None) for one in examples])
    fold = _folds(image)
    after = np.full((len(WEIGHTS), len(examples)), np.nan)  # NaN: not touched
    for number in range(FOLDS):
        own = [i for i in range(len(examples)) if fold[i] != number]
        for k, weight in enumerate(WEIGHTS):
            memory = remember([examples[i] for i in own], before[own], weight)
            for i in np.flatnonzero(fold == number).tolist():
                if memory and any(map(memory.knows, examples[i].names)):
                    after[k, i] = examples[i].score(memory)
    touched = np.flatnonzero(~np.isnan(after[0]))
    if not len(touched):
        return MemoryFit(None, 0, 0, np.nan, np.nan, np.nan)
    held_out, best = _choose_by_others(after[:, touched], fold[touched])
    low = lower_bound(held_out - before[touched], image[touched])
    memory = remember(examples, before, WEIGHTS[best]) if low > 0 else None
    return MemoryFit(
        memory=memory,
        touched=len(touched),
        images=len(np.unique(image[touched])),
        before=float(before[touched].mean()),
        after=float(held_out.mean()),
        low=low,
    )


def remember(
    examples: Sequence[MemoryExample], before: Float[Array, "m"], weight: float, max_bytes: int = MAX_BYTES
) -> RegionMemory | None:
    """The regions of nouns that an answer was wrong about; None if there are none.

    Args:
        examples: Oldest first.
        before: Their scores without a memory.
        max_bytes: The newest regions are kept that take no more.
    """
    failed = {one.noun for one, score in zip(examples, before, strict=True) if one.has_target and score < FITTING_IOU}
    kept = [one for one in examples if one.noun in failed and one.overlaps.max(initial=0.0) >= FITTING_IOU]
    if not kept:
        return None
    centre = _mean_by_image(examples)
    kept = kept[-max(1, max_bytes // (2 * len(centre))) :]  # two bytes a number
    by_noun = defaultdict(list)
    for one in kept:
        by_noun[one.noun.casefold()].append(one.visual[int(one.overlaps.argmax())])
    prototypes = {noun: unit(np.stack(own) - centre).astype(np.float16) for noun, own in by_noun.items()}
    return RegionMemory(centre.astype(np.float16).astype(np.float32), prototypes, weight, SUREST, heeds_colour=True)


def lower_bound(gains: Float[Array, "m"], image: Int[Array, "m"]) -> float:
    """Of the mean gain, at a risk of `RISK`; NaN below `LEAST_IMAGES` images.

    Images are drawn, not answers: the error is that of a ratio of sums over images, with Student's distribution.
    """
    from scipy.stats import t  # slow to import

    _, own = np.unique(image, return_inverse=True)
    images = int(own.max()) + 1
    if images < LEAST_IMAGES:
        return float("nan")
    residuals = np.bincount(own, weights=gains - gains.mean())
    error = np.sqrt((residuals**2).sum() * images / (images - 1)) / len(gains)
    return float(gains.mean() - t.ppf(1 - RISK, images - 1) * error)


def _choose_by_others(after: Float[Array, "w m"], fold: Int[Array, "m"]) -> tuple[Float[Array, "m"], int]:
    """Scores of each fold with the weight that is best in the other folds, and the place of the weight that is best in all."""
    held_out = np.empty(after.shape[1])
    for number in np.unique(fold).tolist():
        own = fold == number
        others = after[:, ~own] if not own.all() else after
        held_out[own] = after[int(others.mean(axis=1).argmax()), own]
    return held_out, int(after.mean(axis=1).argmax())


def _mean_by_image(examples: Iterable[MemoryExample]) -> Float[Array, "e"]:
    """Mean feature of the proposals, each image once."""
    by_image = {one.image: one.visual for one in examples}
    mean: Float[Array, "e"] = np.concatenate(list(by_image.values())).mean(axis=0)
    return mean


def _folds(image: Int[Array, "m"]) -> Int[Array, "m"]:
    """The fold of each example: images stay whole."""
    _, own = np.unique(image, return_inverse=True)
    order = np.random.default_rng(0).permutation(int(own.max(initial=-1)) + 1)
    folds: Int[Array, "m"] = order[own] % FOLDS
    return folds
