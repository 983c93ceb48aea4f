"""The list of regions: the same as the regions that it is made of, whatever happened since, in statements that do not grow."""

from contextlib import contextmanager

import numpy as np
import pytest
import sqlalchemy as sa

from backend.db.review_tables import listed_region, review, to_list
from backend.review.bulk import approve_above, find_bound
from backend.review.decisions import BULK, Verdict
from backend.review.listing import (
    RegionFilter,
    bound_listed,
    count_listed_states,
    count_queues,
    count_regions,
    find_listed,
    read_listed,
    refresh,
)
from backend.review.regions import bound_regions, count_states, decide, find_regions, read_regions, take_back
from ris_core.errors import BadInput, UnknownName
from tests.backend.corrections.made import PROJECT, annotation, box, brush, deletion, event, hand_out, rle, send

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
FIELDS = (
    "task",
    "region",
    "annotation",
    "mask_sha256",
    "outcome",
    "label",
    "expression",
    "probability",
    "iou",
    "state",
)


@pytest.fixture
def same(project):
    """Sees that the list says what the regions say."""

    def check() -> None:
        refresh(project, PROJECT)
        with project.reading() as db:
            regions = list(read_regions(db, PROJECT))
            listed = read_listed(db, PROJECT, RegionFilter(), limit=1000)
            assert {tuple(getattr(one, name) for name in FIELDS) for one in listed} == {
                tuple(getattr(one, name) for name in FIELDS) for one in regions
            }
            by_name = {(one.key, one.annotation): one for one in regions}
            for one in listed:
                decision = by_name[one.key, one.annotation].decision
                assert one.decision == (decision.id if decision else None)
                assert one.reason == (decision.reason if decision else None)
            assert count_listed_states(db, PROJECT) == count_states(regions)
            assert bound_listed(db, PROJECT) == bound_regions(regions)
            assert db.scalar(sa.select(sa.func.count()).select_from(to_list)) == 0

    return check


@pytest.fixture
def say(project):
    def run(state: str, *keys: str, **more) -> None:
        with project.writing() as db:
            decide(db, find_regions(db, PROJECT, keys), Verdict(state, 3, **more))

    return run


@contextmanager
def counted(correction_store):
    """The statements that are run within it."""
    statements: list[str] = []

    def note(_db, _cursor, statement, *_):
        statements.append(statement)

    sa.event.listen(correction_store._engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(correction_store._engine, "before_cursor_execute", note)


def fill(store, project, tasks: int, first: int = 100) -> None:
    """Tasks with one accepted proposal each."""
    for task in range(first, first + tasks):
        hand_out(store, task, [(f"r{task}", 1)], [rle(0, 0)])
        send(store, event(annotation(task, task, [brush(f"r{task}", box(0, 0), "the box")])))
    project.read_events()


def test_it_follows_what_happens(store, project, same, say):
    same()
    say("rejected", "5/a", reason="wrong outline")
    say("approved", "6/b", queue=BULK)
    same()
    send(store, event(annotation(1, 5, [brush("a", box(1, 0), "the box")], at=200), "ANNOTATION_UPDATED"))
    project.read_events()
    same()  # another mask, so unseen; `n` is gone
    with project.writing() as db:
        take_back(db, find_regions(db, PROJECT, ["6/b"]), 3)
    same()
    send(store, event(annotation(2, 6, [brush("b", box(5, 5), "the box")], parent_prediction=9)))
    send(store, deletion(1))
    project.read_events()
    same()
    hand_out(store, 11, [("o", 1)], [rle(0, 0)], kind="open")
    same()


def test_an_audit_is_counted_as_it_is_drawn(store, project, same, say):
    fill(store, project, 8)
    same()
    with project.reading() as db:
        audit = [one.key for one in read_listed(db, PROJECT, RegionFilter("audit"), limit=10)]
    for key in (audit[0], audit[1], audit[3]):
        say("rejected" if key == audit[1] else "approved", key)
        same()
    with project.reading() as db:
        assert (bound_listed(db, PROJECT)[0].audited, bound_listed(db, PROJECT)[0].wrong) == (2, 1)
        assert count_queues(db, PROJECT)["audit"] == len(audit) - 3


def test_a_page_is_a_page_in_the_order_of_its_queue(store, project):
    fill(store, project, 7)
    refresh(project, PROJECT)
    with project.reading() as db:
        every = [one.id for one in read_listed(db, PROJECT, RegionFilter(), limit=100)]
        pages = [one.id for at in (0, 4, 8) for one in read_listed(db, PROJECT, RegionFilter(), 4, at)]
        assert pages == every
        assert count_regions(db, PROJECT, RegionFilter(outcome="predicted")) == 1
        assert count_regions(db, PROJECT, RegionFilter(at_least=0.5, below=0.9)) == 0
        assert find_listed(db, PROJECT, every[0]).id == every[0]
        with pytest.raises(UnknownName, match="no such region"):
            find_listed(db, PROJECT + 1, every[0])


def test_statements_do_not_grow_with_the_project(store, project):
    numbers = []
    for tasks, first in ((2, 100), (30, 200)):
        fill(store, project, tasks, first)
        refresh(project, PROJECT)
        with counted(project) as statements, project.reading() as db:
            read_listed(db, PROJECT, RegionFilter("uncertain"), limit=24)
            count_queues(db, PROJECT)
            bound_listed(db, PROJECT)
        numbers.append(len([one for one in statements if one.lstrip().startswith("SELECT")]))
    assert numbers == [4, 4]


def test_many_are_approved_at_once_in_the_same_few_statements(store, project, same, say):
    fill(store, project, 40)
    refresh(project, PROJECT)
    with project.writing() as db, pytest.raises(BadInput, match="is not known"):
        approve_above(db, PROJECT, 0.5, 0.02, 0.0, 3)
    say("rejected", "100/r100")
    with counted(project) as statements, project.writing() as db:
        bound, number = approve_above(db, PROJECT, 0.5, 1.0, 0.0, 3)
    assert bound == find_bound_of(project, 0.5)
    assert number == 41  # with 5/a and 6/b, without the one that was rejected
    assert len(statements) < 12
    same()
    with project.reading() as db:
        rows = db.execute(sa.select(review).where(review.c.queue == BULK)).mappings().all()
        assert {row["reviewer"] for row in rows} == {3}
        versions = {row["task"]: row["version_id"] for row in rows}
    assert versions["6"] is None
    assert all(version for task, version in versions.items() if task != "6")
    with project.writing() as db, pytest.raises(BadInput, match=r"threshold is 0\.55"):
        approve_above(db, PROJECT, 0.55, 1.0, 0.0, 3)


def find_bound_of(project, threshold):
    with project.reading() as db:
        return find_bound(db, PROJECT, threshold)


def test_what_is_noted_while_time_is_short_waits(store, project):
    fill(store, project, 45)
    assert refresh(project, PROJECT, within_s=0.0) in range(1, 48)
    assert refresh(project, PROJECT) == 0
    with project.reading() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(listed_region)) == 48


def test_the_order_of_an_audit_is_nobodys_choice(store, project):
    fill(store, project, 60)
    refresh(project, PROJECT)
    with project.reading() as db:
        tasks = [int(one.task) for one in read_listed(db, PROJECT, RegionFilter("audit"), limit=100)]
    assert abs(np.corrcoef(tasks, np.arange(len(tasks)))[0, 1]) < 0.4
