"""Whatever is sent: no fault of ours, no hang, an entry for every task, no secret told.

More than 5,000 cases, the same in every run. `RIS_FUZZ=20` makes them twenty times as many, and others each time.
"""

import base64
import copy
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from sqlalchemy import func, select
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from backend.db import request_store
from backend.http.app import create_app
from backend.http.openapi import make_document
from backend.interactive import predict
from backend.settings.environment import Settings
from backend.transport import worker_registry
from tests.toy import toy_png

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TRAFFIC = ROOT / "tests" / "data" / "label-studio-traffic"
TIMES = int(os.environ.get("RIS_FUZZ", "1"))
RECORDED_CASES, HEADER_CASES = 2700, 200
DOCUMENTED_CASES = {"POST /setup": 500, "POST /predict": 80, "POST /webhook": 500}
"""For each endpoint that takes a body as many that are as documented, and as many that are not."""
SECRET = "geheim"
"""Begins every secret that is set or sent."""
USER, PASSWORD, BEARER = "label-studio", f"{SECRET}-password", f"{SECRET}-bearer"
DEADLINE_S = 0.5
LONGEST_S = 10.0


def cases(number: int) -> settings:
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )


class Target:
    """An app with a store, Redis and a worker; looks at every answer and at every line of the log."""

    def __init__(self, app: FastAPI, portal: BlockingPortal, logged: list[Any], worker_log: Path) -> None:
        self.predict_service, self._portal, self._logged, self.worker_log = (
            app.state.predict_service,
            portal,
            logged,
            worker_log,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://backend", auth=(USER, PASSWORD))
        self.answered = self.events = 0

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        began, seen = time.monotonic(), len(self._logged)
        answer = self._portal.call(partial(self._client.request, method, path, **request))
        assert time.monotonic() - began < LONGEST_S
        assert answer.status_code < 500, self._logged[seen:]
        assert SECRET not in f"{answer.text} {answer.headers}"
        assert SECRET not in repr(self._logged[seen:])
        if path == "/predict" and answer.status_code == 200:
            assert len(answer.json()["results"]) == len(json.loads(answer.request.content)["tasks"])
        self.answered += 1
        self.events += path == "/webhook" and answer.status_code in (200, 400)
        return answer

    def kept_events(self) -> int:
        with self.predict_service.store._engine.connect() as db:
            return db.scalar(select(func.count()).select_from(request_store.webhook))


@pytest.fixture(scope="module")
def target(_redis_server_url, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    values = {
        "RIS_STATE_DIR": state,
        "REDIS_URL": f"{_redis_server_url}?db=2",
        "RIS_PROFILE": "toy",
        "PREDICT_DEADLINE": DEADLINE_S,
        "BASIC_AUTH_USER": USER,
        "BASIC_AUTH_PASS": PASSWORD,
        "WEBHOOK_SECRET": BEARER,
        "LABEL_STUDIO_API_KEY": f"{SECRET}-key",
    }
    environment = {**os.environ, **{name: str(value) for name, value in values.items()}, "OMP_NUM_THREADS": "1"}
    worker_log = state / "worker.log"
    with (
        pytest.MonkeyPatch.context() as patch,
        worker_log.open("w") as output,
        start_blocking_portal() as portal,
        capture_logs([format_exc_info]) as logged,
    ):
        found = Target(create_app(Settings(_env_file=None, **values)), portal, logged, worker_log)
        patch.setattr(predict, "OPEN_DEADLINE_S", 0.05)
        command = [sys.executable, "-m", "tests.toy_worker"]
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            while not worker_registry.model_version(found.predict_service.conn):
                assert worker.poll() is None, worker_log.read_text()
                time.sleep(0.05)
            yield found
        finally:
            worker.terminate()
            worker.wait(20)
            found.predict_service.conn.flushdb()


# What the document allows, and what it does not

load_all_checks()
CONFORMANCE = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(make_document()).get_all_operations()]


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.path)
def test_answers_are_as_documented(target, operation, mode):
    number, before = DOCUMENTED_CASES.get(f"{operation.method.upper()} {operation.path}"), target.answered

    @cases(number or 10)
    @given(operation.as_strategy(generation_mode=mode if number else GenerationMode.POSITIVE))
    def ask(case):
        request = case.as_transport_kwargs()
        body = {"content" if name == "data" else name: request[name] for name in ("json", "data") if name in request}
        answer = target.send(request["method"], request["url"], headers=request["headers"], **body)
        case.validate_response(answer, checks=CONFORMANCE)

    ask()
    assert target.answered - before >= (number or 1)


# What Label Studio sends, damaged

IMAGES = [
    "data:image/png;base64," + base64.b64encode(toy_png()).decode(),
    f"http://user:{SECRET}@127.0.0.1:1/a.png?token={SECRET}",
    f"/data/upload/1/a.png?token={SECRET}",
]


def marked(value: Any, image: str, name: str = "") -> Any:
    """A recorded value with another picture, short masks, and secrets that would be recognised."""
    if isinstance(value, dict):
        return {key: marked(inner, image, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [marked(inner, image, name) for inner in value[:8]]
    known = {
        "image": image,
        "hostname": "http://127.0.0.1:1",
        "access_token": f"{SECRET}-token",
        "token": f"{SECRET}-project",
    }
    return known.get(name, value)


RECORDED = [
    (request["path"], marked(request["body"], image))
    for file in sorted(TRAFFIC.glob("[!a]*.json"))
    if (request := json.loads(file.read_text())["request"])["body"] is not None
    for image in IMAGES
]


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><View><Image name="&b;" value="$image"/></View>'
HOSTILE = {
    "nothing": "null",
    "true": "true",
    "negative": "-1",
    "beyond 32 bits": "4294967296",
    "beyond 64 bits": "18446744073709551616",
    "400 digits": "9" * 400,
    "more digits than Python reads": "9" * 5000,
    "infinite": "1e999",
    "not a number": "NaN",
    "empty text": '""',
    "a number as text": '"7"',
    "zero byte": '"a\\u0000b"',
    "half a pair": '"\\ud800"',
    "escapes": '"a\\n\\u001b[31mb"',
    "huge text": f'"{"x" * 200_000}"',
    "many semicolons": f'"{"a;" * 500}"',
    "empty list": "[]",
    "empty object": "{}",
    "huge list": f"[{'0,' * 20_000}0]",
    "deep": "[" * 90 + "]" * 90,
    "deeper": '{"a":' * 700 + "0" + "}" * 700,
    "almost too deep for Python": "[" * 970 + "]" * 970,
    "too deep for Python": "[" * 20_000 + "]" * 20_000,
    "entities": json.dumps(BOMB),
    "no XML": '"<View"',
    "local file": '"file:///etc/passwd"',
    "a file of ours": '"/data/local-files/?d=../../etc/passwd"',
    "another picture": '"data:image/png;base64,AAAA"',
    "texts": '{"text": ["the red square", 7, null, "the blue square"]}',
}
"""What is put in a value's place, as JSON."""

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "cut": lambda body: body[: len(body) // 2],
    "more": lambda body: body + b"}",
    "utf-16": lambda body: body.decode(errors="replace").encode("utf-16"),
    "mark": lambda body: b"\xef\xbb\xbf" + body,
    "not utf-8": lambda body: body.replace(b"a", b"\xe4"),
    "half a pair as bytes": lambda body: body.replace(b"a", b"\xed\xa0\x80"),
    "zero bytes": lambda body: body.replace(b"a", b"\0"),
    "zipped": gzip.compress,
    "empty": lambda _body: b"",
}
"""What is done to a whole body."""


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """Path and body of a recorded request with some values removed, repeated or replaced."""
    path, body = copy.deepcopy(draw(st.sampled_from(RECORDED)))
    replaced = {}
    for number in range(draw(st.integers(0, 3))):
        if not body:
            break
        parent, last = draw_place(draw, body)
        action = draw(st.sampled_from(["replace", "replace", "replace", "remove", "repeat"]))
        if action == "remove":
            del parent[last]
        elif action == "repeat":
            parent[last] = [parent[last]] * 6
        else:
            parent[last] = f"<{number}>"
            replaced[json.dumps(parent[last])] = draw(st.sampled_from(list(HOSTILE.values())))
    text = json.dumps(body)
    for mark, value in replaced.items():
        text = text.replace(mark, value)
    damage = draw(st.sampled_from(["none"] * 3 * len(DAMAGE) + list(DAMAGE)))
    return path, DAMAGE[damage](text.encode())


def draw_place(draw: st.DrawFn, body: Any) -> tuple[Any, Any]:
    """A place in a body, those further out more often: what it is in, and its key or index there."""
    while True:
        key = draw(st.sampled_from(list(body) if isinstance(body, dict) else range(len(body))))
        inner = body[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.integers(0, 3)) == 0:
            return body, key
        body = inner


def test_recorded_requests_may_be_damaged_in_any_way(target):
    before = target.answered

    @cases(RECORDED_CASES)
    @given(damaged())
    def ask(request):
        path, body = request
        target.send("POST", path, content=body)

    ask()
    assert target.answered - before >= RECORDED_CASES * TIMES


def test_nobody_gets_in_by_odd_headers(target):
    before = target.answered
    odd = st.binary(max_size=60) | st.text(max_size=30).map(str.encode) | st.just(b"Basic " + b"A" * 100_000)
    schemes = st.sampled_from([b"", b"Basic ", b"Bearer ", b"basic", b"Digest "])

    @cases(HEADER_CASES)
    @given(st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]), st.sampled_from(OPERATIONS), schemes, odd)
    def ask(method, operation, scheme, given_value):
        value = (scheme + given_value).replace(b"\r", b"").replace(b"\n", b"")
        answer = target.send(method, operation.path, auth=None, headers={b"Authorization": value})
        is_open = operation.path in ("/", "/health")
        assert answer.status_code in ((200, 405) if is_open else (401, 405))

    ask()
    assert target.answered - before >= HEADER_CASES * TIMES


def test_every_event_was_kept(target):
    assert target.kept_events() == target.events


def test_the_worker_tells_no_secret_either(target):
    log = target.worker_log.read_text()
    assert "the host 127.0.0.1:1 is not allowed" in log  # of an address with a password
    assert SECRET not in log
