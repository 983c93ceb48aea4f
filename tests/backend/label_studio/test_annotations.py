import json

import pytest

from backend.label_studio.annotations import read_event, read_layout, read_time
from ris_core.errors import BadInput
from tests.backend.corrections.made import CONFIG, PROJECT, annotation, box, brush, event, recorded


def test_a_recorded_annotation_is_read_whole():
    [version] = read_event(recorded("annotation_created")).versions
    assert (version.annotation, version.project, version.task, version.annotator) == (1, 1, "6", 1)
    assert (version.parent_prediction, version.lead_time_s, version.was_cancelled) == (77, 5.312, False)
    assert version.updated_at == pytest.approx(read_time("2026-11-20T09:12:00.113219Z"))
    assert [region.id for region in version.regions] == ["9c9a2a9d72", "396787048e", "c24e34a4da"]
    assert version.regions[2].expression == "the leftmost ball"
    assert version.texts == (("aQmxXAK8Nb", ("the leftmost ball",)),)
    assert version.image == "/data/upload/1/a9a15d29-img5.jpg"
    assert version.problems == ()


@pytest.mark.parametrize(
    ("name", "annotations", "deleted"),
    [
        ("annotation_updated", [1], ()),
        ("annotation_created_skipped", [2], ()),
        ("annotations_created_bulk", [3, 4], ()),
        ("annotations_deleted", [], (1,)),
        ("annotations_deleted_bulk", [], (3, 4)),
        ("project_updated", [], ()),
        ("start_training", [], ()),
        ("tasks_created", [], ()),
        ("tasks_deleted", [], ()),
    ],
)
def test_recorded_events_say(name, annotations, deleted):
    found = read_event(recorded(name))
    assert [version.annotation for version in found.versions] == annotations
    assert found.deleted == deleted


def test_the_tasks_field_names_what_nothing_else_does():
    body = json.loads(event(annotation(1, 5, [brush("a", box(0, 0)), brush("b", box(0, 0), "own")])))
    body["task"]["data"]["expression"] = "of the task"
    [version] = read_event(body).versions
    assert [(r.expression, r.wording) for r in version.regions] == [("of the task", "task"), ("own", "meta")]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"action": "ANNOTATION_CREATED", "annotation": "x", "project": {"id": 1}},
        {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 5}},
        {"action": "ANNOTATION_CREATED", "annotation": {"id": 1}, "project": {"id": 1}},
        {
            "action": "ANNOTATION_CREATED",
            "annotation": {"id": "1", "task": 5, "created_at": "2026-11-20"},
            "project": 1,
        },
        {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 5, "created_at": "noon"}, "project": 1},
        {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": True}], "project": {"id": 1}},
    ],
)
def test_what_is_no_annotation_is_refused(body):
    with pytest.raises(BadInput):
        read_event(body)


def test_smart_boxes_beside_a_brush_ask_for_something():
    both = CONFIG.replace(
        "<Image", '<RectangleLabels name="box" toName="image" smart="true"><Label value="O"/></RectangleLabels><Image'
    )
    assert read_layout(both).gestures == {"box"}
    alone = CONFIG.replace("BrushLabels", "RectangleLabels").replace('smart="false"', 'smart="true"')
    assert read_layout(alone).gestures == frozenset()
    assert read_layout("no xml").image_key is None


def test_an_annotation_of_an_expanded_user_and_task_is_read():
    one = annotation(1, 5, [], completed_by={"id": 9, "email": "a@b.c"})
    one["task"] = {"id": 5, "data": {}}
    [version] = read_event({"action": "ANNOTATION_CREATED", "annotation": one, "project": PROJECT}).versions
    assert (version.annotator, version.task) == (9, "5")


@pytest.mark.parametrize("id", [10**30, True, "7", None])
def test_an_id_that_no_database_takes_is_refused(id):
    event = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": id}]}
    with pytest.raises(BadInput, match="the id"):
        read_event(event)
