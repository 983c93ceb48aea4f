"""What a reviewer says of a mask is told with the first answer, until the mask is another one."""

import json

import pytest

from backend.corrections.store import CorrectionStore
from backend.review.decisions import Verdict
from backend.review.regions import decide, find_regions, take_back
from tests.backend.corrections.made import annotation, box, brush, event, send
from tests.backend.interactive.test_predict import (  # noqa: F401  (fixtures)
    PROJECT,
    ask,
    bench,
    call,
    make_bench,
    studio,
    told,
    typed,
)


@pytest.fixture
def corrections(store) -> CorrectionStore:
    """Task 1 has an annotation of which a reviewer rejected a mask."""
    own = CorrectionStore(store.engine)
    send(store, event(annotation(1, 1, [brush("a", box(0, 0), "the red square")])))
    own.read_events()
    with own.writing() as db:
        verdict = Verdict("rejected", 3, "wrong outline", "the <b>left</b> edge.")
        decide(db, find_regions(db, PROJECT, ["1/a"]), verdict)
    return own


SAID = "A reviewer sent back “the red square”: wrong outline, the <b>left</b> edge."


def test_it_comes_with_the_first_answer_and_goes_when_the_mask_is_another(bench, corrections, store):  # noqa: F811
    bench.start_worker()
    assert SAID in told(ask(bench, "the green square"))
    assert SAID not in (told(ask(bench, "the green square", task_id=2)) or "")
    changed = json.loads(event(annotation(1, 1, [brush("a", box(2, 0), "the red square")], at=200)))
    send(store, json.dumps({**changed, "action": "ANNOTATION_UPDATED"}))
    corrections.read_events()
    assert SAID not in (told(ask(bench, "the blue square")) or "")


def test_it_is_not_told_once_it_was_taken_back(bench, corrections):  # noqa: F811
    bench.start_worker()
    with corrections.writing() as db:
        take_back(db, find_regions(db, PROJECT, ["1/a"]), 3)
    assert SAID not in (told(ask(bench, "the green square")) or "")


def test_nothing_is_told_where_nothing_was_asked(bench, corrections):  # noqa: F811
    """After a submission Label Studio sends an empty context; the message that is there stays."""
    bench.report()
    assert bench.predict_service.predict(call(1, context=[])).messages == {}


def test_an_answer_does_without_it_where_the_database_is_gone(bench, corrections, monkeypatch):  # noqa: F811
    from backend.base.errors import Unreachable
    from backend.interactive import predict

    def fail(*_):
        raise Unreachable("gone")

    bench.start_worker()
    monkeypatch.setattr(predict, "read_sent_back", fail)
    assert "sent back" not in (told(ask(bench, "the green square")) or "")
