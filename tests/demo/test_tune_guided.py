"""Fitting the calibrator, on a few scenes with the demo models."""

import dataclasses

import numpy as np
import pytest

from demo.tune_guided import FIRST_SEED, cross_check, fit, read_samples
from ris_core import load_segmenter
from ris_core.errors import BadInput
from ris_core.methods.global_local import GlobalLocalMethod as GlobalLocal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("demo", method={"name": "guided", "calibration": ""})


@pytest.fixture(scope="module")
def samples(segmenter):
    return list(read_samples(segmenter, range(FIRST_SEED, FIRST_SEED + 4)))


def test_a_fitted_look_likes_what_is_similar_and_an_answer_without_rivals(segmenter, samples):
    fitted = fit(segmenter, samples)
    assert fitted.look.weights["similarity"] > 0
    assert fitted.answer.weights["look"] > 0
    assert fitted.answer.weights["margin"] > 0


def test_fitting_is_repeatable(segmenter, samples):
    assert fit(segmenter, samples) == fit(segmenter, samples)


def test_the_figures_come_from_answers_that_were_not_fitted_on(segmenter, samples):
    threshold, figures = cross_check(segmenter, samples)
    assert 0 <= threshold <= 1
    assert sum(row["answers"] for row in figures["reliability"]) == sum(len(sample.asked) for sample in samples)
    assert 0 <= figures["expected_calibration_error"] < 0.5


def test_what_is_ambiguous_or_elsewhere_is_asked_too(samples):
    asked = [(s.scene, e) for s in samples for e, _ in s.asked]
    ambiguous = [(scene, e) for scene, e in asked if e.kind == "ambiguous"]
    misplaced = [(scene, e) for scene, e in asked if e.kind == "misplaced"]
    for scene, expression in ambiguous:
        nouns = [thing.noun for thing in scene.objects]
        assert nouns.count(nouns[expression.targets[0]]) > 1
        assert expression.text == f"the {nouns[expression.targets[0]]}"
    for scene, expression in misplaced:
        noun, side = expression.text.split()[1], "left" if "left" in expression.text else "right"
        [x] = [thing.centre_xy[0] / scene.image.shape[1] for thing in scene.objects if thing.noun == noun]
        assert " of the " in expression.text or (x > 0.5) == (side == "left")
        assert not expression.targets
    assert ambiguous
    assert misplaced


def test_samples_carry_the_overlap_of_objects_and_proposals(samples):
    for sample in samples:
        assert sample.iou.shape == (len(sample.scene.objects), len(sample.encoded.proposals))
        assert np.median(sample.iou.max(1)) > 0.5


def test_other_methods_have_nothing_to_fit(segmenter, samples):
    other = dataclasses.replace(segmenter, method=GlobalLocal(), method_name="global_local")
    with pytest.raises(BadInput, match="The profile's method is global_local; only 'guided'"):
        fit(other, samples)
