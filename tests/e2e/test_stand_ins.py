"""No stand-in is kinder than the real Label Studio: the product's own requests, sent to both, are answered alike."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.up import Demo
from tests.backend.conftest import serve as serving  # noqa: F401
from tests.backend.stand_in import Route, StandIn
from tests.backend.stand_in_tasks import TaskRoutes, UploadRoutes
from tests.e2e.exchanges import differences
from tests.e2e.studio_scenarios import SCENARIOS, Compared, Real

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PARTS = (TaskRoutes, UploadRoutes)
NOT_TO_BE_HAD = {
    ("POST", "/api/webhooks/", 403): "needs a Label Studio that blocks private addresses; worded as for POST /api/ml",
    ("POST", "/api/projects/{}/import/predictions", 500): "is carried out, and its answer lost: a fault put in",
    ("GET", "/data/local-files/", 200): "needs a Label Studio that serves local files; they are bytes like uploads",
}
"""What stand-ins answer and the Label Studio of these tests cannot be brought to."""


@pytest.fixture(scope="module")
def brought() -> dict[str, Compared]:
    """What the scenarios brought so far."""
    return {}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_it_answers_like_the_real_one(scenario, brought, demo: Demo, serving, tmp_path: Path):  # noqa: F811
    brought[scenario.__name__] = scenario(Real(demo.url, demo.secrets.token), serving, tmp_path)
    assert differences(brought[scenario.__name__].real, brought[scenario.__name__].found) == []


def test_all_that_stand_ins_answer_is_compared(brought):
    assert brought.keys() == {scenario.__name__ for scenario in SCENARIOS}
    assert {_name(kind) for kind in _stand_ins()} == {_name(one.stand_in) for one in brought.values()}
    compared = {answered for one in brought.values() for answered in _answered(one)}
    declared = {
        (_name(handler), route, status)
        for kind in _stand_ins()
        for route, handler in kind.routes.items()
        for status in handler.statuses
    }
    assert {(*route, status) for _, route, status in declared - compared} == set(NOT_TO_BE_HAD)


def _stand_ins() -> Iterator[type[StandIn]]:
    """All that tests use, wherever they are, but for those that only change what another one answers."""
    for file in (ROOT / "tests").rglob("*.py"):
        if "StandIn" in (text := file.read_text()) or "TaskRoutes" in text:
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    waiting = [StandIn]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        is_own = bool({"task_rows", "picture"} & vars(kind).keys()) or any(
            hasattr(value, "route") for value in vars(kind).values()
        )
        if is_own and kind not in PARTS and not kind.__module__.endswith("test_stand_in"):
            yield kind


def _answered(one: Compared) -> Iterator[tuple[str, Route, int]]:
    for exchange in one.found:
        found = one.stand_in.find(exchange.method, exchange.path)
        assert found
        yield _name(found[0]), found[0].route, exchange.status


def _name(of: Any) -> str:
    return f"{of.__module__}.{of.__qualname__}"
