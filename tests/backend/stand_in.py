"""What stands for Label Studio 1.23.2 in tests.

A stand-in declares each of its routes with the statuses that it answers there, and answers no others. `tests/e2e/test_stand_ins.py`
sends the product's own requests to every stand-in and to the real one, and compares the answers: a route or a status that is not
compared fails there, and so does a field that the real one does not have, or leaves empty.
"""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlsplit

RECORDED = Path(__file__).parents[1] / "data" / "label-studio-answers.json"
"""Objects as the real one answered them, by kind, with all their fields; each is new and nearly empty."""
Answer = tuple[int, Any]
Route = tuple[str, str]
"""Method and path; "{}" is a number or a name."""
UNDECLARED = 501


class Call(NamedTuple):
    """A request that came.

    Attributes:
        query: First values.
        body: JSON; None without a body.
    """

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


def route(method: str, path: str, *statuses: int) -> Callable[[Callable], Callable]:
    """Marks what answers a route: a method that takes the call, and a text for each "{}" of the path.

    Args:
        statuses: All that it answers.
    """

    def mark(handler: Callable) -> Callable:
        handler.route, handler.statuses = (method, path), frozenset(statuses)  # type: ignore[attr-defined]  # functions bear any
        return handler

    return mark


class StandIn:
    """What all of them have in common.

    Attributes:
        routes: What answers each route.
        token: The only one that is accepted; None takes all.
        calls: What came so far.
    """

    routes: ClassVar[dict[Route, Callable[..., Answer]]] = {}
    token: str | None = None

    def __init_subclass__(cls) -> None:
        handlers = [value for base in reversed(cls.__mro__) for value in vars(base).values() if hasattr(value, "route")]
        cls.routes = {handler.route: handler for handler in handlers}

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def __call__(self, request: SimpleNamespace) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = json.loads(request.body) if request.body else None
        call = Call(request.method, url.path, query, body, request.headers)
        self.calls.append(call)
        status, answer = self._answer(call)
        if isinstance(answer, bytes):
            return status, {"Content-Type": "image/png"}, answer
        return status, {"Content-Type": "application/json"}, b"" if answer is None else json.dumps(answer).encode()

    @classmethod
    def find(cls, method: str, path: str) -> tuple[Any, tuple[str, ...]] | None:
        """What answers a request, and what stands for each "{}" of its path; None if nothing does."""
        for (declared, pattern), handler in cls.routes.items():
            found = re.fullmatch(pattern.replace("{}", "([^/]+)"), path)
            if declared == method and found:
                return handler, found.groups()
        return None

    def _answer(self, call: Call) -> Answer:
        if found := self.find(call.method, call.path):
            return self._respond(found[0], call, found[1])
        return UNDECLARED, {"detail": f"{type(self).__name__} declares no {call.method} {call.path}"}

    def _respond(self, handler: Callable[..., Answer], call: Call, parts: tuple[str, ...]) -> Answer:
        if self.token and 401 in handler.statuses and self.token not in call.headers.get("Authorization", ""):  # type: ignore[attr-defined]
            return unauthorised()
        status, answer = handler(self, call, *parts)
        if status in handler.statuses:  # type: ignore[attr-defined]
            return status, answer
        return UNDECLARED, {"detail": f"{type(self).__name__} declares no {status} for {call.method} {call.path}"}


def recorded(name: str, **own: Any) -> dict[str, Any]:
    """An object with all the fields of the real one.

    Args:
        name: Of an entry of `RECORDED`.
        **own: Values of this one.
    """
    fields = deepcopy(_read_recorded()[name])
    assert own.keys() <= fields.keys(), f"Label Studio's {name} has no {own.keys() - fields.keys()}"
    return {**fields, **own}


def error(status: int, detail: str, **more: Any) -> Answer:
    """An error as Label Studio words it."""
    return status, {**recorded("error"), "status_code": status, "detail": detail, **more}


def missing(kind: str) -> Answer:
    """404 of something of a kind: "Task"."""
    return error(404, f"No {kind} matches the given query.")


def unauthorised() -> Answer:
    return error(401, "Invalid token.")


@cache
def _read_recorded() -> dict[str, Any]:
    return json.loads(RECORDED.read_text(encoding="utf-8"))
