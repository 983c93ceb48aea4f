"""What Prometheus reads."""

from collections import Counter

import pytest

from backend.base.errors import Unreachable
from backend.http.metrics import Metrics
from backend.interactive.predict import PredictService
from backend.interactive.responses import PredictResponse
from backend.transport import redis_client


@pytest.fixture
def predict_service(store, redis_url):
    return PredictService(store, redis_client.connect(redis_url), "toy", 1.0, 10)


def lines(metrics):
    rows = [row.rsplit(" ", 1) for row in metrics.render().decode().splitlines() if not row.startswith("#")]
    return {name: float(value) for name, value in rows}


def test_messages_are_counted_by_kind(predict_service):
    metrics = Metrics(predict_service)
    metrics.count_answers(PredictResponse([], "interactive", Counter(expired=2), Counter(no_worker=2)), 0.1)
    metrics.count_answers(PredictResponse([], "interactive", Counter(unmatched=1), Counter(nothing_found=1)), 0.1)
    found = lines(metrics)
    assert found['ris_messages_total{kind="no_worker"}'] == 2
    assert found['ris_messages_total{kind="nothing_found"}'] == 1
    assert found['ris_tasks_total{kind="interactive",outcome="expired"}'] == 2


def test_tasks_encoded_ahead_are_counted_by_what_became_of_them(predict_service, store):
    for lifetime_s in (60, 60, -1):
        request_id = store.add_request("ahead", "5", {}, lifetime_s=lifetime_s)
    store.expire_overdue()
    store.add_request("encode", "5", {}, lifetime_s=60)
    assert not store.start_request(request_id)
    found = lines(Metrics(predict_service))
    assert found['ris_encode_ahead_total{state="queued"}'] == 2
    assert found['ris_encode_ahead_total{state="expired"}'] == 1


def test_before_anything_happened_there_is_nothing_to_count(predict_service):
    assert not any(
        name.startswith(("ris_encode_ahead", "ris_messages_total")) for name in lines(Metrics(predict_service))
    )


def test_without_the_database_the_other_numbers_are_there(predict_service, monkeypatch):
    def unreachable():
        raise Unreachable("The database cannot be used (locked).")

    assert lines(Metrics(predict_service))["ris_sql_up"] == 1
    monkeypatch.setattr(predict_service.store, "counts", unreachable)
    found = lines(Metrics(predict_service))
    assert (found["ris_sql_up"], found["ris_redis_up"], "ris_regions" in found) == (0, 1, False)
