"""Decisions about regions: only ever added, and about the mask that was seen."""

import pytest
import sqlalchemy as sa

from backend.db.review_tables import review
from backend.review.decisions import REASONS, Verdict, read_history
from backend.review.listing import RegionFilter, read_listed, refresh
from backend.review.regions import bound_regions, decide, find_regions, list_finished_tasks, take_back
from ris_core.errors import BadInput, UnknownName
from tests.backend.corrections.made import PROJECT, annotation, box, brush, event, hand_out, rle, send

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
LEAD = 3


@pytest.fixture
def say(project):
    """Decides about regions by their names."""

    def run(state: str, *keys: str, **more) -> None:
        with project.writing() as db:
            decide(db, find_regions(db, PROJECT, keys), Verdict(state, LEAD, **more))

    return run


@pytest.fixture
def undo(project):
    def run(key: str) -> str:
        with project.writing() as db:
            [state] = take_back(db, find_regions(db, PROJECT, [key]), LEAD)
        return state

    return run


@pytest.fixture
def save(store, project):
    """Saves the annotation of task 5 with `a` at another place."""

    def run(x: int, at: float) -> None:
        regions = [brush("a", box(x, 0), "the box"), brush("n", box(0, 15), "red things")]
        send(store, event(annotation(1, 5, regions, at=at), "ANNOTATION_UPDATED"))
        project.read_events()

    return run


def test_everything_is_unseen_at_first(regions):
    found = regions()
    assert {key: (one.outcome, one.state) for key, one in found.items()} == {
        "5/a": ("accepted", "unseen"),
        "5/n": ("missed", "unseen"),
        "6/b": ("predicted", "unseen"),
    }
    assert found["6/b"].probability == pytest.approx(0.9)
    assert found["6/b"].annotation is None


def test_a_changed_mask_is_unseen_again_and_one_that_is_changed_back_is_not(regions, say, save):
    say("approved", "5/a", "5/n")
    save(1, at=200)
    assert (regions()["5/a"].state, regions()["5/n"].state) == ("unseen", "approved")
    say("rejected", "5/a", reason="wrong outline", comment="the left edge")
    save(0, at=300)
    assert regions()["5/a"].state == "approved"
    save(1, at=400)
    assert regions()["5/a"].decision.comment == "the left edge"


def test_an_undo_is_one_more_row_with_the_state_from_before(project, regions, say, undo):
    say("approved", "5/a")
    say("rejected", "5/a", reason="wrong thing", comment="twice")
    assert undo("5/a") == "approved"
    assert undo("5/a") == "unseen"
    with pytest.raises(BadInput, match="nothing to undo"):
        undo("5/a")
    say("second look", "5/a")
    assert undo("5/a") == "unseen"
    with project.reading() as db:
        states = [one.state for one in read_history(db, PROJECT, regions()["5/a"].about)]
    assert states == ["approved", "rejected", "approved", "unseen", "second look", "unseen"]


def test_an_approved_prediction_that_is_accepted_unchanged_stays_approved(store, project, regions, say):
    say("approved", "6/b")
    accepted = annotation(2, 6, [brush("b", box(5, 5), "the box")], parent_prediction=9)
    send(store, event(accepted))
    project.read_events()
    assert (regions()["6/b"].annotation, regions()["6/b"].state) == (2, "approved")


def test_a_row_says_who_what_and_which_version(project, say):
    say("to fix", "5/a", reason=REASONS[1], comment="two\nlines\x00", queue="uncertain")
    with project.reading() as db:
        row = db.execute(sa.select(review)).mappings().one()
    assert (row["reviewer"], row["annotation"], row["queue"], row["model_version"]) == (LEAD, 1, "uncertain", "v1")
    assert row["version_id"] is not None
    assert row["comment"] == "two\\nlines\\x00"


def test_masks_of_two_annotators_under_one_name_are_asked_back(store, project, say):
    send(store, event(annotation(4, 5, [brush("a", box(2, 0), "the box")], completed_by=2)))
    project.read_events()
    with pytest.raises(BadInput, match="annotations 1, 4 have different masks"):
        say("approved", "5/a")


def test_what_is_not_there_and_what_is_no_state_is_refused(say):
    with pytest.raises(BadInput, match="no region '5/z'"):
        say("approved", "5/z")
    with pytest.raises(BadInput, match="state is 'fine'"):
        say("fine", "5/a")
    with pytest.raises(BadInput, match="reason is 'ugly'"):
        say("rejected", "5/a", reason="ugly")
    with pytest.raises(BadInput, match="1,001 characters"):
        say("rejected", "5/a", comment="x" * 1001)


def test_queues(store, project, regions, say):
    hand_out(store, 8, [("c", 2)], [rle(0, 0), rle(20, 0)])  # of rank 2: 0.7
    send(store, event(annotation(8, 8, [brush("c", box(20, 0), "it")])))
    hand_out(store, 9, [("d", 1)], [rle(0, 0)])
    send(store, event(annotation(9, 9, [brush("d", box(0, 0, 6), "it")])))
    project.read_events()

    def names(queue: str) -> list[str]:
        refresh(project, PROJECT)
        with project.reading() as db:
            return [one.key for one in read_listed(db, PROJECT, RegionFilter(queue), limit=9)]

    assert names("uncertain") == ["8/c"]
    assert names("confident but edited") == ["9/d"]
    assert sorted(names("audit")) == ["5/a", "6/b", "8/c", "9/d"]
    order = names("audit")
    say("rejected", "9/d", reason="wrong thing")
    say("second look", "5/a")
    assert names("to correct") == ["9/d"]
    assert names("audit") == [key for key in order if key != "9/d"]
    with pytest.raises(UnknownName, match="'best'"):
        RegionFilter("best")


def test_an_audit_counts_what_was_found_first_and_no_bulk_approval(regions, say, save, undo):
    say("approved", "6/b", queue="bulk")
    assert bound_regions(regions().values())[0].audited == 0
    say("rejected", "5/a", reason="wrong outline")
    save(1, at=200)
    say("approved", "5/a", "6/b")
    found = bound_regions(regions().values())[0]
    assert (found.regions, found.audited, found.wrong) == (2, 2, 1)
    undo("6/b")
    assert bound_regions(regions().values())[0].audited < 2


def test_a_task_is_finished_when_all_its_regions_are(regions, say):
    say("approved", "5/a", "6/b")
    assert list_finished_tasks(iter(regions().values()), ["approved"]) == [6]
    say("approved", "5/n")
    assert list_finished_tasks(iter(regions().values()), ["approved"]) == [5, 6]
