"""What can be learnt from a project's judged answers, and whether it is better than what is there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backend.corrections.judged_answers import JudgedAnswer, as_arrays
from ris_core.errors import BadInput
from ris_core.learning.evidence import JudgedAnswers
from ris_core.learning.figures import Figure, Verdicts, compare
from ris_core.learning.fitting import Fit, fit
from ris_core.learning.lesson import Lesson
from ris_core.learning.memory_fitting import MemoryFit
from ris_core.learning.thresholds import LabelThreshold, choose_threshold
from ris_core.methods._calibration import Calibrator, Logistic
from ris_core.methods.guided import UNFITTED
from ris_core.profiles import read_profile


@dataclass(frozen=True, eq=False)
class Study:
    """What was learnt, and how it compares.

    Attributes:
        evidence: What it was learnt from.
        before, after: What is said of those answers without anything learnt, and by calibrators that never saw their images.
        figures: Both compared.
        thresholds: One for each label.
        strength: How strongly the calibrator before was held on to, in judged answers; infinite if it was kept.
        remembered: What remembering regions is worth, if it was asked for.
    """

    lesson: Lesson
    evidence: JudgedAnswers
    before: Verdicts
    after: Verdicts
    figures: Sequence[Figure]
    thresholds: Sequence[LabelThreshold]
    strength: float
    remembered: MemoryFit | None = None

    @property
    def answers(self) -> int:
        """How many answers it was learnt from."""
        return len(self.evidence)

    @property
    def images(self) -> int:
        """On how many images."""
        return len(np.unique(self.evidence.image))

    @property
    def is_calibrator_gain(self) -> bool:
        """Whether the loss is surely lower: the whole interval of its change is below 0."""
        return self.figures[0].high < 0

    @property
    def is_gain(self) -> bool:
        """Whether the calibrator or the memory is surely better than nothing learnt."""
        return self.is_calibrator_gain or self.lesson.memory is not None

    def with_memory(self, remembered: MemoryFit) -> "Study":
        """The same with what remembering regions brought; nothing is remembered unless a gain is sure."""
        return replace(self, remembered=remembered, lesson=replace(self.lesson, memory=remembered.memory))

    def to_json(self) -> dict[str, Any]:
        """What is kept beside the lesson."""
        return {
            "answers": self.answers,
            "images": self.images,
            "strength": None if np.isinf(self.strength) else self.strength,
            "figures": [{name: _number(value) for name, value in vars(one).items()} for one in self.figures],
            "thresholds": [vars(one) for one in self.thresholds],
            **({"memory": _describe(self.remembered)} if self.remembered else {}),
        }


def read_prior(profile: str) -> tuple[Logistic, Calibrator | None]:
    """The look of a profile, and its calibrator if it has one.

    Raises:
        BadInput: If the profile's method takes no calibrator.
    """
    section = read_profile(profile)["method"]
    if section["name"] != "guided":
        raise BadInput(f"The method of the profile {profile} is {section['name']}; only guided can learn a calibrator.")
    stored = section.get("settings", {}).get("calibration", "")
    prior = Calibrator.load(stored) if stored else None
    return (prior.look if prior else UNFITTED), prior


def study(
    judged: Sequence[JudgedAnswer],
    base_version: str,
    look: Logistic,
    prior: Calibrator | None,
    max_error: float | None = None,
    keeps_prior: bool = False,
) -> Study:
    """Learn from judged answers.

    Args:
        prior: The profile's calibrator; None if it has none.
        max_error: Also choose a threshold for each label, from which at most so large a share of the answers is wrong.
        keeps_prior: Take the calibrator before, if there is one, unless a gain by the new one is sure: what else is learnt may be
            applied without it.

    Raises:
        TooLittle: If there are too few; says what is missing.
    """
    answers = as_arrays(judged)
    fitted = fit(answers, look, prior)
    before, after = _without(answers, prior), Verdicts(fitted.probability, fitted.is_found)
    thresholds = _choose_thresholds(judged, answers, fitted, max_error) if max_error is not None else []
    chosen = {one.label: one.threshold for one in thresholds if one.threshold is not None}
    figures = compare(answers, before, after)
    is_kept = keeps_prior and prior is not None and figures[0].high >= 0
    return Study(
        lesson=Lesson(base_version, prior if is_kept and prior else fitted.calibrator, chosen),
        evidence=answers,
        before=before,
        after=after,
        figures=figures,
        thresholds=thresholds,
        strength=fitted.strength,
    )


def _without(answers: JudgedAnswers, prior: Calibrator | None) -> Verdicts:
    """What is said without anything learnt: by the calibrator, or shares among the things, which are always an answer."""
    if prior is None:
        return Verdicts(np.exp(answers.features["margin"]), np.ones(len(answers), bool))
    is_found = prior.presence(answers.features) >= prior.no_match_below
    return Verdicts(prior.answer(answers.features), is_found)


def _choose_thresholds(
    judged: Sequence[JudgedAnswer], answers: JudgedAnswers, fitted: Fit, max_error: float
) -> list[LabelThreshold]:
    labels = np.array([one.label for one in judged])
    chosen = []
    for label in sorted(set(labels.tolist())):
        own = (labels == label) & fitted.is_found
        chosen.append(choose_threshold(label, fitted.probability[own], answers.is_right[own], max_error))
    return chosen


def _describe(remembered: MemoryFit) -> dict[str, Any]:
    nouns = sorted(remembered.memory.prototypes) if remembered.memory else []
    figures = {name: _number(getattr(remembered, name)) for name in ("before", "after", "low")}
    return {"touched": remembered.touched, "images": remembered.images, "nouns": nouns, **figures}


def _number(value: object) -> object:
    return None if isinstance(value, float) and np.isnan(value) else value
