"""Real processes, broken on purpose: whoever asks is answered in time, what was accepted is kept, every request comes to an end.

One backend, one supervised worker and one Redis for all tests, each of which leaves them in order. What is seen here is told in
docs/developers/robustness.md.
"""

import base64
import contextlib
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy.exc import IntegrityError

from backend.base import processes
from backend.base.errors import Unreachable
from backend.base.processes import Program
from backend.db.project_store import ProjectConnection
from backend.transport import redis_client, redis_server, worker_registry
from backend.transport.worker_registry import WorkerInfo
from backend.worker.worker import Heartbeat, RisWorker
from tests.toy import toy_png

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
XML = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels></View>"""
USER, PASSWORD = "label-studio", "geheim-password"
TOKEN = "geheim-token"
DEADLINE_S = 15
BUSY_TIMEOUT_S = 3
"""How long a locked database is waited for; 30 s outside tests."""
PATIENCE_S = DEADLINE_S + 10
"""No call may take longer, whatever is broken."""
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def impatient(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module with a short `BUSY_TIMEOUT_S`."""
    code = (
        f"import runpy, sys; from backend.db import database; database.BUSY_TIMEOUT_S = {BUSY_TIMEOUT_S}; "
        f"sys.argv[1:] = {list(arguments)}; runpy.run_module({module!r}, run_name='__main__')"
    )
    return sys.executable, "-c", code


class Site:
    """Backend, supervised worker and Redis in one state folder, and what breaks them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = processes.free_port()
        self.accepted = self.asked = 0
        self.environment = {
            "RIS_STATE_DIR": str(folder),
            "RIS_PROFILE": "toy",
            "PREDICT_DEADLINE": str(DEADLINE_S),
            "PORT": str(self.port),
            "BASIC_AUTH_USER": USER,
            "BASIC_AUTH_PASS": PASSWORD,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", auth=(USER, PASSWORD), timeout=PATIENCE_S, trust_env=False
        )
        self.pool = ThreadPoolExecutor(8)

    def start(self) -> None:
        self.start_redis()
        self.start_worker()
        self.start_backend()
        self.wait_until(self.is_whole)

    def start_redis(self) -> None:
        self.conn = redis_client.connect(redis_server.ensure(None, self.folder))

    def start_worker(self) -> None:
        program = Program("worker", impatient("tests.toy_worker"), self.environment)
        self.worker = processes.launch(processes.supervised(program, self.folder), self.folder)

    def start_backend(self) -> None:
        with (self.folder / "backend.log").open("a") as log:
            self.backend = subprocess.Popen(
                impatient("backend", "serve"),
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until(self.is_healthy)

    def stop(self) -> None:
        processes.stop(self.worker, self.folder)
        self.backend.kill()
        self.backend.wait()
        redis_server.stop(self.folder)
        self.pool.shutdown()
        self.http.close()

    # Asking

    def ask(self, text: str = "the blue square", image: bytes | None = None) -> Future[httpx.Response]:
        """Type an expression on a task of its own; the answer to come."""
        self.asked += 1
        typed = {"type": "textarea", "from_name": "prompt", "id": f"p{self.asked}", "value": {"text": [text]}}
        address = "data:image/png;base64," + base64.b64encode(image or toy_png(40, 40 + 2 * self.asked)).decode()
        body = {
            "tasks": [{"id": self.asked, "project": 7, "data": {"image": address}}],
            "label_config": XML,
            "params": {"context": {"result": [typed]}},
        }
        self.last_question = body
        return self.post("/predict", body)

    def ask_again(self) -> Future[httpx.Response]:
        return self.post("/predict", self.last_question)

    def post(self, path: str, body: dict) -> Future[httpx.Response]:
        return self.pool.submit(self._post, path, body)

    def send_event(self) -> httpx.Response:
        return self._post("/webhook", {"action": "ANNOTATION_CREATED", "project": {"id": 7, "token": TOKEN}})

    def _post(self, path: str, body: dict) -> httpx.Response:
        answer = self.http.post(path, json=body)
        self.accepted += path == "/webhook" and answer.status_code == 200
        return answer

    def metric(self, line: str) -> float:
        found = [row for row in self.http.get("/metrics").text.splitlines() if row.startswith(line + " ")]
        return float(found[0].split()[-1]) if found else 0.0

    # Looking

    def is_healthy(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return self.http.get("/health").status_code == 200
        return False

    def is_whole(self) -> bool:
        return self.is_healthy() and any(info.state == "ready" for info in worker_registry.list_workers(self.conn))

    def query(self, sql: str, *values: object) -> list[tuple]:
        with contextlib.closing(sqlite3.connect(self.folder / "ris.sqlite3", timeout=PATIENCE_S)) as db, db:
            return db.execute(sql, values).fetchall()

    def state_of_last(self) -> str:
        [(state,)] = self.query("SELECT state FROM request WHERE task = ?", str(self.asked))
        return state

    def log(self) -> str:
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.rglob("*.log")))

    def wait_until(self, is_so: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, self.log()[-5000:]
            time.sleep(0.05)

    # Breaking

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """The worker stands still in the middle of the next job, until the end of the block."""
        (self.folder / "hold").touch()
        try:
            yield
        finally:
            (self.folder / "hold").unlink()
            (self.folder / "holding").unlink(missing_ok=True)

    def wait_until_held(self) -> None:
        self.wait_until((self.folder / "holding").exists)

    @contextlib.contextmanager
    def locked_database(self) -> Iterator[None]:
        """Another process's transaction keeps everybody from writing."""
        with contextlib.closing(sqlite3.connect(self.folder / "ris.sqlite3", isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            yield
            db.execute("ROLLBACK")

    @contextlib.contextmanager
    def no_room(self, pid: int, longest_file_bytes: int = 0) -> Iterator[None]:
        """A process cannot make a file longer than this: what a full disk is to it, its log included."""
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (longest_file_bytes, resource.RLIM_INFINITY))
        yield
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)

    def kill_redis(self) -> None:
        pid = self.conn.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        self.wait_until(lambda: not processes.process_exists(pid))

    def worker_pid(self) -> int:
        return processes.find_supervised(self.worker, self.folder).pid


@pytest.fixture(scope="module")
def _site():
    folder = Path(tempfile.mkdtemp(prefix="ris-")).resolve()  # a short name: there is a unix socket in it
    made = Site(folder)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.fixture
def site(_site):
    """Everything runs, before a test and again after it."""
    assert regions_of(_site.ask().result()) == ["the blue square"]
    yield _site
    _site.wait_until(_site.is_whole)
    assert regions_of(_site.ask("the red square").result()) == ["the red square"]


def regions_of(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    return [region["meta"]["text"][0] for region in result["result"]]


def error_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.json()["message"]
    return answer.status_code, answer.json()["error"]


UNREACHABLE = (503, "Unreachable")


def test_backend_killed_while_somebody_waits(site):
    with site.holding():
        waiting = site.ask()
        site.wait_until_held()
        site.backend.kill()
        assert isinstance(waiting.exception(), httpx.HTTPError)
        site.start_backend()
    site.wait_until(lambda: site.state_of_last() == "done")
    assert regions_of(site.ask_again().result()) == ["the blue square"]


def test_backend_told_to_stop_answers_who_waits_first(site):
    with site.holding():
        waiting = site.ask()
        site.wait_until_held()
        site.backend.terminate()
        time.sleep(0.5)
        assert not waiting.done()
    assert regions_of(waiting.result()) == ["the blue square"]
    assert site.backend.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    site.start_backend()


def test_worker_killed_in_the_middle_of_a_job(site):
    with site.holding():
        waiting = site.ask()
        site.wait_until_held()
        os.kill(site.worker_pid(), signal.SIGKILL)
    assert regions_of(waiting.result()) == ["the blue square"]
    assert site.query("SELECT state, attempts FROM request WHERE task = ?", str(site.asked)) == [("done", 2)]
    assert site.query("SELECT count(*) FROM answer WHERE task = ?", str(site.asked)) == [(1,)]
    assert "jobs of dead workers put back" in site.log()


@pytest.mark.parametrize("is_lost", [False, True], ids=["its file is there", "its file is lost"])
def test_redis_killed_in_the_middle_of_a_job(site, is_lost):
    with site.holding():
        waiting = site.ask()
        site.wait_until_held()
        site.kill_redis()
        assert error_of(waiting.result()) == UNREACHABLE
        assert error_of(site.ask("the red square").result()) == UNREACHABLE
        assert site.post("/setup", {"project": "7.1", "schema": XML}).result().status_code == 200
        assert site.send_event().status_code == 200
        assert site.metric("ris_redis_up") == 0
        if is_lost:
            shutil.rmtree(site.folder / "appendonlydir", ignore_errors=True)
            (site.folder / "appendonly.aof").unlink(missing_ok=True)
        site.start_redis()
    site.wait_until(site.is_whole)
    assert site.metric("ris_redis_up") == 1
    assert "Redis does not answer" in site.log()


def test_database_locked_for_a_moment_keeps_everybody_waiting_and_loses_nothing(site):
    with site.locked_database():
        waiting = [site.post("/webhook", {"action": "ANNOTATION_CREATED"}) for _ in range(3)]
        asked = site.ask()
        time.sleep(1)
        assert site.is_healthy()
        assert not any(answer.done() for answer in (*waiting, asked))
    assert [answer.result().status_code for answer in waiting] == [200] * 3
    assert regions_of(asked.result()) == ["the blue square"]


def test_database_locked_for_long_is_said(site):
    with site.locked_database():
        asked, setup = site.ask(), site.post("/setup", {"project": "7.1", "schema": XML, "access_token": TOKEN})
        assert error_of(site.send_event()) == UNREACHABLE
        assert error_of(asked.result()) == UNREACHABLE
        assert "database is locked" in asked.result().json()["message"]
        assert setup.result().json()["model_version"].startswith("toy.")  # Label Studio repeats it
    assert site.send_event().status_code == 200
    assert site.metric('ris_http_requests_total{endpoint="/webhook",status="503"}') >= 1
    assert "database is locked" in site.log()


def test_database_locked_while_a_worker_would_write_its_answer(site):
    with site.holding():
        waiting = site.ask()
        site.wait_until_held()
        lock = site.locked_database()
        lock.__enter__()
    assert waiting.result().status_code in (200, 503)
    lock.__exit__(None, None, None)


def test_full_disk_costs_the_cache_entry_only(site):
    site.query("PRAGMA wal_checkpoint(TRUNCATE)")
    database = max(file.stat().st_size for file in site.folder.glob("ris.sqlite3*"))
    image = toy_png(200, 300)
    (site.folder / "large-features").touch()  # 8 MB
    with site.no_room(site.worker_pid(), database + (1 << 20)):
        assert regions_of(site.ask("the blue square", image).result()) == ["the blue square"]
    assert "an encoded image cannot be kept" in site.log()
    assert regions_of(site.ask("the red square", image).result()) == ["the red square"]


def test_full_disk_is_said_by_the_backend_and_stops_nothing_else(site):
    with site.no_room(site.backend.pid):
        assert error_of(site.send_event()) == UNREACHABLE
        assert error_of(site.ask().result()) == UNREACHABLE
        assert site.is_healthy()
        assert site.metric('ris_http_requests_total{endpoint="/webhook",status="503"}') >= 1
    assert site.send_event().status_code == 200


def test_full_disk_of_the_worker_ends_in_an_empty_answer(site):
    with site.no_room(site.worker_pid()):
        assert regions_of(site.ask().result()) == []


def test_caller_who_hangs_up_is_no_fault(site):
    with socket.create_connection(("127.0.0.1", site.port)) as caller:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\nContent-Length: 1000\r\n\r\n"
        caller.sendall(head.encode() + b'{"tasks"')
    site.wait_until(lambda: site.metric('ris_http_requests_total{endpoint="/predict",status="499"}') == 1)
    assert "unexpected" not in site.log()


def test_nothing_accepted_was_lost_and_every_request_came_to_an_end(site):
    assert site.query("SELECT count(*) FROM webhook") == [(site.accepted,)]
    open_requests = "FROM request WHERE state IN ('queued', 'running')"
    site.query("UPDATE request SET expires_at = 0 WHERE id IN (SELECT id " + open_requests + ")")  # time has passed
    site.wait_until(lambda: site.query("SELECT count(*) " + open_requests) == [(0,)])


def test_no_secret_is_in_any_log(site):
    assert site.send_event().status_code == 200
    assert site.ask().result().status_code == 200
    log = site.log()
    assert "toy" in log  # the worker's model: there is something to look through
    assert "geheim" not in log


def test_database_that_cannot_be_tidied_does_not_end_the_worker(redis_url):
    tried = []

    def tidy():
        tried.append(1)
        raise Unreachable("The database cannot be used (locked).")

    conn = redis_client.connect(redis_url)
    info = WorkerInfo("w", worker_registry.this_machine(), os.getpid(), time.time(), "toy", "cpu")
    RisWorker(conn, Heartbeat(conn, info), tidy).run_maintenance_tasks()
    assert tried == [1]


def test_error_of_the_database_tells_no_values(store):
    with pytest.raises(IntegrityError) as caught:
        store.projects.save_connection(ProjectConnection(1, None, TOKEN, label_config=None))
    assert TOKEN not in str(caught.value)


def test_supervisor_goes_on_where_the_disk_is_full():
    """The record of its process cannot be written, nor its log."""
    command = (sys.executable, "-m", "backend.base.processes", "name", "/proc/none", "sh", "-c", "exit 1")
    with open("/dev/full", "w") as full:
        supervisor = subprocess.Popen(command, cwd=ROOT, stdout=full, stderr=full)
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                supervisor.wait(3)
        finally:
            supervisor.kill()
            supervisor.wait()
