"""What was handed out, by whatever way it went out: bulk runs, opened tasks, polygons."""

import json

import pytest
import sqlalchemy as sa

from backend.corrections.offered_regions import OfferedRegionsOfTask
from backend.db.answer_rows import AnswerOrigin, insert_answers
from backend.db.records import Answer
from backend.db.run_tables import item, run
from backend.db.tables import answer, region, request
from backend.label_studio import protocol, regions
from backend.label_studio.label_config import read_config
from backend.runs.answers import list_handed_out
from backend.runs.item import read_answered
from ris_core.geometry.masks import from_rle, to_rle
from tests.backend.corrections.made import CONFIG, PROJECT, START, annotation, box, brush, event, hand_out, rle, send

pytestmark = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


def fill(table: sa.Table, **given) -> dict:
    """A row with something in every column that must have something."""
    empty = {sa.Text: "", sa.Integer: 0, sa.BigInteger: 0, sa.Double: 0.0, sa.Boolean: False, sa.JSON: []}
    needed = {c.name: empty[type(c.type)] for c in table.columns if not c.nullable and c.name not in given}
    return {**needed, **given}


@pytest.fixture
def pushed(store) -> tuple[str, ...]:
    """Ids of the regions of a run's item: two queries, the first with another candidate, whose region comes last."""

    def answered(expression: str, *masks) -> Answer:
        candidates = [{"rank": i + 1, "score": 0.9 - i / 10, "mask": mask} for i, mask in enumerate(masks)]
        about = ("Object", "match", "v7", "fp", "ab", 1, 1)
        return Answer(
            expression, *about, candidates=candidates, selected=[0], others=range(1, len(masks)), is_guess=False
        )

    answers = [answered("the box", rle(0, 0), rle(20, 0)), answered("the other", rle(0, 15))]
    row = fill(item, run="r1", task=5, state="done", finished_at=START + 20)
    with store._engine.begin() as db:
        spec = fill(run, id="r1", project=PROJECT, label_config=CONFIG, model_version="v7", spec={}, state="done")
        db.execute(sa.insert(run).values(spec))
        db.execute(sa.insert(item).values(row))
        insert_answers(db, AnswerOrigin(PROJECT, "5", run="r1"), answers)
        [stored] = read_answered(db, db.execute(sa.select(item)).mappings().all())
    return tuple(one.region for one in list_handed_out(stored, top_k=2))


CASES = {
    "kept and deleted": (lambda a, b: [brush(a, box(0, 0))], ["accepted", "rejected"]),
    "edited": (lambda a, b: [brush(a, box(0, 0, 8)), brush(b, box(0, 15))], ["edited", "accepted"]),
    "another candidate": (lambda a, b: [brush(a, box(20, 0)), brush(b, box(0, 15))], ["replaced", "accepted"]),
    "all deleted": (lambda a, b: [], ["rejected", "rejected"]),
}


@pytest.mark.parametrize(("make", "expected"), CASES.values(), ids=CASES)
def test_a_runs_regions_are_known_by_their_ids(store, correction_store, outcomes, pushed, make, expected):
    *own, _ = pushed
    send(store, event(annotation(1, 5, make(*own), parent_prediction=4)))
    correction_store.read_events()
    found = outcomes()[1, START + 100]
    assert [found[id] for id in own] == expected
    assert outcomes("model_version")[1, START + 100] == dict.fromkeys(own, "v7")


def test_another_candidates_own_prediction_replaces_what_was_offered_first(store, correction_store, outcomes, pushed):
    """Somebody chose the prediction of the second candidates; that of the best was never begun with."""
    *_, other = pushed
    send(store, event(annotation(1, 5, [brush(other, box(20, 0))], parent_prediction=4)))
    correction_store.read_events()
    assert outcomes()[1, START + 100] == {other: "replaced"}
    assert outcomes("offered_region")[1, START + 100] == {other: pushed[0]}


def test_what_a_polygon_showed_counts_not_the_mask_that_it_was_made_of(store, correction_store, outcomes):
    ring = box(2, 2, 12, 12) & ~box(5, 5, 4, 4)
    control = read_config(CONFIG.replace("BrushLabels", "PolygonLabels")).controls[0]
    shown = regions.make_region(ring, control, "Object", "poly", 0.9, "the ring")
    hand_out(store, 5, [("poly", 1)], [rle(0, 0)], expression="the ring")
    with store._engine.begin() as db:
        db.execute(sa.update(request).values(answer=protocol.prediction([shown], 0.9, "v1")))
    send(store, event(annotation(1, 5, [shown])))
    correction_store.read_events()
    assert outcomes()[1, START + 100] == {"poly": "accepted"}
    with correction_store.reading() as db:
        [region] = OfferedRegionsOfTask(db, PROJECT, "5")._regions.values()
    assert (from_rle(region.mask) & ring).sum() == ring.sum()  # not its candidate's, which is elsewhere


def test_the_newest_prediction_is_what_a_machine_says(store, correction_store, pushed):
    hand_out(store, 5, [("old", 1)], [rle(0, 0)], kind="open", at=10)
    with correction_store.reading() as db:
        assert [region.region for region in OfferedRegionsOfTask(db, PROJECT, "5").newest_bulk()] == list(pushed[:2])
        assert OfferedRegionsOfTask(db, PROJECT, "6").newest_bulk() == []


def test_the_next_candidate_replaces_the_first_also_when_only_then_it_is_known_who_asks(
    store, correction_store, outcomes
):
    """Label Studio tells of the annotator with drafts, of which there is none at the first expression."""
    candidates = [rle(0, 0), rle(20, 0)]
    hand_out(store, 5, [("first", 1)], candidates, prompt="p", at=50)
    hand_out(store, 5, [("second", 2)], candidates, prompt="p", at=60, user=1)
    send(store, event(annotation(1, 5, [brush("second", box(20, 0), "the box")])))
    correction_store.read_events()
    assert outcomes()[1, START + 100] == {"second": "replaced"}


def test_things_that_are_offered_again_beside_a_mended_one_replace_nothing(store, correction_store, outcomes):
    """A click on one of three things hands out all of them, in two answers of one request."""
    hand_out(store, 5, [("mended", 1)], [rle(0, 0)], prompt="click")
    hand_out(store, 5, [("other", 1), ("third", 2)], [rle(20, 0), rle(0, 20)], prompt="click", at=51)
    with store.engine.begin() as db:
        db.execute(sa.update(answer).values(request_id=sa.select(sa.func.min(answer.c.request_id)).scalar_subquery()))
    kept = [brush("mended", box(0, 0)), brush("other", box(20, 0)), brush("third", box(0, 20))]
    send(store, event(annotation(1, 5, kept)))
    correction_store.read_events()
    assert outcomes()[1, START + 100] == {"mended": "accepted", "other": "accepted", "third": "accepted"}


def test_a_click_is_a_query_of_its_own(store, correction_store, outcomes):
    for number, at in ((1, 10), (2, 20)):
        hand_out(store, 5, [(f"click{number}", 1)], [rle(0, 0), rle(20, 0)], expression="", at=at)
    send(store, event(annotation(1, 5, [brush("click2", box(0, 0))])))
    correction_store.read_events()
    assert outcomes()[1, START + 100] == {"click2": "accepted", "click1": "unanswered"}
    assert json.dumps(outcomes("expression")[1, START + 100]) == '{"click1": null, "click2": null}'


def test_a_mended_region_is_compared_with_what_was_shown_when_it_was_saved(store, correction_store, outcomes):
    def hand_out_again(mask, at: float) -> None:
        """Under the same id, as mending does."""
        with store.engine.begin() as db:
            db.execute(sa.delete(region).where(region.c.id == "a"))
        hand_out(store, 5, [("a", 1)], [to_rle(mask)], at=at)
        shown = protocol.prediction([brush("a", mask, "the box")], 0.9, "v1")
        with store.engine.begin() as db:
            newest = sa.select(sa.func.max(answer.c.id)).scalar_subquery()
            of = sa.select(answer.c.request_id).where(answer.c.id == newest).scalar_subquery()
            db.execute(sa.update(request).where(request.c.id == of).values(answer=shown))

    hand_out_again(box(0, 0), 50)
    hand_out_again(box(0, 0, 12), 150)
    first = annotation(1, 5, [brush("a", box(0, 0), "the box")], at=100)
    second = annotation(1, 5, [brush("a", box(0, 0, 12), "the box")], at=200)
    send(store, event(second, "ANNOTATION_UPDATED"), event(first))
    correction_store.read_events()
    assert outcomes() == {(1, START + 100): {"a": "accepted"}, (1, START + 200): {"a": "accepted"}}
