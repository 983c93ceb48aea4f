"""Judged answers drawn from a known model."""

import numpy as np

from ris_core.learning.evidence import JudgedAnswers
from ris_core.methods._calibration import Calibrator, Logistic

TRUE = Logistic({"look": 1.2, "clauses": 1.5, "margin": 4.0}, bias=1.0)
CALIBRATOR = Calibrator(Logistic({"similarity": 1.0}), TRUE, no_match_below=0.5)


def draw(number: int, images: int, model: Logistic = TRUE, mistakes: float = 0.0, seed: int = 0) -> JudgedAnswers:
    """Answers whose rightness follows a model; a share of the outcomes is mistaken."""
    rng = np.random.default_rng(seed)
    features = {
        "look": rng.normal(0.5, 2.5, number),
        "clauses": -rng.exponential(0.5, number),
        "margin": -rng.exponential(0.15, number),
    }
    presence = model({**features, "margin": np.zeros(number)})
    has_target = rng.random(number) < presence
    is_right = has_target & (rng.random(number) < model(features) / presence)
    flips = rng.random(number) < mistakes
    return JudgedAnswers(
        features=features,
        is_right=is_right ^ flips,
        has_target=has_target ^ flips,
        knows_target=np.ones(number, bool),
        image=rng.integers(0, images, number),
    )
