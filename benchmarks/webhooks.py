"""`ris bench webhooks`: events sent to a backend of its own as fast as the client can; how long each took, and all until they were read.

The backend is a process of its own, as it is where it is used; the events are read beside the client.
"""

import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import sqlalchemy as sa
import uvicorn

from backend.base.errors import BadSettings, Unreachable
from backend.corrections.store import CorrectionStore, open_correction_store
from backend.corrections.sync import CorrectionSync
from backend.db.correction_tables import outcome
from backend.db.tables import webhook
from backend.http.app import create_app
from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from backend.settings.environment import Settings

PROJECT = 1
TASKS = 4000
"""Tasks that the annotations are of."""
SIZE_HW = 60, 80
TIMEOUT_S = 60.0
BACKLOG = 128
PATIENCE_S = 240.0
"""How long the reading may take after the sending."""
_CONFIG = (
    '<View><BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels>'
    '<Image name="image" value="$image"/></View>'
)


@dataclass(frozen=True)
class WebhookFigures:
    """What came of it.

    Attributes:
        latencies_s: Of each event, from sending to the answer.
        refused: Events that were not answered 200.
        sent_s, read_s: Until all were answered; until all were read, from the beginning.
        stored, read, outcomes: Rows in the end.
    """

    latencies_s: tuple[float, ...]
    refused: int
    sent_s: float
    read_s: float
    stored: int
    read: int
    outcomes: int

    def to_json(self) -> str:
        """One document."""
        return json.dumps({"events": len(self.latencies_s), **self._numbers()})

    def to_markdown(self) -> str:
        """A table."""
        rows = [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in self._numbers().items()]
        return "\n".join([f"| {len(self.latencies_s):,} events | |", "| --- | ---: |", *rows])

    def _numbers(self) -> dict[str, float]:
        median, late, latest = np.quantile(self.latencies_s, (0.5, 0.95, 1.0)) * 1000
        return {
            "median_ms": round(float(median), 1),
            "p95_ms": round(float(late), 1),
            "max_ms": round(float(latest), 1),
            "later_than_1_s": sum(latency > 1 for latency in self.latencies_s),
            "events_a_second": round(len(self.latencies_s) / self.sent_s, 1),
            "all_read_after_s": round(self.read_s, 1),
            "refused": self.refused,
            "stored": self.stored,
            "read": self.read,
            "outcomes": self.outcomes,
        }


def measure(events: int, senders: int = 8) -> WebhookFigures:
    """Send events, each about an annotation of its own with one region, and wait until all are read.

    Raises:
        Unreachable: If they are not read in time.
    """
    with tempfile.TemporaryDirectory() as folder, _serving(Path(folder)) as (settings, url):
        correction_store = open_correction_store(settings.sql_url)
        began = time.perf_counter()
        with CorrectionSync(lambda: open_correction_store(settings.sql_url), _no_studio):
            with ThreadPoolExecutor(senders) as pool:
                shares = [range(first, events, senders) for first in range(senders)]
                sent = [one for some in pool.map(lambda numbers: _send(url, numbers), shares) for one in some]
            sent_s = time.perf_counter() - began
            while _count_read(correction_store) < events:
                if time.perf_counter() - began > sent_s + PATIENCE_S:
                    raise Unreachable(f"Of {events} events only {_count_read(correction_store)} were read in time.")
                time.sleep(0.2)
        read_s = time.perf_counter() - began
        stored, judged = _count(correction_store, webhook), _count(correction_store, outcome)
        read = _count_read(correction_store)
        correction_store.close()
    latencies = tuple(latency for _, latency in sent)
    refused = sum(status != 200 for status, _ in sent)
    return WebhookFigures(latencies, refused, sent_s, read_s, stored, read, judged)


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Settings, str]]:
    """The application on a port of its own."""
    settings = _make_settings(folder)
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = multiprocessing.get_context("spawn").Process(target=_serve, args=(folder, listening), daemon=True)
        server.start()
        try:
            _await_health(address, server)
            yield settings, address
        finally:
            server.terminate()
            server.join(TIMEOUT_S)


def _make_settings(folder: Path) -> Settings:
    """It needs no Redis to keep events."""
    given = {"RIS_STATE_DIR": folder, "REDIS_URL": f"unix://{folder}/none.sock", "DATABASE_URL": None}
    return Settings(_env_file=None, **given)  # type: ignore[call-arg,arg-type]  # by the names of the variables


def _serve(folder: Path, listening: socket.socket) -> None:
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # a line of log for each event
    config = uvicorn.Config(create_app(_make_settings(folder)), log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


def _await_health(url: str, server: "multiprocessing.process.BaseProcess") -> None:
    """Connections wait in the backlog until the server takes them; one that died never does."""
    deadline = time.monotonic() + TIMEOUT_S
    with httpx.Client(base_url=url, trust_env=False, timeout=1.0) as http:
        while True:
            try:
                http.get("/health")
                return
            except httpx.HTTPError as error:
                if not server.is_alive() or time.monotonic() > deadline:
                    raise Unreachable("The backend of this measurement did not start. Run `ris doctor`.") from error


def _send(url: str, numbers: range) -> list[tuple[int, float]]:
    """Status and seconds of each event."""
    answers = []
    template = _make_event()
    with httpx.Client(base_url=url, trust_env=False, timeout=TIMEOUT_S) as http:
        for number in numbers:
            body = template.replace("123456789", str(number + 1)).replace("987654321", str(number % TASKS))
            began = time.perf_counter()
            status = http.post("/webhook", content=body).status_code
            answers.append((status, time.perf_counter() - began))
    return answers


def _make_event() -> str:
    mask = np.zeros(SIZE_HW, bool)
    mask[10:30, 10:40] = True
    region = regions.make_region(mask, read_config(_CONFIG).controls[0], "Object", "aaaaaaaaaa", 0.5, "a box")
    annotation = {
        "id": 123456789,
        "task": 987654321,
        "project": PROJECT,
        "result": [region],
        "completed_by": 1,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "lead_time": 1.0,
    }
    task = {"id": 987654321, "data": {"image": "/a.png"}}
    about = {"id": PROJECT, "label_config": _CONFIG}
    return json.dumps({"action": "ANNOTATION_CREATED", "annotation": annotation, "task": task, "project": about})


def _no_studio(project: int) -> LabelStudioClient:
    raise BadSettings("There is no Label Studio in this measurement.")


def _count_read(correction_store: CorrectionStore) -> int:
    with correction_store.reading() as db:
        is_read = webhook.c.read_at.is_not(None)
        return int(db.scalar(sa.select(sa.func.count()).select_from(webhook).where(is_read)) or 0)


def _count(correction_store: CorrectionStore, table: sa.Table) -> int:
    with correction_store.reading() as db:
        return int(db.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
