"""The proposals of one image, judged for what an expression speaks of: its look, its clauses, what it excludes.

Relations are judged against all proposals that may be the landmark, ranks among all that may be of the same noun, as
expectations; so a landmark that is not sure counts for as much as it is sure.
Source: ours; soft relations among boxes follow the idea of [0] Subramanian et al., "ReCLIP", ACL 2022, section 3.2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.geometry import duplicates, placement
from ris_core.language import lexicon
from ris_core.language.values import Clause, Referent
from ris_core.methods._looks import Appearance
from ris_core.methods._region_memory import RegionMemory

FLOOR = 1e-4
"""Least value of a factor, and of a look: nothing alone decides that something is impossible."""
ELSEWHERE = 0.02
"""Weight of the chance that a landmark is none of the proposals."""
TOUCHING = frozenset({"in", "on", "with"})
"""Relations that hold within a landmark too."""
NAMELESS = 0.9
"""Look of everything where the words name nothing ("the one on the left")."""
WHOLE = 0.9
"""Fit of a whole thing of which a part is meant: less than of a proposal at that side of it, if there is one."""
HAVING = 0.95
"""Chance that the thing which looks most like "man with a hat" has one."""

Probability = Callable[[Mapping[str, Float[Array, "n"]]], Float[Array, "n"]]


@dataclass(frozen=True, eq=False)
class Judgement:
    """N proposals, judged for one referent.

    Attributes:
        look: Probability of showing what the words name, in (0, 1).
        factors: How well each clause and exclusion fits, by its label, in [0, 1].
        fit: Their product.
        is_thing: Of each thing that several proposals show the one that fits best.
    """

    look: Float[Array, "n"]
    factors: Mapping[str, Float[Array, "n"]]
    fit: Float[Array, "n"]
    is_thing: Bool[Array, "n"]


@dataclass(frozen=True, eq=False)
class Judge:
    """What is known of one image's proposals, and by what they are judged.

    Attributes:
        looks: Their similarities to phrases.
        layout: Their boxes.
        same: (N, N), whether two show the same thing.
        copies: (N, N), whether two are the same region: the man in the car lies within it, and is another thing.
        quality: The proposer's estimates, features of the look besides those of `looks`.
        probability: From the features of a look to the probability that it shows the phrase.
        ignores: Kinds of clauses that count for nothing; "negation" for what is excluded.
        memory: What things of some nouns looked like.
    """

    looks: Appearance
    layout: placement.ProposalLayout
    same: Bool[Array, "n n"]
    copies: Bool[Array, "n n"]
    quality: Mapping[str, Float[Array, "n"]]
    probability: Probability
    ignores: frozenset[str] = frozenset()
    memory: RegionMemory | None = None

    def judge(self, referent: Referent) -> Judgement:
        """Judge every proposal; ranks come last, since only what fits the rest is put in order."""
        look = self._look(referent)
        factors: dict[str, Float[Array, "n"]] = {}
        clauses = [clause for clause in referent.clauses if clause.kind not in self.ignores]
        for clause in clauses:
            if clause.kind != "rank":
                factors[clause.label] = self._placed(clause, look)
        for other in referent.excluded if "negation" not in self.ignores else ():
            factors[f"not {other.label}"] = _factor(self._excluded(other, referent), True)
        rivals = look * _product(factors)
        for clause in clauses:
            if clause.kind == "rank":
                factors[clause.label] = self._ranked(clause, rivals, referent.number)
        fit = look * _product(factors)
        return Judgement(look, factors, fit, duplicates.representatives(fit, self.same))

    def features(self, phrase: str) -> dict[str, Float[Array, "n"]]:
        """What the probability of showing a phrase is made of."""
        return {**self.looks.features(phrase), **self.quality}

    def _look(self, referent: Referent) -> Float[Array, "n"]:
        if not referent.phrase:
            return np.full(len(self.same), NAMELESS)
        look = self.probability(self.features(referent.phrase))
        if self.memory:
            look = self.memory.adjust(look, referent.head, self.looks.visual, self.looks.colour_fit(referent.phrase))
        return np.clip(look, FLOOR, 1 - FLOOR)

    def _where(self, landmark: Referent) -> Float[Array, "n"]:
        """How well each thing fits as the landmark."""
        judgement = self.judge(landmark)
        return judgement.fit * judgement.is_thing

    def _placed(self, clause: Clause, look: Float[Array, "n"]) -> Float[Array, "n"]:
        """The factor of a place: it chooses among what looks right, and denies the best of that only if it is plainly elsewhere."""
        if clause.kind == "part":
            return _factor(self._part(clause.keyword, look), clause.is_negated)
        if clause.kind == "position":
            fits, at_most = (placement.position(self.layout, clause.keyword, leeway) for leeway in (False, True))
        else:
            fits, at_most = self._relation(clause)
        if clause.is_negated:
            return _factor(fits, True)
        best = max((fits * look).max() / look.max(), FLOOR)
        return _factor(np.maximum(at_most, fits) * np.minimum(fits / best, 1), False)

    def _part(self, keyword: str, look: Float[Array, "n"]) -> Float[Array, "n"]:
        """A proposal within one that shows the thing is judged by its side of that; the thing itself fits nearly as well."""
        areas = self.layout.areas
        is_part = self.same & ~self.copies & (areas[:, None] < areas[None])
        belongs = is_part * (look / look.max())[None]
        sides = placement.side(self.layout, keyword)[np.arange(len(look)), belongs.argmax(1)]
        fits: Float[Array, "n"] = WHOLE + belongs.max(1) * (sides - WHOLE)
        return fits

    def _relation(self, clause: Clause) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
        """Expected relation to the landmark, and the same with leeway; nothing is in a relation to itself."""
        if not clause.landmarks:
            return (np.ones(len(self.same)),) * 2
        landmark_fits = [self._where(landmark) for landmark in clause.landmarks]
        apart = ~(self.copies if clause.keyword in TOUCHING else self.same)
        if clause.keyword != "between":
            strict, lenient = (
                (placement.relation(self.layout, clause.keyword, leeway) * apart) @ _share(landmark_fits[0])
                for leeway in (False, True)
            )
            return strict, lenient
        pairs = _share(np.outer(landmark_fits[0], landmark_fits[-1]) * apart)
        expectation: Float[Array, "n"] = np.einsum(
            "ijk,jk->i", placement.between(self.layout) * apart[:, :, None] * apart[:, None], pairs
        )
        return expectation, expectation

    def _ranked(self, clause: Clause, rivals: Float[Array, "n"], number: int | None) -> Float[Array, "n"]:
        """The factor of a rank; the only thing there is is neither the larger nor not the larger one."""
        weights = rivals * duplicates.representatives(rivals, self.same)
        fits = self._rank(clause, weights, number)
        if clause.is_negated and clause.rank == 1:
            fits = fits - placement.alone(weights, self.same)
        return _factor(fits, clause.is_negated)

    def _rank(self, clause: Clause, weights: Float[Array, "n"], number: int | None) -> Float[Array, "n"]:
        if not clause.landmarks:
            return self._order(clause, placement.measure(self.layout, clause.keyword), weights, number)
        fits, landmark = np.zeros(len(weights)), clause.landmarks[0]
        landmark_fits, distances = self._where(landmark), placement.distances(self.layout)
        sign = -1 if clause.keyword == "near" else 1
        for j, share in enumerate(_share(landmark_fits)):  # another order for each thing that may be the landmark
            if share >= FLOOR:
                apart = ~self.same[j]
                fits += share * apart * self._order(clause, sign * distances[:, j], weights * apart, number)
        if landmark.head not in lexicon.VIEWERS:
            return fits
        keyword = "front" if clause.keyword == "near" else "back"  # no camera in the picture: the one that took it
        viewed = self._order(clause, placement.measure(self.layout, keyword), weights, number)
        mean_fits: Float[Array, "n"] = landmark_fits.max() * fits + (1 - landmark_fits.max()) * viewed
        return mean_fits

    def _order(
        self, clause: Clause, values: Float[Array, "n"], weights: Float[Array, "n"], number: int | None
    ) -> Float[Array, "n"]:
        count = number or 2  # "the largest dogs" are at least two
        return placement.rank(values, placement.softness(clause.keyword), weights, self.same, clause.rank, count)

    def _excluded(self, other: Referent, referent: Referent) -> Float[Array, "n"]:
        """How well each fits what is not meant; "with a hat" cannot be told from the look alone, but from who has most."""
        has_more = set(referent.phrase.split()) < set(other.phrase.split())
        if not referent.phrase or not has_more or self.looks.wordings.recoloured(other.phrase):
            return self.judge(other).fit
        gain = np.subtract(*self.looks.similarity([other.phrase, referent.phrase]).T)
        most = gain[np.argmax(self._look(other))]
        likelihood: Float[Array, "n"] = HAVING * np.exp(np.minimum(gain - most, 0))
        return likelihood


def _factor(fits: Float[Array, "n"], is_negated: bool) -> Float[Array, "n"]:
    return np.clip(1 - fits if is_negated else fits, FLOOR, 1)


def _product(factors: Mapping[str, Float[Array, "n"]]) -> Float[Array, "n"] | float:
    return np.prod(list(factors.values()), axis=0) if factors else 1.0


def _share(weights: Float[Array, "..."]) -> Float[Array, "..."]:
    shares: Float[Array, "..."] = weights / (weights.sum() + ELSEWHERE)
    return shares
