"""`ris bench requests`: CPU time that one more expression takes over HTTP, by process, and what of it is not the answer.

The whole way of an annotator's question: HTTP, SQL, the queue, the worker with the models of `demo`, and back; a real Redis, and SQLite.
Each expression is one that was never asked before, about a picture that is encoded already. The same expressions are answered in this
process too, so that what HTTP, queue and database take beside the answer is known. Another checkout can be measured the same way.
"""

import base64
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
from PIL import Image as PillowImage

from backend.base import processes
from backend.base.errors import Unreachable
from benchmarks import stage_probe
from benchmarks.stage_probe import CONFIG, EXPRESSIONS, WARM_UPS, make_sentences
from demo.scenes import make_scene

SEED = 32
"""Of the scene."""
ANSWER_TIMEOUT_S = 120.0
ROOT = Path(__file__).resolve().parents[1]
IDLE_S = 5.0
"""How long the services are watched while nothing is asked."""


@dataclass(frozen=True)
class RequestCost:
    """CPU milliseconds of an expression, means.

    Attributes:
        code: Which code answered.
        health_ms: Of the backend, for a request that asks nothing.
        answer_ms: From the words to the region, in a process without HTTP, queue and database.
    """

    code: str
    backend_ms: float
    worker_ms: float
    redis_ms: float
    health_ms: float
    answer_ms: float

    @property
    def sum_ms(self) -> float:
        """All of it."""
        return self.backend_ms + self.worker_ms + self.redis_ms

    @property
    def beside_ms(self) -> float:
        """What is not the answer: HTTP, queue and database."""
        return self.sum_ms - self.answer_ms


def to_json(costs: Sequence[RequestCost]) -> str:
    """As one JSON document."""
    return json.dumps([{**asdict(one), "sum_ms": one.sum_ms, "beside_ms": one.beside_ms} for one in costs], indent=1)


def to_markdown(costs: Sequence[RequestCost]) -> str:
    """As a table."""
    head = (
        "| code | backend, ms | worker, ms | Redis, ms | sum, ms | the answer alone, ms | beside it, ms | /health, ms |"
    )
    rows = [
        f"| {one.code} | "
        + " | ".join(
            f"{ms:.1f}"
            for ms in (
                one.backend_ms,
                one.worker_ms,
                one.redis_ms,
                one.sum_ms,
                one.answer_ms,
                one.beside_ms,
                one.health_ms,
            )
        )
        + " |"
        for one in costs
    ]
    return "\n".join([head, "| --- |" + " ---: |" * 7, *rows])


def measure(before: Path | None = None) -> tuple[RequestCost, ...]:
    """Ask the same expressions of this code and of another checkout.

    Args:
        before: The other checkout, whose services run in this environment; None for this code alone.

    Raises:
        Unreachable: If a service does not start.
    """
    versions = {"before": before.resolve(), "now": ROOT} if before else {"now": ROOT}
    return tuple(_ask_all(name, code, _draw()) for name, code in versions.items())


def _ask_all(name: str, code: Path, picture: bytes) -> RequestCost:
    with _running(code) as (url, pids), httpx.Client(base_url=url, timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
        texts = make_sentences()
        if not sum(_ask(client, picture, text) for text in itertools.islice(texts, WARM_UPS)):
            raise Unreachable(f"The services of {code} answered nothing.", "Look at their logs with `ris doctor`.")
        asked_ms = _cpu_ms(pids, lambda: [_ask(client, picture, text) for text in itertools.islice(texts, EXPRESSIONS)])
        health_ms = _cpu_ms(pids, lambda: [client.get("/health") for _ in range(EXPRESSIONS)])
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(picture)
        file.flush()
        answer_ms = 1e3 * stage_probe.run(code, stage_probe.ANSWERS, file.name)["an answer"]
    return RequestCost(
        name, asked_ms["backend"], asked_ms["worker"], asked_ms["redis"], health_ms["backend"], answer_ms
    )


def _cpu_ms(pids: Mapping[str, int], work: Callable[[], object]) -> dict[str, float]:
    """CPU milliseconds of each process for one of `EXPRESSIONS`, without what it takes while nothing is asked."""
    idle_s, idle_wall_s = _spend(pids, lambda: time.sleep(IDLE_S))
    work_s, wall_s = _spend(pids, work)
    return {name: 1e3 * (work_s[name] - idle_s[name] * wall_s / idle_wall_s) / EXPRESSIONS for name in pids}


def _spend(pids: Mapping[str, int], work: Callable[[], object]) -> tuple[dict[str, float], float]:
    """CPU seconds of each process during some work, and its wall seconds."""
    before, began = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}, time.perf_counter()
    work()
    time.sleep(0.1)  # the worker finishes after the answer
    after, wall_s = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}, time.perf_counter() - began
    return {name: sum(after[name][:2]) - sum(before[name][:2]) for name in pids}, wall_s


@contextmanager
def _running(code: Path) -> Iterator[tuple[str, dict[str, int]]]:
    """The services of a checkout, in a state folder of their own: the backend's address, and the processes by name."""
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        port = processes.free_port()
        env = {
            **os.environ,
            "RIS_STATE_DIR": folder,
            "RIS_PROFILE": "demo",
            "PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(code),
        }
        ris = (sys.executable, "-m", "backend")
        try:
            subprocess.run([*ris, "up"], cwd=code, env=env, check=True, stdout=sys.stderr)
            yield f"http://127.0.0.1:{port}", _find_processes(Path(folder))
        finally:
            subprocess.run([*ris, "down"], cwd=code, env=env, check=True, stdout=sys.stderr)


def _find_processes(folder: Path) -> dict[str, int]:
    """The services that run with a state folder."""
    found = {}
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, env = process.info["cmdline"] or [], process.info["environ"] or {}
        if env.get("RIS_STATE_DIR") == str(folder) and command[-2:] in (["backend", "serve"], ["backend", "worker"]):
            found["worker" if command[-1] == "worker" else "backend"] = process.pid
        elif "redis-server" in " ".join(command) and str(folder) in " ".join(command):
            found["redis"] = process.pid
    return found


def _ask(client: httpx.Client, picture: bytes, text: str) -> bool:
    """Ask an expression; whether it brought a region."""
    entry = {
        "id": "prompt1",
        "type": "textarea",
        "from_name": "prompt",
        "to_name": "image",
        "origin": "manual",
        "value": {"text": [text]},
    }
    context = {"result": [entry], "draft_id": 0, "user_id": 1}
    body = {
        "tasks": [{"id": 1, "data": {"image": f"data:image/png;base64,{base64.b64encode(picture).decode()}"}}],
        "model_version": "",
        "project": "1.1",
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": context},
    }
    return bool(client.post("/predict", json=body).raise_for_status().json()["results"][0]["result"])


def _draw() -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(make_scene(SEED).image).save(file, "PNG")
    return file.getvalue()
