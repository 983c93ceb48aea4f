"""What is told of encodings, for those who wait."""

import pytest

from backend.inference import encoding_times
from backend.inference.encoding_times import LAST, EncodingTimes, picture_key


@pytest.fixture
def clock(monkeypatch):
    """Seconds since 1970 that a test sets."""
    now = [1_000.0]
    monkeypatch.setattr(encoding_times.time, "time", lambda: now[0])
    return now


@pytest.fixture
def times():
    times, times.said = EncodingTimes(), []
    times.tell = lambda **changes: times.said.append(changes)
    return times


def spend(times, clock, seconds, profile="base"):
    with times.encoding("7/1", profile):
        clock[0] += seconds


def test_the_beginning_and_the_end_are_told(times, clock):
    spend(times, clock, 40)
    assert times.said == [
        {"encoding": "7/1", "encoding_since": 1_000.0},
        {"encoding": "", "encoding_since": 0.0, "encode_s": 40.0},
    ]


def test_the_median_of_the_last_ones_counts(times, clock):
    for seconds in [500] * LAST + [10] * 4 + [30, 20, 40, 50, 60]:
        spend(times, clock, seconds)
    assert times.said[-1]["encode_s"] == 20


def test_what_fails_and_what_clicks_need_do_not_count(times, clock):
    with pytest.raises(ZeroDivisionError), times.encoding("7/1", "base"):
        clock[0] /= 0
    spend(times, clock, 3, profile="")
    assert times.said[1::2] == [{"encoding": "", "encoding_since": 0.0}] * 2


def test_a_picture_is_known_by_project_and_task():
    assert len({picture_key(7, "1"), picture_key(71, ""), picture_key(None, "1"), picture_key(7, "11")}) == 4
