"""The regions of a project as they are read for the scores of suspicion, and the queue of them."""

import pytest

from backend.review.decisions import Verdict
from backend.review.listing import RegionFilter, read_listed, refresh
from backend.review.regions import decide, find_regions
from backend.review.suspects import list_suspicious, read_suspects
from tests.backend.corrections.made import PROJECT, annotation, box, brush, event, hand_out, rle, send

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def queue(project):
    def read(*states: str) -> list[tuple[str, str]]:
        refresh(project, PROJECT)
        with project.reading() as db:
            key_of = {one.id: one.key for one in read_listed(db, PROJECT, RegionFilter(), 1000)}
            return [(key_of[one.id], one.worst.kind) for one in list_suspicious(db, PROJECT, states)]

    return read


def test_regions_are_those_of_the_list(project):
    refresh(project, PROJECT)
    with project.reading() as db:
        listed = {one.id: one for one in read_listed(db, PROJECT, RegionFilter(), 1000)}
        read = {one.id: one for one in read_suspects(db, PROJECT)}
    assert read.keys() == listed.keys()
    for id, one in read.items():
        own = listed[id]
        assert (one.task, one.label, one.expression or None, one.probability) == (
            own.task,
            own.label,
            own.expression,
            own.probability,
        )
        assert one.iou == own.iou


def test_a_decided_region_is_not_in_the_queue(store, project, queue):
    assert queue() == []
    hand_out(store, 21, [("s", 1)], [rle(0, 0)])
    send(store, event(annotation(7, 21, [brush("s", box(0, 3), "the box")])))
    project.read_events()
    assert queue() == [("21/s", "wrong outline")]
    assert queue("second look") == []
    with project.writing() as db:
        decide(db, find_regions(db, PROJECT, ["21/s"]), Verdict("approved", 3))
    assert queue() == []


def test_what_is_drawn_by_hand_is_compared_with_the_deleted_proposal_for_its_words(store, project, queue):
    hand_out(store, 21, [("s", 1)], [rle(0, 0)])
    send(store, event(annotation(7, 21, [brush("new", box(0, 15), "The box")])))
    project.read_events()
    assert queue() == [("21/new", "wrong thing")]
