from dataclasses import replace

import numpy as np
import pytest

from ris_core.language.values import Clause, Referent
from ris_core.output.explain import explain
from ris_core.types import Expression, Prediction

DOG = Referent("dog", "dog")
LEFT_OF_DOG = Clause("relation", "left", "left of the dog", (DOG,))
NOT_ABOVE = Clause("position", "up", "at the top", is_negated=True)


def prediction(parts: list[dict[str, float]], *referents: Referent, decision="match", selected=(0,)) -> Prediction:
    k = len(parts)
    return Prediction(
        expression=Expression("", "", "", "", (), "none", "none", False, referents),
        masks=np.zeros((k, 2, 2), bool),
        scores=np.linspace(0.9, 0.1, k),
        boxes_xywh=np.zeros((k, 4), np.float32),
        parts=parts,
        decision=decision,
        selected=selected,
        model_version="v",
    )


@pytest.mark.parametrize(
    ("look_rank", "fits", "expected"),
    [
        (3, {"left of the dog": 0.93}, '3rd by look (0.41), moved up by "left of the dog" (0.93)'),
        (2, {"left of the dog": 0.4, "not at the top": 0.9}, '2nd by look (0.41), moved up by "not at the top" (0.90)'),
        (2, {"left of the dog": 0.3}, '2nd by look (0.41), others fit "left of the dog" (0.30) less'),
        (1, {"left of the dog": 0.93}, '1st by look (0.41), with "left of the dog" (0.93)'),
        (1, {}, "1st by look (0.41)"),
        (11, {"left of the dog": 0.6}, '11th by look (0.41), moved up by "left of the dog" (0.60)'),
    ],
)
def test_the_first_candidate_is_explained_by_what_moved_it(look_rank, fits, expected):
    parts = {"look": 0.41, "look_rank": look_rank, **fits}
    lines = explain(prediction([parts], Referent("cat", "cat", (LEFT_OF_DOG, NOT_ABOVE)))).splitlines()
    assert lines[-1] == f"* #1, score 0.90: {expected}"


def test_a_candidate_that_fell_is_explained_by_what_speaks_against_it():
    first = {"look": 0.4, "look_rank": 2, "left of the dog": 0.9, "not at the top": 0.9}
    second = {"look": 0.8, "look_rank": 1, "left of the dog": 0.05, "not at the top": 0.9}
    lines = explain(prediction([first, second], Referent("cat", "cat", (LEFT_OF_DOG, NOT_ABOVE)))).splitlines()
    assert lines[-1] == '  #2, score 0.10: 1st by look (0.80), moved down by "left of the dog" (0.05)'


def test_a_candidate_that_fits_and_fell_had_better_rivals():
    first = {"look": 0.4, "look_rank": 2, "left of the dog": 0.99}
    second = {"look": 0.5, "look_rank": 1, "left of the dog": 0.7}
    lines = explain(prediction([first, second], Referent("cat", "cat", (LEFT_OF_DOG,)))).splitlines()
    assert lines[-1].endswith('1st by look (0.50), others fit "left of the dog" (0.70) better')


def test_the_reading_comes_first():
    excluding = Referent("red cat", "cat", (LEFT_OF_DOG,), None, (Referent("old red cat", "cat"),))
    text = explain(prediction([{"look": 0.9, "look_rank": 1}], excluding, Referent("tree", "tree", (), 2)))
    assert text.startswith("Read as every red cat (left of the dog, not old red cat) and 2 x tree.\n")


def test_an_exclusion_moves_candidates_too():
    parts = {"look": 0.4, "look_rank": 2, "not red cat": 0.8}
    text = explain(prediction([parts], Referent("cat", "cat", excluded=(Referent("red cat", "cat"),))))
    assert 'moved up by "not red cat" (0.80)' in text


@pytest.mark.parametrize(
    ("decision", "selected", "expected"),
    [("match", (0,), "Match"), ("ambiguous", (0,), "Ambiguous"), ("no_match", (), "No match")],
)
def test_the_decision_is_said(decision, selected, expected):
    text = explain(prediction([{"look": 0.5, "look_rank": 1}], DOG, decision=decision, selected=selected))
    assert text.splitlines()[1].startswith(expected)
    assert ("*" in text.splitlines()[2]) == bool(selected)


def test_other_methods_and_no_proposals_are_no_error():
    assert explain(prediction([{"logit": 3.0}])) == "Match: what is marked with * answers.\n* #1, score 0.90"
    assert explain(prediction([], DOG, decision="no_match", selected=())).endswith("likely enough to be meant.")


def test_what_was_not_used_is_named_as_in_the_page():
    read = prediction([{"look": 0.4, "look_rank": 1}], Referent("player", "player"))
    lines = explain(replace(read, expression=replace(read.expression, unused=("23",)))).splitlines()
    assert lines[:2] == ["Read as player.", "Not used: 23."]
