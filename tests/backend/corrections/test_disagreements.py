"""Two people who do not agree on an expression."""

import json

import pytest

from backend.corrections.disagreements import read_disagreements, sort_widest
from backend.corrections.store import open_correction_store
from tests.backend.corrections.made import PROJECT, annotation, box, brush, event, send

NOTHING = {"id": "p", "type": "textarea", "from_name": "prompt", "to_name": "image"}


@pytest.fixture
def disagreements(store):
    """What is found among annotations: (annotator, results) of task 5, or (annotator, results, task)."""

    def find(*said):
        for number, (annotator, results, *task) in enumerate(said, 1):
            made = annotation(number, *(task or [5]), results, completed_by=annotator)
            send(store, event(made))
        opened = open_correction_store(store._engine.url.render_as_string())
        opened.read_events()
        with opened.reading() as db:
            found = sort_widest(read_disagreements(db, PROJECT))
        opened.close()
        return found

    return find


def none(*entries):
    return {**NOTHING, "value": {"text": [f"none: {entry}" for entry in entries]}}


def test_masks_of_one_expression_that_differ(disagreements):
    [one] = disagreements((1, [brush("a", box(0, 0), "The dog")]), (2, [brush("b", box(0, 0, 5), "the  DOG")]))
    assert (one.task, one.expression, one.annotations, one.annotators) == ("5", "The dog", (1, 2), (1, 2))
    assert one.iou == pytest.approx(0.5)


def test_what_one_drew_and_another_says_means_nothing(disagreements):
    [one] = disagreements((1, [none("the dog", "a zebra")]), (2, [brush("b", box(0, 0), "the dog")]))
    assert (one.iou, one.annotations, one.annotators) == (None, (2, 1), (2, 1))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(((1, [brush("a", box(0, 0), "it")]), (2, [brush("b", box(0, 0, 9), "it")])), id="nearly the same"),
        pytest.param(((1, [brush("a", box(0, 0), "it")]), (2, [brush("b", box(20, 0), "that")])), id="other words"),
        pytest.param(((1, [brush("a", box(0, 0), "it")]), (1, [brush("b", box(20, 0), "it")])), id="one person"),
        pytest.param(((1, [brush("a", box(0, 0), "it")], 5), (2, [brush("b", box(20, 0), "it")], 6)), id="two tasks"),
        pytest.param(((1, [none("it")]), (2, [none("it")])), id="both say nothing"),
        pytest.param(((1, [brush("a", box(0, 0), "it"), none("it")]), (2, [])), id="one contradicts itself"),
        pytest.param(((1, [brush("a", box(0, 0))]), (2, [brush("b", box(20, 0))])), id="no expression"),
        pytest.param(
            (
                (1, [brush("a", box(0, 0), "boxes"), brush("b", box(20, 0), "boxes")]),
                (2, [brush("c", box(20, 0), "boxes"), brush("d", box(0, 0), "boxes")]),
            ),
            id="two things of one name",
        ),
    ],
)
def test_no_disagreement(disagreements, said):
    assert disagreements(*said) == []


def test_the_two_who_agree_least_are_named_once_for_each_expression(disagreements):
    found = disagreements(
        (1, [brush("a", box(0, 0), "it"), brush("x", box(0, 15), "that")]),
        (2, [brush("b", box(0, 0, 6), "it")]),
        (3, [brush("c", box(5, 0), "it"), none("that")]),
    )
    assert [(one.expression, one.annotators, one.iou is None) for one in found] == [
        ("that", (1, 3), True),
        ("it", (2, 3), False),
    ]


def test_who_is_not_known_is_somebody_else(disagreements):
    [one] = disagreements((None, [brush("a", box(0, 0), "it")]), (2, [brush("b", box(20, 0), "it")]))
    assert one.annotators == (None, 2)


def test_they_are_json(disagreements):
    [one] = disagreements((1, [brush("a", box(0, 0), "it")]), (2, [brush("b", box(20, 0), "it")]))
    assert json.loads(json.dumps(one.to_json()))["iou"] == 0.0
