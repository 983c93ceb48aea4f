import numpy as np
import pytest

from ris_core.evaluation.confidence import binned, calibration_error
from ris_core.learning import fitting
from ris_core.learning.fitting import MISTAKES, TooLittle, fit, log_loss
from ris_core.methods._calibration import Logistic
from tests.ris_core.learning.made import CALIBRATOR, TRUE, draw

LOOK = CALIBRATOR.look


def measure_ece(model, answers):
    return float(calibration_error(binned(model(answers.features), answers.is_right).sum(axis=0)[None])[0])


def test_a_profile_without_calibrator_learns_probabilities_in_spite_of_mistakes():
    other = Logistic({"look": 0.4, "clauses": 1.0, "margin": 5.0}, bias=-0.5)
    fitted = fit(draw(400, 60, other, mistakes=0.1), LOOK, prior=None)
    fresh = draw(20_000, 500, other, seed=1)
    assert measure_ece(fitted.calibrator.answer, fresh) < 0.05
    assert measure_ece(fitting.UNCALIBRATED, fresh) > 0.15
    assert fitted.calibrator.look == LOOK


@pytest.mark.parametrize("seed", range(8))
def test_a_good_calibrator_is_not_made_worse(seed):
    fitted = fit(draw(200, 40, mistakes=0.1, seed=seed), LOOK, CALIBRATOR)
    fresh = draw(20_000, 500, seed=100 + seed)
    losses = [log_loss(model(fresh.features), fresh.is_right).mean() for model in (fitted.calibrator.answer, TRUE)]
    assert losses[0] < losses[1] + 0.01
    assert abs(fitted.calibrator.no_match_below - CALIBRATOR.no_match_below) <= 0.2


def test_a_bad_calibrator_is_left_behind():
    wrong = Logistic({"look": 0.1, "clauses": 0.1, "margin": 0.1}, bias=3.0)
    fitted = fit(draw(400, 60), LOOK, type(CALIBRATOR)(LOOK, wrong, 0.9))
    assert fitted.strength < np.inf
    assert measure_ece(fitted.calibrator.answer, draw(20_000, 500, seed=1)) < 0.06


@pytest.mark.parametrize("strength", fitting.STRENGTHS[1:])
def test_what_hardly_varies_in_a_project_is_hardly_learnt(strength):
    answers = draw(200, 40, mistakes=0.1)
    answers.features["clauses"][:] = np.where(answers.is_right, -0.02, 0.0)  # against all sense: a sign that deceives
    assert fitting._fit_model(answers, TRUE, strength).weights["clauses"] > 0.5 * TRUE.weights["clauses"]


def test_no_image_is_on_both_sides_of_a_fold():
    image = np.repeat(np.arange(30), 7)
    folds = fitting._folds(image)
    assert all(len(set(folds[image == one])) == 1 for one in range(30))
    assert len(set(folds.tolist())) == fitting.FOLDS


@pytest.mark.parametrize(
    ("answers", "missing"),
    [
        (draw(60, 30), "judged answers (60 of 100)"),
        (draw(200, 10), "images (10 of 20)"),
        (draw(200, 40, Logistic({"look": 0.0}, bias=9.0)), "answers where nothing is meant (0 of 15)"),
        (draw(200, 40, Logistic({"look": 0.0}, bias=-9.0)), "right answers (0 of 15)"),
    ],
)
def test_too_little_is_refused_and_what_is_missing_is_named(answers, missing):
    with pytest.raises(TooLittle) as refused:
        fit(answers, LOOK, None)
    assert missing in str(refused.value)


def test_a_loss_counts_mistakes():
    assert log_loss(np.array([1.0]), np.array([False])) == pytest.approx(-np.log(MISTAKES))
