"""Webhooks as fast as the client can send: every one is stored, and becomes outcomes. `ris bench webhooks` sends more."""

import json

import pytest

from benchmarks.webhooks import measure

EVENTS = 2_000


@pytest.mark.slow
def test_thousands_of_events_sent_at_once_are_all_stored_and_read():
    measured = measure(EVENTS)
    assert (measured.refused, len(measured.latencies_s)) == (0, EVENTS)
    assert (measured.stored, measured.read, measured.outcomes) == (EVENTS, EVENTS, EVENTS)
    told = json.loads(measured.to_json())
    assert told["events"] == EVENTS
    assert told["median_ms"] <= told["p95_ms"] <= told["max_ms"]
    print(measured.to_markdown())
