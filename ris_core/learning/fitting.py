"""Fitting a calibrator to judged answers: what the look shows stays, what it is worth is learnt.

Only the model of the answer and the threshold below which nothing matches are fitted; the look is the profile's own, or the
method's where the profile has no calibrator. The weights are drawn to those of the calibrator before (a Gaussian prior), as strongly
as cross-validation over images finds best. People err: an outcome is taken for mistaken with probability `MISTAKES`, and the
likelihood is that of the noisy outcome ([0] Bootkrajang and Kabán, "Label-noise robust logistic regression and its applications",
ECML 2012, with a fixed flipping probability).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.learning.evidence import FEATURES, JudgedAnswers
from ris_core.methods._calibration import Calibrator, Logistic

MISTAKES = 0.05
"""Share of outcomes that is taken to be mistaken: a mask accepted in a hurry, a right one deleted."""
LEAST_ANSWERS = 100
"""Judged answers below which nothing is fitted."""
LEAST_OF_EACH = 15
"""Right ones, wrong ones, and answers where nothing was meant, below which nothing is fitted."""
LEAST_IMAGES = 20
FOLDS = 5
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""How strongly the weights of standardised features are drawn to the prior, in judged answers: what is tried."""
LEAST_SPREADS = {"look": 2.0, "clauses": 1.0, "margin": 0.2}
"""Standard deviations that features are taken to have at least: of what hardly varies in a project, its corrections say little."""
UNCALIBRATED = Logistic({"look": 1.0, "clauses": 1.0, "margin": 1.0})
"""The prior of a profile without a calibrator: the odds of the fit, times its share against the best rival."""
EVEN = 0.5
"""Its threshold."""
_STEPS = 40


class TooLittle(BadInput):
    """Too few judged answers to fit a calibrator."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A calibrator, and what it says of answers whose images it was not fitted on.

    Attributes:
        strength: Of the prior, chosen among `STRENGTHS`; infinite if the prior was best.
        probability, presence: float (M,), of each judged answer by the fit that never saw its image.
        is_found: bool (M,), whether that fit's threshold lets it answer.
    """

    calibrator: Calibrator
    strength: float
    probability: Float[Array, "m"]
    presence: Float[Array, "m"]
    is_found: Bool[Array, "m"]


def check_enough(answers: JudgedAnswers) -> None:
    """Refuse what is too little to learn from.

    Raises:
        TooLittle: Says what is missing, and how it is made.
    """
    absent = int((answers.knows_target & ~answers.has_target).sum())
    counts = {
        f"judged answers ({len(answers)} of {LEAST_ANSWERS}): label more tasks": (len(answers), LEAST_ANSWERS),
        f"images ({len(np.unique(answers.image))} of {LEAST_IMAGES}): label more images": (
            len(np.unique(answers.image)),
            LEAST_IMAGES,
        ),
        f"right answers ({answers.is_right.sum()} of {LEAST_OF_EACH})": (int(answers.is_right.sum()), LEAST_OF_EACH),
        f"answers where nothing is meant ({absent} of {LEAST_OF_EACH}): delete what is wrongly predicted, or type "
        '"none: the cat"': (absent, LEAST_OF_EACH),
    }
    missing = [text for text, (number, least) in counts.items() if number < least]
    if missing:
        raise TooLittle(f"Too little to learn from. Missing: {'; '.join(missing)}.")


def fit(answers: JudgedAnswers, look: Logistic, prior: Calibrator | None) -> Fit:
    """Fit a calibrator to judged answers.

    Args:
        look: Of the profile.
        prior: The calibrator until now; None if the profile has none.

    Raises:
        TooLittle: As `check_enough` does.
    """
    check_enough(answers)
    start = prior.answer if prior else UNCALIBRATED
    fold = _folds(answers.image)
    strengths = [*STRENGTHS, np.inf]
    held_out = np.stack([_cross_fit(answers, fold, start, strength) for strength in strengths])
    losses = np.stack([log_loss(one, answers.is_right) for one in held_out])
    chosen = _choose(losses, answers.image, is_free=prior is None)
    strength = strengths[chosen]
    threshold = prior.no_match_below if prior else EVEN
    probability, presence, is_found = _judge_held_out(answers, fold, start, strength, threshold)
    model = _fit_model(answers, start, strength)
    below = _choose_threshold(_presence(model, answers.features), answers, threshold)
    calibrator = Calibrator(look, model, below)
    return Fit(calibrator, strength, probability, presence, is_found)


def log_loss(probability: Float[Array, "m"], is_right: Bool[Array, "m"]) -> Float[Array, "m"]:
    """Negative logarithm of the probability of each outcome, mistakes included."""
    stated = MISTAKES + (1 - 2 * MISTAKES) * probability
    loss: Float[Array, "m"] = -np.log(np.where(is_right, stated, 1 - stated))
    return loss


def _folds(image: Int[Array, "m"]) -> Int[Array, "m"]:
    """The fold of each answer: images stay whole."""
    images = np.unique(image)
    order = np.random.default_rng(0).permutation(len(images))
    of_image = dict(zip(images.tolist(), (order % FOLDS).tolist(), strict=True))
    return np.array([of_image[one] for one in image.tolist()])


def _cross_fit(answers: JudgedAnswers, fold: Int[Array, "m"], start: Logistic, strength: float) -> Float[Array, "m"]:
    """The probability of each answer by a model that never saw its image."""
    probability = np.empty(len(answers))
    for number in range(FOLDS):
        model = _fit_model(answers.take(fold != number), start, strength)
        probability[fold == number] = model(answers.features)[fold == number]
    return probability


def _choose(losses: Float[Array, "s m"], image: Int[Array, "m"], is_free: bool) -> int:
    """The strongest prior that is not clearly worse than the best one: within a standard error, images drawn as wholes.

    Args:
        is_free: There is no calibrator to keep, so the prior itself is no choice.
    """
    means = losses.mean(axis=1)
    if is_free:
        return int(means[:-1].argmin())
    best = int(means.argmin())
    sums = np.stack([np.bincount(image, weights=one - losses[best]) for one in losses])
    errors = np.sqrt((sums**2).sum(axis=1)) / losses.shape[1]
    return int(np.flatnonzero(means - means[best] <= errors)[-1])


def _judge_held_out(
    answers: JudgedAnswers, fold: Int[Array, "m"], start: Logistic, strength: float, threshold: float
) -> tuple[Float[Array, "m"], Float[Array, "m"], Bool[Array, "m"]]:
    """Probability and presence of each answer, and whether it is found, by models and thresholds that never saw its image."""
    probability, presence, is_found = np.empty(len(answers)), np.empty(len(answers)), np.empty(len(answers), bool)
    for number in range(FOLDS):
        others, own = answers.take(fold != number), fold == number
        model = _fit_model(others, start, strength)
        below = _choose_threshold(_presence(model, others.features), others, threshold)
        probability[own] = model(answers.features)[own]
        presence[own] = _presence(model, answers.features)[own]
        is_found[own] = presence[own] >= below
    return probability, presence, is_found


def _presence(model: Logistic, features: Mapping[str, Float[Array, "m"]]) -> Float[Array, "m"]:
    return model({**features, "margin": np.zeros_like(features["margin"])})


def _choose_threshold(presence: Float[Array, "m"], answers: JudgedAnswers, prior: float) -> float:
    """The threshold nearest to the prior's that tells targets from none within a standard error as well as the best one does.

    Both kinds weigh alike, so that mistakes and the share of absent things do not move it.
    """
    there = presence[answers.knows_target & answers.has_target]
    absent = presence[answers.knows_target & ~answers.has_target]
    if not len(there) or not len(absent):
        return prior
    grid = np.arange(1, 100) / 100
    shares = [(there[:, None] >= grid).mean(axis=0), (absent[:, None] < grid).mean(axis=0)]
    best = int(np.sum(shares, axis=0).argmax())
    variance = sum(
        share[best] * (1 - share[best]) / len(own) for share, own in zip(shares, (there, absent), strict=True)
    )
    is_good = np.sum(shares, axis=0) >= shares[0][best] + shares[1][best] - np.sqrt(variance)
    return float(min(grid[is_good], key=lambda one: abs(one - prior)))


def _fit_model(answers: JudgedAnswers, start: Logistic, strength: float) -> Logistic:
    """The most probable weights, by expectation-maximisation over which outcomes are mistaken."""
    if np.isinf(strength):
        return start
    raw = np.stack([answers.features[name] for name in FEATURES], axis=1)
    mean, scale = raw.mean(axis=0), np.maximum(raw.std(axis=0), [LEAST_SPREADS[name] for name in FEATURES])
    inputs = np.c_[(raw - mean) / scale, np.ones(len(raw))]
    slopes = np.array([start.weights.get(name, 0.0) for name in FEATURES])
    centre = np.r_[slopes * scale, start.bias + slopes @ mean]
    weights, is_right = centre.copy(), answers.is_right
    for _ in range(_STEPS):
        expected = 0.5 * (1 + np.tanh(inputs @ weights / 2))
        likely = np.where(is_right, 1 - MISTAKES, MISTAKES) * expected
        truth = likely / (likely + np.where(is_right, MISTAKES, 1 - MISTAKES) * (1 - expected))
        gradient = inputs.T @ (expected - truth) + strength * (weights - centre)
        curvature = (inputs * (expected * (1 - expected))[:, None]).T @ inputs + strength * np.eye(len(weights))
        weights = weights - np.linalg.solve(curvature, gradient)
    fitted = weights[:-1] / scale
    return Logistic(dict(zip(FEATURES, fitted.tolist(), strict=True)), float(weights[-1] - fitted @ mean))
