"""10,000 webhooks, as fast as the client can send: every one is stored, and becomes outcomes."""

import json

import pytest

from backend.bench.webhooks import measure

EVENTS = 10_000


@pytest.mark.slow
def test_ten_thousand_events_sent_at_once_are_all_stored_and_read():
    measured = measure(EVENTS)
    assert (measured.refused, len(measured.latencies_s)) == (0, EVENTS)
    assert (measured.stored, measured.read, measured.outcomes) == (EVENTS, EVENTS, EVENTS)
    told = json.loads(measured.to_json())
    assert told["events"] == EVENTS
    assert told["median_ms"] <= told["p95_ms"] <= told["max_ms"]
    print(measured.to_markdown())
