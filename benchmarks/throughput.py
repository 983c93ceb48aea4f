"""Images an hour of a whole run: fetched from a real Label Studio, answered by the models of `demo`, written back as predictions.

One worker of one thread, then two. Another checkout can be measured the same way: only its commands are used.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from PIL import Image

from backend.base import processes
from backend.base.errors import Unreachable
from backend.label_studio.client import LabelStudioClient
from backend.transport import redis_client, redis_server
from benchmarks.label_studio_server import LabelStudioServer, running
from benchmarks.stage_probe import CONFIG
from demo.scenes import make_scene

FIRST_SEED = 900
EXPRESSION = "the largest thing"
ANSWER_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 1200.0
POLL_S = 0.25


def measure(versions: Mapping[str, Path], images: int, workers: Sequence[int] = (1, 2)) -> dict[str, dict[int, float]]:
    """Images an hour by version and number of workers.

    Args:
        versions: Checkouts by name.
        images: Images of each run, which nobody encoded before.

    Raises:
        Unreachable: If Label Studio is not installed, a service does not start, or a run does not end.
    """
    with tempfile.TemporaryDirectory(prefix="rb-") as folder, running(Path(folder)) as server:
        studio = LabelStudioClient(server.url, server.token, ANSWER_TIMEOUT_S)
        return {
            name: {count: _measure(code, server, studio, count, images) for count in workers}
            for name, code in versions.items()
        }


def _measure(code: Path, server: LabelStudioServer, studio: LabelStudioClient, workers: int, images: int) -> float:
    project = studio.request("POST", "/api/projects/", {"title": "Bench", "label_config": CONFIG})["id"]
    addresses = [_upload(server, project, seed) for seed in range(FIRST_SEED, FIRST_SEED + images)]
    studio.request("POST", f"/api/projects/{project}/import", [{"image": one} for one in addresses])
    with _services(code, server, workers) as ris:
        ris("connect", "--project", str(project), "--yes")
        began = time.perf_counter()
        ris("run", "start", "--project", str(project), "--expression", EXPRESSION)
        while _count_predictions(studio, project) < images:
            if time.perf_counter() - began > RUN_TIMEOUT_S:
                raise Unreachable(f"A run of {images} images by {code} has not ended.", "Ask for fewer images.")
            time.sleep(POLL_S)
        return images * 3600 / (time.perf_counter() - began)


@contextmanager
def _services(code: Path, server: LabelStudioServer, workers: int) -> Iterator["_Commands"]:
    with tempfile.TemporaryDirectory(prefix="rb-") as folder:
        ris = _Commands(code, server, Path(folder))
        more: list[subprocess.Popen[bytes]] = []
        try:
            ris("up")
            more += [ris.start("worker") for _ in range(workers - 1)]
            _wait_for_workers(Path(folder), workers)
            yield ris
        finally:
            for one in more:
                one.terminate()
                one.wait()
            ris("down")


def _wait_for_workers(folder: Path, count: int) -> None:
    conn = redis_client.connect(redis_server.resolve_url(None, folder))
    while sum(conn.hget(key, "state") == b"ready" for key in conn.scan_iter(match="ris:worker:*")) < count:
        time.sleep(POLL_S)


class _Commands:
    """`ris` of a checkout, with a state folder of its own."""

    def __init__(self, code: Path, server: LabelStudioServer, folder: Path) -> None:
        self._code, self._program = code, (sys.executable, "-m", "backend")
        self._env = {
            **os.environ,
            "RIS_STATE_DIR": str(folder),
            "RIS_PROFILE": "demo",
            "PORT": str(processes.free_port()),
            "LABEL_STUDIO_URL": server.url,
            "LABEL_STUDIO_API_KEY": server.token,
            "OMP_NUM_THREADS": "1",
            "THREADS": "1",
            "PYTHONPATH": str(code),
        }

    def __call__(self, *arguments: str) -> str:
        """Run a command to its end; what it printed."""
        done = subprocess.run([*self._program, *arguments], cwd=self._code, env=self._env, capture_output=True)
        if done.returncode:
            raise Unreachable(f"`ris {' '.join(arguments)}` failed: {done.stderr.decode().strip()}", "Mend that first.")
        return done.stdout.decode()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on."""
        return subprocess.Popen(
            [*self._program, *arguments],
            cwd=self._code,
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _upload(server: LabelStudioServer, project: int, seed: int) -> str:
    file = io.BytesIO()
    Image.fromarray(make_scene(seed).image).save(file, "PNG")
    headers = {"Authorization": f"Token {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=ANSWER_TIMEOUT_S, trust_env=False) as client:
        answer = client.post(
            f"/api/projects/{project}/import?commit_to_project=false",
            files={"file": (f"{seed}.png", file.getvalue())},
        )
        [number] = answer.raise_for_status().json()["file_upload_ids"]
        return f"/data/{client.get(f'/api/import/file-upload/{number}').raise_for_status().json()['file']}"


def _count_predictions(studio: LabelStudioClient, project: int) -> int:
    return int(studio.request("GET", f"/api/projects/{project}/")["total_predictions_number"])
