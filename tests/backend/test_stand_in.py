"""What stands for Label Studio declares what it answers, and what differs from the real one is found."""

import json
import re
from types import SimpleNamespace

import pytest

from tests.backend.fake_label_studio import FakeLabelStudio, FakeTokens
from tests.backend.stand_in import Answer, Call, StandIn, error, recorded, route
from tests.e2e.exchanges import Exchange, differences


class Odd(StandIn):
    @route("GET", "/api/odd/{}/", 200)
    def _odd(self, _call: Call, number: str) -> Answer:
        return (200, {"id": int(number)}) if int(number) < 5 else error(404, "No Odd matches the given query.")


def ask(stand_in: StandIn, method: str, path: str, **headers: str) -> tuple[int, dict]:
    request = SimpleNamespace(method=method, path=path, headers=headers, body=b"")
    status, _, body = stand_in(request)
    return status, json.loads(body)


def test_only_declared_routes_and_statuses_are_answered():
    assert ask(Odd(), "GET", "/api/odd/3/") == (200, {"id": 3})
    for method, path in (("GET", "/api/odd/9/"), ("POST", "/api/odd/3/"), ("GET", "/api/even/3/")):
        status, answer = ask(Odd(), method, path)
        assert (status, "Odd declares no" in answer["detail"]) == (501, True)


def test_routes_of_parts_are_those_of_the_whole():
    assert {("GET", "/api/tasks"), ("POST", "/api/ml")} <= set(FakeLabelStudio.routes)
    assert ("POST", "/api/ml") not in FakeTokens.routes


def test_a_field_that_label_studio_does_not_have_cannot_be_given():
    with pytest.raises(AssertionError, match="invented"):
        recorded("prediction", invented=1)


def test_errors_have_label_studios_fields():
    assert error(404, "x")[1].keys() == {"id", "status_code", "version", "detail", "exc_info"}


REAL = {"id": 3, "annotations_ids": "", "is_labeled": False, "tasks": [{"score": None}], "total": 0}
KINDER = {
    "a field that is filled": ({**REAL, "annotations_ids": "7"}, "annotations_ids is empty text"),
    "a field that is invented": ({**REAL, "more": 1}, r"invents \['more'\]"),
    "a field that is left out": ({"id": 3}, "lacks"),
    "another type": ({**REAL, "id": "3"}, "id is a number"),
    "another truth": ({**REAL, "is_labeled": True}, "is_labeled is False"),
    "a number instead of none": ({**REAL, "tasks": [{"score": 0.5}]}, r"tasks\[0\].score is None"),
    "more entries": ({**REAL, "tasks": [{"score": None}] * 2}, "has 1 entries, not 2"),
    "something instead of nothing": ({**REAL, "total": 2}, "total is 0"),
}


@pytest.mark.parametrize(("answer", "says"), KINDER.values(), ids=KINDER)
def test_what_differs_is_found(answer: dict, says: str):
    real, found = (Exchange("GET", "/api/tasks/1/", 200, one) for one in (REAL, answer))
    [difference] = differences([real], [found])
    assert re.search(says, difference)


def test_other_statuses_and_requests_are_found():
    real = Exchange("GET", "/api/tasks/1/", 200, REAL)
    assert differences([real], [real._replace(path="/api/tasks/2/", answer={**REAL, "id": 9})]) == []
    assert differences([real], [real._replace(status=404)]) == ["0. GET /api/tasks/{}/: .status is 200, not 404"]
    assert len(differences([real], [real, real])) == 2
    assert len(differences([real], [real._replace(method="POST")])) == 2
