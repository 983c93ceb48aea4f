"""The regions of a project as they are read for the scores of suspicion, and the queue of them."""

import pytest

from backend.review.decisions import Verdict
from backend.review.listing import RegionFilter, read_listed, refresh
from backend.review.queues import SUSPICIOUS
from backend.review.regions import decide, find_regions
from backend.review.suspects import has_unscored, list_suspicious, read_suspects, score_listed
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


@pytest.fixture
def suspicious(store, project):
    """A project whose list is scored: region `s` of task 21 has another outline than its proposal."""
    hand_out(store, 21, [("s", 1)], [rle(0, 0)])
    send(store, event(annotation(7, 21, [brush("s", box(0, 3), "the box")])))
    project.read_events()
    refresh(project, PROJECT)
    score_listed(project, PROJECT)
    return project


def read_queue(project) -> list:
    with project.reading() as db:
        return read_listed(db, PROJECT, RegionFilter(queue=SUSPICIOUS), 1000)


def test_kept_scores_give_the_queue_its_order_and_reasons(suspicious):
    with suspicious.reading() as db:
        assert not has_unscored(db, PROJECT)
        expected = [(one.id, one.worst.score) for one in list_suspicious(db, PROJECT)]
    kept = read_queue(suspicious)
    assert [(one.id, one.suspicion) for one in kept] == expected
    assert kept[0].suspicion_reason.startswith("wrong outline: its outline is not the proposal's")
    with suspicious.writing() as db:
        decide(db, find_regions(db, PROJECT, ["21/s"]), Verdict("approved", 3))
    assert read_queue(suspicious) == []


def test_a_changed_mask_has_no_score_and_an_unchanged_one_keeps_its_own(store, suspicious):
    def save(version: int, *masks) -> None:
        results = [brush(f"s{n}" if n else "s", mask, "the box") for n, mask in enumerate(masks)]
        send(store, event(annotation(7, 21, results, at=200.0 + version), "ANNOTATION_UPDATED"))
        suspicious.read_events()
        refresh(suspicious, PROJECT)

    before = [(one.key, one.suspicion, one.suspicion_reason) for one in read_queue(suspicious)]
    save(1, box(0, 3), box(9, 9))
    scored = [(one.key, one.suspicion, one.suspicion_reason) for one in read_queue(suspicious)]
    assert scored == before  # the new one has none yet
    with suspicious.reading() as db:
        assert has_unscored(db, PROJECT)
    save(2, box(0, 4))
    assert read_queue(suspicious) == []
    score_listed(suspicious, PROJECT)
    assert [one.key for one in read_queue(suspicious)] == ["21/s"]
