import json

import numpy as np
import pytest

from ris_core.errors import UnknownName
from ris_core.methods._calibration import FOLDER, SUFFIX, Calibrator, Logistic
from ris_core.profiles import read_profile
from ris_core.runtime.weights import WeightStore

RNG = np.random.default_rng(0)


def test_a_logistic_model_gives_the_odds_that_it_says():
    model = Logistic({"a": 2.0, "b": -1.0}, bias=0.5)
    [probability] = model({"a": np.array([1.0]), "b": np.array([0.5]), "unknown": np.array([9.0])})
    assert np.log(probability / (1 - probability)) == pytest.approx(2 - 0.5 + 0.5)


def test_a_fit_finds_the_weights_that_made_the_data():
    made = Logistic({"a": 1.5, "b": -0.7}, bias=0.3)
    features = {"a": RNG.normal(2, 3, 20_000), "b": RNG.normal(-1, 0.5, 20_000)}
    truth = RNG.random(20_000) < made(features)
    fitted = Logistic.fit(features, truth, ridge=0.0)
    assert fitted.weights == pytest.approx(made.weights, abs=0.1)
    assert fitted.bias == pytest.approx(made.bias, abs=0.1)


def test_a_fit_is_calibrated_on_its_data():
    features = {"a": RNG.normal(size=5_000)}
    truth = RNG.random(5_000) < np.clip(features["a"], 0.05, 0.9)
    assert Logistic.fit(features, truth)(features).mean() == pytest.approx(truth.mean(), abs=1e-3)


def test_a_fit_to_separable_or_constant_data_stays_finite():
    features = {"a": np.arange(10.0), "always the same": np.ones(10)}
    fitted = Logistic.fit(features, np.arange(10) > 4)
    assert np.isfinite([*fitted.weights.values(), fitted.bias]).all()
    assert ((fitted(features) > 0.5) == (np.arange(10) > 4)).all()


def test_presence_is_the_probability_without_rivals():
    calibrator = Calibrator(Logistic({}), Logistic({"look": 1.0, "margin": 3.0}), 0.5)
    features = {"look": np.array([2.0]), "margin": np.array([-1.0])}
    assert calibrator.presence(features) == pytest.approx(
        calibrator.answer({"look": np.array([2.0]), "margin": np.zeros(1)})
    )
    assert calibrator.presence(features) > calibrator.answer(features)


def test_what_is_stored_is_what_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("ris_core.methods._calibration.FOLDER", tmp_path)
    made = Calibrator(Logistic({"similarity": 0.5}, -1.0), Logistic({"margin": 2.0}), 0.4, {"scenes": 3})
    made.save(tmp_path / f"mine{SUFFIX}")
    assert Calibrator.load("mine") == made


def test_the_digest_follows_what_decides_and_not_what_is_told():
    made = Calibrator(Logistic({"a": 1.0}), Logistic({"b": 1.0}), 0.4)
    assert made.digest == Calibrator(made.look, made.answer, 0.4, {"scenes": 3}).digest
    assert made.digest != Calibrator(made.look, made.answer, 0.5).digest


def test_an_unknown_calibrator_is_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match=r"No calibrator named 'mars'. Available: .*demo"):
        Calibrator.load("mars")


@pytest.mark.parametrize("file", sorted(FOLDER.glob(f"*{SUFFIX}")), ids=lambda file: file.name)
def test_stored_calibrators_say_how_reliable_they_are(file):
    calibrator = Calibrator.load(file.name.removesuffix(SUFFIX))
    assert calibrator.about["expected_calibration_error"] <= 0.05
    answers = sum(row["answers"] for row in calibrator.about["reliability"])
    assert answers > 1_000
    assert json.loads(file.read_text(encoding="utf-8"))["about"]["first_seed"] >= 500_000


def test_the_calibrator_of_the_demo_profile_was_fitted_on_its_weights():
    fitted_on, sections, store = Calibrator.load("demo").about["weights"], read_profile("demo"), WeightStore()
    assert fitted_on == {part: store.digest(sections[part]["settings"]["weights"]) for part in ("proposer", "encoder")}
