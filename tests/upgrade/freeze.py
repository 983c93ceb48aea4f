"""Freeze what a user of this version has: `python -m tests.upgrade.freeze tests/data/state-VERSION`, once per release.

A day in short, at the real Label Studio with the demo's models: prompts, candidates and a click; annotations that accept, edit,
redraw, reject and skip, one of them deleted; a run that is done, and one whose workers die in its midst. What is left is
kept: the state folder, a dump of the same record in PostgreSQL, and what this version itself says of it (`said.json`).
Label Studio's own data, logs and process records are left out.
"""

import argparse
import base64
import gzip
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PIL import Image as Pil

from backend.base import processes
from backend.db.database import open_database
from backend.db.tables import metadata
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import connect
from backend.label_studio.protocol import Json
from backend.local import stack
from benchmarks import postgres
from demo import up
from demo.gallery import GALLERY
from demo.up import BACKEND_USER, Demo

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / "label_config" / "prompt_click_box.xml").read_text(encoding="utf-8")
WIDTH = 192
"""Pixels: the pictures travel in the tasks' data, so that the state needs no Label Studio."""
CACHED = 1
"""Files of each kind of cache that are kept."""
LEFT_OUT = ("label-studio", "logs", "run", "scenes", "features", "redis.sock", "demo-secrets.json", "up.lock")
WAIT_S = 300.0
_DATABASE = "ris.sqlite3"


def freeze(target: Path) -> None:
    """Live the day in a new folder, and keep what is left of it in `target`."""
    folder = Path(tempfile.mkdtemp(prefix="ris-freeze-"))
    try:
        demo = up.start(folder, label_studio_port=0, backend_port=0)
        day = Day(demo, folder)
        day.annotate()
        day.run()
        said = day.ask_what_it_says()
        day.die_in_a_run()
        list(stack.down(folder))
        said["run list"] = json.loads(_ris(folder, demo, "run", "list", "--json"))
        _keep(folder, target, said)
    finally:
        list(stack.down(folder))
        shutil.rmtree(folder, ignore_errors=True)


class Day:
    """What a user does with a project of one's own, beside the demo's."""

    def __init__(self, demo: Demo, folder: Path) -> None:
        self._demo, self._folder = demo, folder
        self._client = LabelStudioClient(demo.url, demo.secrets.token, up.ANSWER_TIMEOUT_S)
        made = self._client.request("POST", "/api/projects/", {"title": "Yesterday", "label_config": CONFIG})
        self.project: int = made["id"]
        data = [{"image": _data_uri(one.draw()), "say": one.expression} for one in GALLERY]
        self._client.request("POST", f"/api/projects/{self.project}/import", data)
        credentials = (BACKEND_USER, demo.secrets.backend_password)
        connected = connect(self._client, self.project, demo.backend_url, credentials, demo.secrets.webhook_secret)
        self._backend = connected.backend
        listed = self._client.request("GET", f"/api/tasks?project={self.project}&page_size=100")["tasks"]
        self.tasks = sorted(task["id"] for task in listed)

    def annotate(self) -> None:
        """Prompts, and every outcome once."""
        accepted, edited, redrawn, rejected, skipped, clicked, deleted = self.tasks[:7]
        offered = self._ask(accepted, 0)
        self._submit(accepted, offered)
        edit = self._ask(edited, 1)
        self._submit(edited, [_shrunk(region) for region in edit])
        self._ask(redrawn, 2)
        self._submit(redrawn, [{**_shrunk(region), "id": uuid.uuid4().hex[:10]} for region in edit])
        self._ask(rejected, 3)
        self._submit(rejected, [])
        self._ask(skipped, 4)
        self._submit(skipped, [], was_cancelled=True)
        self._click(clicked, 5)
        made = self._submit(deleted, self._ask(deleted, 6))
        self._client.request("DELETE", f"/api/annotations/{made['id']}/")
        later = self._submit(accepted, self._ask(accepted, 0, "next"))
        self._client.request("PATCH", f"/api/annotations/{later['id']}/", {"result": later["result"], "lead_time": 9.5})

    def run(self) -> None:
        """A run over four tasks, written to Label Studio; an annotation that begins with its prediction."""
        chosen = ("--tasks", f"{self.tasks[7]}-{self.tasks[10]}", "--expression-field", "say", "--name", "done")
        self._ris("run", "start", "--project", str(self.project), *chosen)
        self._ris("run", "wait", "done", "--timeout", str(WAIT_S))
        self._done = self._count("item")
        [prediction] = self._client.request("GET", f"/api/predictions/?task={self.tasks[7]}")
        result = [{**region, "origin": "prediction"} for region in prediction["result"]]
        body = {"result": result, "parent_prediction": prediction["id"], "lead_time": 3.0}
        self._client.request("POST", f"/api/tasks/{self.tasks[7]}/annotations/", body)

    def ask_what_it_says(self) -> dict[str, Any]:
        """What this version says of the record when all of it has arrived; then Label Studio is asked for the rest, as lists do."""
        _wait(lambda: self._count("webhook", "action = 'ANNOTATION_CREATED'") >= 8)
        _wait(lambda: self._count("webhook_read") == self._count("webhook"))
        said = {
            "project": self.project,
            "tasks": self.tasks,
            "outcomes": [
                dict(row)
                for row in self._rows(
                    "SELECT region, outcome, offered_region, iou, label, expression FROM outcome ORDER BY region, version_id"
                )
            ],
            "run status": json.loads(self._ris("run", "status", "done", "--json")),
        }
        self._ris("corrections", "list", "--project", str(self.project))
        return said

    def die_in_a_run(self) -> None:
        """A run without workers: killed when some items are done, and others are not."""
        chosen = ("--expression", "the biggest thing; the tree", "--name", "running", "--no-push")
        with ThreadPoolExecutor(1) as pool:  # its tasks are done faster than the command ends
            planned = pool.submit(self._ris, "run", "start", "--project", str(self.project), *chosen)
            _wait(lambda: self._count("item", "state = 'done'") >= self._done + 2)
            supervisor = processes.find("worker", self._folder)
            assert supervisor is not None
            worker = processes.find_supervised(supervisor, self._folder)
            for one in (supervisor, worker):
                if one is not None:
                    os.kill(one.pid, signal.SIGKILL)
            planned.result()

    def _ask(self, task: int, exhibit: int, *more: str) -> list[Json]:
        prompt = {"id": f"prompt{task:04}", "from_name": "prompt", "to_name": "image", "type": "textarea"}
        typed = {**prompt, "value": {"text": [GALLERY[exhibit].expression, *more]}, "origin": "manual"}
        return self._send(task, [typed])

    def _click(self, task: int, exhibit: int) -> None:
        offered = self._ask(task, exhibit)
        click = {"id": "click00001", "from_name": "click", "to_name": "image", "type": "keypointlabels"}
        place = {"x": 50.0, "y": 50.0, "width": 0.3, "keypointlabels": ["Click"]}
        self._send(task, [{**click, "value": place, "is_positive": True}])
        self._submit(task, offered)

    def _send(self, task: int, context: Sequence[Json]) -> list[Json]:
        body = {"task": task, "context": {"result": list(context)}}
        answer = self._client.request("POST", f"/api/ml/{self._backend}/interactive-annotating", body)
        assert "errors" not in answer, answer
        return [region for region in answer["data"]["result"] if region["from_name"] == "brush"]

    def _submit(self, task: int, regions: Sequence[Json], **more: Any) -> Json:
        body = {"result": list(regions), "lead_time": 4.5, **more}
        made: Json = self._client.request("POST", f"/api/tasks/{task}/annotations/", body)
        return made

    def _ris(self, *arguments: str) -> str:
        return _ris(self._folder, self._demo, *arguments)

    def _count(self, table: str, where: str = "1") -> int:
        return int(self._rows(f"SELECT count(*) AS n FROM {table} WHERE {where}")[0]["n"])

    def _rows(self, query: str) -> Sequence[Mapping[str, Any]]:
        with closing(sqlite3.connect(self._folder / _DATABASE)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query)]


def _ris(folder: Path, demo: Demo, *arguments: str) -> str:
    settings = {
        "RIS_STATE_DIR": str(folder),
        "LABEL_STUDIO_URL": demo.url,
        "LABEL_STUDIO_API_KEY": demo.secrets.token,
    }
    done = subprocess.run(
        [sys.executable, "-m", "backend", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _data_uri(picture: bytes) -> str:
    image = Pil.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _shrunk(region: Json) -> Json:
    """The region without the upper half of its mask: somebody edited it."""
    from label_studio_sdk.converter import brush

    height, width = region["original_height"], region["original_width"]
    mask = brush.decode_rle(region["value"]["rle"]).reshape(height, width, 4)[..., 3].copy()
    rows = mask.any(axis=1).nonzero()[0]
    mask[: (rows[0] + rows[-1]) // 2] = 0
    return {**region, "value": {**region["value"], "rle": brush.mask2rle(mask)}}


def _wait(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < until, "It took too long."
        time.sleep(0.05)


def _keep(folder: Path, target: Path, said: Mapping[str, Any]) -> None:
    target.mkdir(parents=True)
    with closing(sqlite3.connect(folder / _DATABASE)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    state = target / "state"
    shutil.copytree(
        folder, state, ignore=shutil.ignore_patterns(*LEFT_OUT, "*.log", "*.lock", "*.pid", "*-wal", "*-shm")
    )
    shutil.copy2(folder / "features" / "size", _folder_for(state / "features" / "size"))
    for kind in sorted(one for one in (folder / "features").iterdir() if one.is_dir()):
        for file in sorted(kind.rglob("*.safetensors"), key=lambda one: one.stat().st_size)[:CACHED]:
            kept = state / "features" / file.relative_to(folder / "features")
            shutil.copy2(file, _folder_for(kept))
    engine = open_database(f"sqlite:///{folder / _DATABASE}")
    _dump_postgresql(engine, target / "postgresql.sql.gz")
    engine.dispose()
    (target / "said.json").write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _folder_for(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _dump_postgresql(source: sa.Engine, file: Path) -> None:
    """The same record as PostgreSQL has it: its tables are made by this version, its rows are copied."""
    binaries = postgres.find_binaries()
    assert binaries is not None, "PostgreSQL is not installed: apt install postgresql"
    with postgres.server(binaries) as url:
        copy = open_database(url)
        with source.connect() as old, copy.begin() as new:
            for table in metadata.sorted_tables:
                rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
                if rows:
                    new.execute(sa.insert(table), rows)
            for table in metadata.sorted_tables:
                if "id" in table.c and table.c.id.type.python_type is int:
                    last = f"(SELECT coalesce(max(id), 1) FROM {table.name})"
                    new.execute(sa.text(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), {last})"))
        copy.dispose()
        query = sa.make_url(url).query
        command = [
            str((binaries / "initdb").resolve().parent / "pg_dump"),
            "-h",
            str(query["host"]),
            "-p",
            str(query["port"]),
            "-U",
            "ris",
        ]
        dump = subprocess.run([*command, "--no-owner", "postgres"], check=True, capture_output=True, timeout=60)
    file.write_bytes(gzip.compress(dump.stdout, mtime=0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.freeze", description=__doc__)
    parser.add_argument("target", type=Path, help="a folder that is not there yet")
    freeze(parser.parse_args(arguments).target)


if __name__ == "__main__":
    main()
