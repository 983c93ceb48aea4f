"""Guided choice: what each proposal looks like, times where it is among the others, as the words ask.

For every noun phrase the look gives each proposal a probability of showing it; clauses and exclusions are factors on it
(`_judging`). A calibrator, if the profile has one, makes the result the probability that the IoU with the target is at least
0.5, and so can tell that nothing matches.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.errors import UnknownName
from ris_core.geometry import duplicates, placement
from ris_core.language.lexicon import COLOURS
from ris_core.language.values import Referent
from ris_core.methods._calibration import Calibrator, Logistic
from ris_core.methods._judging import Judge, Judgement
from ris_core.methods._looks import Appearance, Wordings
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods._settings import check_weights
from ris_core.methods._similarity import unit
from ris_core.types import NO_CHANCE, Decision, EncodedImage, Expression, Scores

IMPROVEMENTS = {
    "negatives": "other nouns compete for each proposal",
    "colours": "other colours compete with the one that is named",
    "grouping": "a thing, its copies and its parts count once",
    "position": "places in the picture",
    "relation": "relations to landmarks",
    "rank": "superlatives and ordinals among things of the same noun",
    "negation": "what is excluded",
    "number": "several masks for plurals and number words",
}
"""What can be left out, one by one."""
UNFITTED = Logistic({"standing": 0.5, "noun": 0.3, "colour": 0.5, "predicted_iou": 3.0})
"""The look without a calibrator: a proposal with a fair share of the similarity to the phrase, and a noun and colour that hold
their own, probably shows it."""
MANY, COUNTED = 0.3, 0.1
"""Least share of the best fit from which another thing answers too: to a plural, to a number word."""


class GuidedMethod:
    """Our own method.

    Args:
        visual_mix: Weight of the global feature against the local one, both of length 1, in [0, 1].
        templates: Sentences with "{}" for a phrase, averaged.
        negatives: Nouns that compete with the noun of a phrase; better no two names of one thing.
        calibration: Name of a stored calibrator, fitted on the profile's components; empty for none: the values then are shares.
        ambiguous_ratio: In [0, 1]: a second thing that fits at least this share as well makes the answer ambiguous.
        without: Keys of `IMPROVEMENTS` to leave out.

    Raises:
        BadInput: If a weight is outside [0, 1].
        UnknownName: If there is no such calibrator or improvement.
    """

    features = ("global", "local")

    def __init__(
        self,
        visual_mix: float = 0.3,
        templates: Sequence[str] = ("{}",),
        negatives: Sequence[str] = (),
        calibration: str = "",
        ambiguous_ratio: float = 0.6,
        without: Sequence[str] = (),
    ) -> None:
        check_weights(visual_mix=visual_mix, ambiguous_ratio=ambiguous_ratio)
        unknown = sorted(set(without) - set(IMPROVEMENTS))
        if unknown:
            raise UnknownName(
                f"The method 'guided' has no improvement {', '.join(unknown)}. Available: {', '.join(IMPROVEMENTS)}."
            )
        self.visual_mix, self.ambiguous_ratio = visual_mix, ambiguous_ratio
        self.without = frozenset(without)
        self.excludes = "negation" not in self.without
        self.wordings = Wordings(
            templates=tuple(templates),
            negatives=() if "negatives" in self.without else tuple(negatives),
            colours=() if "colours" in self.without else COLOURS,
        )
        self.calibrator = Calibrator.load(calibration) if calibration else None
        self.memory: RegionMemory | None = None
        self.settings = {
            "visual_mix": visual_mix,
            "templates": list(templates),
            "negatives": list(negatives),
            "calibration": self.calibrator.digest if self.calibrator else "",
            "ambiguous_ratio": ambiguous_ratio,
            "without": sorted(without),
        }

    @property
    def look(self) -> Logistic:
        """The model of a look: the calibrator's, or the one that needs none."""
        return self.calibrator.look if self.calibrator else UNFITTED

    def with_calibrator(self, calibrator: Calibrator) -> "GuidedMethod":
        """The same method by another calibrator."""
        other = copy.copy(self)
        other.calibrator = calibrator
        other.settings = {**self.settings, "calibration": calibrator.digest}
        return other

    def with_memory(self, memory: RegionMemory | None) -> "GuidedMethod":
        """The same method with other remembered regions, or without any."""
        other = copy.copy(self)
        other.memory = memory
        other.settings = {name: value for name, value in self.settings.items() if name != "memory"}
        if memory:
            other.settings["memory"] = memory.digest
        return other

    def visual(self, encoded: EncodedImage) -> Float[Array, "n e"]:
        """Features of the proposals as they are compared with texts and with remembered regions, of length 1."""
        whole, alone = (unit(encoded.features[name]) for name in self.features)
        return unit(self.visual_mix * whole + (1 - self.visual_mix) * alone)

    def texts(self, expression: Expression) -> dict[str, str]:
        """Every wording of every phrase, each by itself."""
        phrases = {phrase for referent in referents_of(expression) for phrase in self.wordings.phrases(referent)}
        return {text: text for phrase in sorted(phrases) for text in self.wordings.dress(phrase)}

    def score(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Scores:
        """Probability of being the target with a calibrator, else shares among the things.

        The parts: "look", the probability of showing what is named, "look_rank", its place in their order from 1, and how well
        each clause fits, by its wording; with a calibrator also "probability".
        Of several referents each proposal has the parts of the one that it fits best.
        """
        judge = self.judge(encoded, texts, logit_scale, logit_bias)
        referents = referents_of(expression)
        answers = [self._answer(judge, referent) for referent in referents]
        values = np.stack([answer.values for answer in answers])
        return Scores(
            values=values.max(0),
            parts=_parts(answers, values.argmax(0)) | ({"probability": values.max(0)} if self.calibrator else {}),
            decision=self._decide(answers, referents, is_partial=bool(expression.unused)),
            selected=tuple(dict.fromkeys(i for answer in answers for i in answer.selected)),
        )

    def judge(
        self,
        encoded: EncodedImage,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Judge:
        """What judges the proposals of an image; `texts` has the features of what `self.texts` asks for."""
        proposals = encoded.proposals
        inside = duplicates.inside(proposals.measures.intersections)
        return Judge(
            looks=Appearance(self.visual(encoded), texts, self.wordings, logit_scale, logit_bias),
            layout=placement.ProposalLayout(
                proposals.boxes_xywh.astype(float), proposals.measures.areas.astype(float), encoded.size_hw
            ),
            same=np.eye(len(inside), dtype=bool) if "grouping" in self.without else duplicates.same_thing(inside),
            copies=duplicates.copies(inside),
            quality={"predicted_iou": proposals.predicted_iou, "stability": proposals.stability},
            probability=self.look,
            ignores=self.without,
            memory=self.memory,
        )

    def choose(self, judge: Judge, referent: Referent) -> tuple[int, float] | None:
        """The proposal that answers best, and its value; None if nothing answers."""
        answer = self._answer(judge, referent)
        return (answer.selected[0], float(answer.values[answer.selected[0]])) if answer.selected else None

    def rank(self, judge: Judge, referent: Referent) -> list[int]:
        """All proposals in the order in which they are candidates, best first, whether anything answers or not."""
        order: list[int] = np.argsort(-self._answer(judge, referent).values, kind="stable").tolist()
        return order

    def _answer(self, judge: Judge, referent: Referent) -> "_Answer":
        number = 1 if "number" in self.without else referent.number
        judgement = judge.judge(replace(referent, number=number))
        order = np.argsort(-judgement.fit, kind="stable")
        least = judgement.fit.max() * (MANY if number is None else COUNTED)
        selected = [int(i) for i in order if judgement.is_thing[i] and judgement.fit[i] >= least][:number]
        if not self.calibrator:
            return _Answer(judgement, judgement.fit / judgement.fit[judgement.is_thing].sum(), selected)
        features = answer_features(judgement, judge.same, number)
        values = np.empty(len(order))  # nothing is more probable than what fits better
        values[order] = np.minimum.accumulate(self.calibrator.answer(features)[order]) - TIE * np.arange(len(order))
        is_there = self.calibrator.presence(features)[order[0]] >= self.calibrator.no_match_below
        is_there &= number != 1 or values[order[0]] >= NO_CHANCE
        return _Answer(judgement, np.clip(values, 0, 1), selected if is_there else [])

    def _decide(self, answers: Sequence["_Answer"], referents: Sequence[Referent], is_partial: bool) -> Decision | None:
        """None leaves a single thing to the segmenter: shares cannot tell that nothing matches, only whether one is clear.

        Words that could not be used may be what tells the best from the others, even if it fits the rest better.
        """
        selected = [i for answer in answers for i in answer.selected]
        is_single = len(selected) == 1 and [referent.number for referent in referents] == [1]
        if is_single and not self.calibrator:
            return None
        ratio, chance = (COUNTED, 0.0) if is_partial else (self.ambiguous_ratio, NO_CHANCE)
        if is_single and _is_rivalled(answers[0], ratio, chance):
            return "ambiguous"
        return "match" if selected else "no_match"


TIE = 1e-9
"""By how much each place in the order lowers a probability, so that equal ones keep their order."""


@dataclass(frozen=True, eq=False)
class _Answer:
    """One referent's: how it was judged, a value for each proposal, and which proposals answer."""

    judged: Judgement
    values: Float[Array, "n"]
    selected: Sequence[int]


def _is_rivalled(answer: _Answer, ratio: float, chance: float) -> bool:
    """Whether another thing fits nearly as well: at least that share, and at least so probable."""
    fit = answer.judged.fit
    rivals = answer.judged.is_thing & (fit >= ratio * fit.max()) & (answer.values >= chance)
    return bool(np.delete(rivals, answer.selected[0]).any())


def answer_features(judged: Judgement, same: Bool[Array, "n n"], number: int | None) -> dict[str, Float[Array, "n"]]:
    """What the probability of being right is made of, as logarithms of odds and shares.

    "look" and "clauses" are the parts of the fit; "margin" is its share against the best other thing that would be left over:
    of several that are counted the next one, 0 where the number is open.
    """
    margin = np.zeros(len(same))
    if number is not None:
        for i, fit in enumerate(judged.fit):
            rivals = np.sort(judged.fit[judged.is_thing & ~same[i]])[::-1][number - 1 : number]
            margin[i] = np.log(fit / (fit + rivals.sum()))
    return {
        "look": np.log(judged.look / (1 - judged.look)),
        "clauses": np.log(judged.fit / judged.look),
        "margin": margin,
    }


def referents_of(expression: Expression) -> tuple[Referent, ...]:
    """What was read; of an expression that was not read in full its noun phrase."""
    return expression.referents or (Referent(expression.target_phrase, expression.head),)


def _parts(answers: Sequence[_Answer], best: Int[Array, "n"]) -> dict[str, Float[Array, "n"]]:
    """The terms of each proposal for the referent that it fits best; NaN for clauses of the others."""
    parts: dict[str, Float[Array, "n"]] = {}
    for n, answer in enumerate(answers):
        ranks = np.argsort(np.argsort(-answer.judged.look, kind="stable")) + 1.0
        for name, values in {"look": answer.judged.look, "look_rank": ranks, **answer.judged.factors}.items():
            parts[name] = np.where(best == n, values, parts.get(name, np.nan))
    return parts


Component = GuidedMethod
"""What `ris_core.profiles.catalog` makes of this file's name."""
