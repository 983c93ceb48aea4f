"""What the product asks of a Label Studio and is answered, noted and compared."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from backend.label_studio import client, images

OPAQUE = frozenset({"control_weights", "parsed_label_config", "meta"})
"""What Label Studio makes of a label config, and what only passes through it: objects of any content."""
OF_THE_PLACE = ".label-studio-os-backend.branch"
"""Of the git checkout that Label Studio was started in: empty or not by that, not by Label Studio."""
NUMBER = re.compile(r"/\d+(?=/|$)")
UPLOAD = re.compile(r"/data/upload/.*")


class Exchange(NamedTuple):
    """A request and its answer.

    Attributes:
        path: Without the query.
        answer: JSON; of other answers their content type.
    """

    method: str
    path: str
    status: int
    answer: Any

    @property
    def request(self) -> str:
        """What was asked, without numbers of rows and names of files."""
        path = UPLOAD.sub("/data/upload/{}/{}", NUMBER.sub("/{}", self.path))
        return f"{self.method} {path}"


@contextmanager
def noting() -> Iterator[list[Exchange]]:
    """Notes all that is asked meanwhile through the product's own HTTP client."""
    seen: list[Exchange] = []
    make = client.make_http

    def note(response: httpx.Response) -> None:
        response.read()
        kind = response.headers.get("content-type", "").partition(";")[0]
        answer = response.json() if kind == "application/json" and response.content else kind or None
        if response.status_code == httpx.codes.NO_CONTENT:
            answer = None
        seen.append(Exchange(response.request.method, response.request.url.path, response.status_code, answer))

    def make_noting(*given: Any, **more: Any) -> httpx.Client:
        http = make(*given, **more)
        http.event_hooks = {"response": [note]}
        return http

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "make_http", make_noting)
        patch.setattr(images, "make_http", make_noting)
        yield seen


def differences(real: Sequence[Exchange], found: Sequence[Exchange]) -> list[str]:
    """In which answers a stand-in differs from the real one: fields, types, what is empty, and statuses."""
    if (asked := [one.request for one in real]) != (others := [one.request for one in found]):
        return [f"the real one was asked {asked}", f"the stand-in was asked {others}"]
    return [
        f"{number}. {one.request}: {problem}"
        for number, (one, other) in enumerate(zip(real, found, strict=True))
        for problem in _compare(
            {"status": one.status, "answer": one.answer}, {"status": other.status, "answer": other.answer}, ""
        )
    ]


def _compare(real: Any, found: Any, where: str) -> Iterator[str]:
    if where.rpartition(".")[2] == "status":
        if real != found:
            yield f"{where} is {real}, not {found}"
    elif isinstance(real, Mapping) and isinstance(found, Mapping):
        if where.rpartition(".")[2] in OPAQUE:
            return
        if real.keys() != found.keys():
            missing, invented = sorted(real.keys() - found.keys()), sorted(found.keys() - real.keys())
            yield f"{where} lacks {missing}, and invents {invented}"
        for name in real.keys() & found.keys():
            yield from _compare(real[name], found[name], f"{where}.{name}")
    elif isinstance(real, list) and isinstance(found, list):
        if len(real) != len(found):
            yield f"{where} has {len(real)} entries, not {len(found)}"
        for number, (one, other) in enumerate(zip(real, found, strict=False)):
            yield from _compare(one, other, f"{where}[{number}]")
    elif where.endswith(OF_THE_PLACE) and isinstance(real, str) and isinstance(found, str):
        return
    elif _kind(real) != _kind(found):
        yield f"{where} is {_kind(real)} ({real!r:.60}), not {_kind(found)} ({found!r:.60})"


def _kind(value: Any) -> str:
    """Its type, and whether it is empty; of a truth value the value."""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return "a number" if value else "0"
    kind = {str: "text", list: "a list", dict: "an object"}[type(value)]
    return kind if value else f"empty {kind}"
