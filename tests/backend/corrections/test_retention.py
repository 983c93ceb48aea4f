import io
import json
import re

import pytest
import sqlalchemy as sa
from pyarrow import parquet

from backend.corrections.queries import read_corrections
from backend.corrections.retention import columns_of, pseudonymise, purge
from backend.corrections.statistics import GROUPS, lead_times, summarise
from backend.db.correction_tables import annotation_version, outcome
from backend.db.tables import metadata, request, standing, webhook
from backend.exporters.dump import write_dump, write_lines
from backend.review.actions import note_action
from backend.review.decisions import RegionMask, Verdict, add_decision
from ris_core.errors import BadInput, UnknownName
from tests.backend.corrections.made import PROJECT, annotation, box, brush, deletion, event, hand_out, rle, send


@pytest.fixture
def full(store, correction_store):
    """Annotation 1 was updated, 2 deleted, 3 stands; 4 was skipped."""
    hand_out(store, 5, [("a", 1)], [rle(0, 0)], user=1)
    once = annotation(1, 5, [brush("a", box(0, 0), "the box")], created_username=" someone@example.com, 1")
    again = annotation(1, 5, [brush("a", box(0, 0, 8), "the box")], at=200)
    send(
        store,
        event(once),
        event(again, "ANNOTATION_UPDATED"),
        event(annotation(2, 5, [brush("x", box(0, 15))], completed_by=2)),
        deletion(2),
        event(annotation(3, 40, [brush("y", box(0, 15))], completed_by=2, ground_truth=True)),
        event(annotation(4, 6, [brush("z", box(0, 15))], completed_by=2, was_cancelled=True)),
    )
    correction_store.read_events()
    return correction_store


def listed(correction_store, **given):
    with correction_store.reading() as db:
        return [(o.annotation, o.outcome.region, o.outcome.outcome) for o in read_corrections(db, PROJECT, **given)]


def test_corrections_are_those_that_stand(full):
    assert listed(full) == [(1, "a", "edited"), (3, "y", "missed")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"outcomes": ("missed",)}, [(3, "y", "missed")]),
        ({"task": "5"}, [(1, "a", "edited")]),
        ({"annotator": 2}, [(3, "y", "missed")]),
        (
            {"with_history": True},
            [(1, "a", "accepted"), (1, "a", "edited"), (2, "x", "missed"), (3, "y", "missed")],
        ),
    ],
)
def test_corrections_can_be_chosen(full, given, expected):
    assert listed(full, **given) == expected


def test_no_such_outcome(full):
    with pytest.raises(UnknownName, match="accepted"):
        listed(full, outcomes=("good",))


def test_numbers_by_group(full):
    with full.reading() as db:
        found = summarise(read_corrections(db, PROJECT), GROUPS["annotator"])
        times = lead_times(db, PROJECT)
    assert {name: dict(summary.counts) for name, summary in found.items()} == {
        "all": {"edited": 1, "missed": 1},
        "1": {"edited": 1},
        "2": {"missed": 1},
    }
    assert found["all"].row()["median_iou"] == pytest.approx(0.8)
    assert times == ([4.0], [4.0])


def test_raw_events_go_after_their_time_and_corrections_stay(store, full):
    before = listed(full)
    assert purge(full, 0, with_history=False, is_trial=True) == (6, 0)
    assert purge(full, 1, with_history=False) == (0, 0)
    store.projects.add_webhook("UNREAD", PROJECT, "{}")
    assert purge(full, 0, with_history=False) == (6, 0)
    assert listed(full) == before
    with full.reading() as db:
        assert list(db.scalars(sa.select(webhook.c.action))) == ["UNREAD"]
    assert full.read_events() == 1


def test_events_that_take_the_numbers_of_deleted_ones_are_read(store, full):
    purge(full, 0, with_history=False)
    send(store, event(annotation(50, 50, [brush("n", box(0, 0))])))
    assert full.read_events() == 1
    assert (50, "n", "missed") in listed(full)


def test_history_goes_if_that_is_wanted(full):
    assert purge(full, 0, with_history=True).versions == 3
    assert listed(full, with_history=True) == listed(full) == [(1, "a", "edited"), (3, "y", "missed")]


def test_a_pseudonym_takes_an_annotators_place_everywhere(full):
    pseudonym = pseudonymise(full, 1)
    assert pseudonym < 0
    with full.reading() as db:
        annotators = list(db.scalars(sa.select(annotation_version.c.annotator).order_by(annotation_version.c.id)))
        bodies = [json.loads(body) for body in db.scalars(sa.select(webhook.c.body).order_by(webhook.c.id))]
    assert annotators == [pseudonym, pseudonym, 2, 2, 2]
    assert bodies[0]["annotation"]["completed_by"] == bodies[1]["annotation"]["completed_by"] == pseudonym
    assert bodies[2]["annotation"]["completed_by"] == 2
    assert "someone@example.com" not in json.dumps(bodies)
    assert bodies[0]["annotation"]["id"] == 1  # only people are renamed
    assert bodies[0]["annotation"]["result"][0]["value"]["rle"] == brush("a", box(0, 0))["value"]["rle"]


EMAIL = "ann@example.com"
DRAFT = {"user": EMAIL, "created_username": f"Ann Lee {EMAIL}, 12", "result": []}


@pytest.fixture
def everywhere(store, correction_store):
    """Somebody, number 12, in every column that says that it holds persons."""
    body = json.loads(event(annotation(1, 5, [brush("a", box(0, 0))], completed_by=12)))
    body["annotation"] |= {"updated_by": 12, "last_created_by": 12, "created_username": f" {EMAIL}, 12"}
    body["project"]["created_by"] = {
        "id": 12,
        "first_name": "Ann",
        "last_name": "Lee",
        "email": EMAIL,
        "avatar": "a.png",
    }
    body["task"] |= {
        "updated_by": [{"user_id": 12}],
        "comment_authors": [12, 2],
        "annotators": [{"id": 12, "email": EMAIL}],
    }
    body["task"] |= {
        "drafts": [DRAFT],
        "total_annotations": 12,
        "data": {"image": "/data/12.png", "user": 12, "of": EMAIL},
    }
    send(store, json.dumps(body), json.dumps({"action": "OTHER", "drafts": [{"user": EMAIL}], "task": {"id": 12}}))
    correction_store.read_events()
    asked = store.add_request("interactive", "5", {"drafts": [DRAFT]}, lifetime_s=60, project=PROJECT, user=12)
    kept = {"project": PROJECT, "task": "5", "prompt_id": "p", "user": 12, "offer": {}, "updated_at": 1.0}
    with correction_store.writing() as db:
        db.execute(sa.insert(standing).values(kept))
        add_decision(db, PROJECT, RegionMask("5", "a", "0"), Verdict("approved", 12))
        note_action(db, PROJECT, 12, "approved in bulk")
    return correction_store, asked


def test_a_pseudonym_reaches_every_column_that_holds_persons(everywhere):
    correction_store, asked = everywhere
    numbers, inside = columns_of("number"), columns_of("inside")
    persons = {
        "request.user",
        "standing.user",
        "annotation_version.annotator",
        "review.reviewer",
        "review_action.reviewer",
    }
    assert {str(column) for column in numbers} == persons
    assert {str(column) for column in inside} == {"request.body", "webhook.body"}
    pseudonym = pseudonymise(correction_store, 12)
    with correction_store.reading() as db:
        assert {n for column in numbers for n in db.scalars(sa.select(column))} == {pseudonym}
        bodies = [json.loads(body) for body in db.scalars(sa.select(webhook.c.body).order_by(webhook.c.id))]
        request_body = db.scalar(sa.select(request.c.body).where(request.c.id == asked))
        everything = "\n".join(db.connection.driver_connection.iterdump())
    for told in (EMAIL, "Lee", "a.png"):
        assert told not in everything
    [first, second] = bodies
    assert {first["annotation"][name] for name in ("completed_by", "updated_by", "last_created_by")} == {pseudonym}
    assert first["project"]["created_by"]["id"] == pseudonym
    assert first["task"]["updated_by"] == [{"user_id": pseudonym}]
    assert first["task"]["comment_authors"] == [pseudonym, 2]
    assert first["task"]["annotators"] == [{"id": pseudonym, "email": ""}]
    assert first["task"]["drafts"] == request_body["drafts"]
    assert request_body["drafts"][0] == {"user": "", "created_username": f", {pseudonym}", "result": []}
    assert second == {"action": "OTHER", "drafts": [{"user": ""}], "task": {"id": 12}}
    # what only looks like it stays
    assert (first["task"]["total_annotations"], first["task"]["data"]) == (
        12,
        {"image": "/data/12.png", "user": 12, "of": ""},
    )


def test_columns_say_whether_they_hold_persons():
    named = re.compile(r"user|annotator|author|reviewer|completed_by|created_by|updated_by|person|email|member|owner")
    for table in metadata.sorted_tables:
        for column in table.c:
            said = column.info.get("person")
            if named.search(column.name):
                assert said == "number", f"{column}: info=PERSON"
            elif isinstance(column.type, sa.JSON) or column.name == "body":
                assert said in ("inside", "names", "nobody"), f"{column}: does its JSON name users?"


def test_nobody_cannot_be_renamed(full):
    with pytest.raises(BadInput, match="annotator 77"):
        pseudonymise(full, 77)


def test_a_dump_holds_what_is_listed(full, tmp_path):
    with full.reading() as db:
        lines, table = tmp_path / "d.jsonl", tmp_path / "d.parquet"
        for file in (lines, table):
            found = read_corrections(db, PROJECT, with_history=True, with_masks=True)
            assert write_dump(found, file) == 4
        stream = io.StringIO()
        write_lines(read_corrections(db, PROJECT, with_history=True, with_masks=True), stream)
    assert lines.read_text() == stream.getvalue()
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    columns = parquet.read_table(table).to_pylist()
    assert [
        {**row, "mask": json.loads(row["mask"] or "null"), "offered_mask": json.loads(row["offered_mask"] or "null")}
        for row in columns
    ] == [{name: row[name] for name in columns[0]} for row in rows]
    assert rows[1]["mask"] == rle(0, 0, 8)


def test_a_dump_of_another_kind_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"\.parquet"):
        write_dump([], tmp_path / "d.csv")
    with pytest.raises(BadInput, match="another file"):
        write_dump([], tmp_path / "no folder" / "d.jsonl")


def test_outcomes_are_written_for_good(correction_store):
    with correction_store.writing() as db:
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        db.execute(sa.delete(outcome))
    with correction_store.reading() as db:
        assert db.exec_driver_sql("PRAGMA synchronous").scalar() == 1
