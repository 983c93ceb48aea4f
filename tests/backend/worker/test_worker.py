import base64
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rq import Queue
from rq.exceptions import DeserializationError
from rq.job import Callback
from rq.serializers import JSONSerializer

from backend.base.errors import BadSettings
from backend.db.measured_times import read_encoding_times
from backend.inference.state_format import refuse_beside_others, state_format
from backend.interactive.predict import open_predict_service
from backend.settings.environment import Settings
from backend.transport import queueing, redis_client, redis_server, worker_registry
from backend.transport.queueing import ENCODE_TASK, SEGMENT_TASK
from backend.worker import jobs
from backend.worker.worker import AllowedJob, JobRefused
from tests.toy import toy_png

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
CONFIG = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels></View>"""
BODY = {
    "data": {"image": "data:image/png;base64," + base64.b64encode(toy_png()).decode()},
    "label_config": CONFIG,
    "hostname": None,
    "expressions": ["the blue square"],
    "extra_params": {},
}


JOBS, CALLS_A_JOB = 5, 40
"""Commands that Redis may get for a job, from all sides; RQ's own way to run one took 70."""
POLLS = {"lmove", "blmove", "blpop", "info", "scan", "set"}
"""Commands whose number hangs on how long something takes."""


def count_calls(conn) -> int:
    names = {
        name.removeprefix("cmdstat_").partition("|")[0]: of["calls"] for name, of in conn.info("commandstats").items()
    }
    return sum(calls for name, calls in names.items() if name not in POLLS)


class Bench:
    """A store, a Redis and any number of worker processes on them."""

    def __init__(self, store, redis_url: str, folder: Path) -> None:
        self.store, self.conn, self.folder = store, redis_client.connect(redis_url), folder
        self.redis_url = redis_url
        self._env = {
            **os.environ,
            "REDIS_URL": redis_url,
            "RIS_STATE_DIR": str(folder),
            "RIS_PROFILE": "toy",
            "OMP_NUM_THREADS": "1",
        }
        self._processes: list[subprocess.Popen] = []

    def start_worker(self, is_awaited: bool = True) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.toy_worker"]
        with (self.folder / "worker.log").open("a") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT)
        self._processes.append(process)
        if is_awaited:
            self.wait_until(
                lambda: any(
                    info.pid == process.pid and info.state == "ready"
                    for info in worker_registry.list_workers(self.conn)
                )
            )
        return process

    def ask(
        self, kind="interactive", function_name=SEGMENT_TASK, queue="interactive", timeout_s=60, text="the blue square"
    ) -> str:
        request_id = self.store.add_request(kind, "5", {**BODY, "expressions": [text]}, lifetime_s=60, project=1)
        return queueing.enqueue(self.conn, function_name, request_id, queue, timeout_s)

    def state_of(self, request_id: str) -> str:
        return self.store.get_request(request_id).state

    def touch(self, name: str) -> None:
        (self.folder / name).touch()

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def wait_until_held(self) -> None:
        self.wait_until((self.folder / "holding").exists)

    def wait_until(self, is_so: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def bench(store, redis_url, tmp_path):
    made = Bench(store, redis_url, tmp_path / "state")  # the folder of the fixture's database
    yield made
    made.close()


def test_worker_answers_reports_itself_and_stops_when_told(bench):
    process = bench.start_worker()
    [info] = worker_registry.list_workers(bench.conn)
    assert (info.pid, info.profile, info.device, info.state) == (process.pid, "toy", "auto", "ready")
    assert info.model_version.startswith("toy.global_local.")
    assert worker_registry.model_version(bench.conn) == info.model_version
    request_id = bench.ask()
    assert queueing.wait_for(bench.conn, request_id, 30)
    request = bench.store.get_request(request_id)
    assert request.state == "done"
    assert request.answer["result"][0]["meta"]["text"] == ["the blue square"]
    assert request.answer["model_version"] == info.model_version
    bench.wait_until(lambda: worker_registry.list_workers(bench.conn)[0].jobs == 1)
    bench.conn.config_resetstat()
    assert all(queueing.wait_for(bench.conn, bench.ask(), 30) for _ in range(JOBS))
    assert count_calls(bench.conn) <= JOBS * CALLS_A_JOB
    process.terminate()
    assert process.wait(20) == 0, bench.log()
    assert worker_registry.list_workers(bench.conn) == []
    assert [key for key in bench.conn.keys("rq:*") if b"rq:workers" not in key and b"rq:worker:" not in key] == [
        b"rq:queues"
    ]
    assert "the blue square" in bench.log()


def test_job_of_a_killed_worker_is_finished_by_the_next_one(bench):
    bench.touch("hold")
    first = bench.start_worker()
    request_id = bench.ask()
    bench.wait_until_held()
    assert bench.state_of(request_id) == "running"
    first.send_signal(signal.SIGKILL)
    first.wait()
    bench.remove("hold")
    bench.start_worker()
    assert queueing.wait_for(bench.conn, request_id, 30), bench.log()
    request = bench.store.get_request(request_id)
    assert (request.state, request.attempts) == ("done", 2)
    assert bench.store.counts().regions == 1
    assert queueing.recover(bench.conn) == []


def test_told_to_stop_worker_finishes_its_job_and_leaves_the_others(bench):
    bench.touch("hold")
    process = bench.start_worker()
    first, second = bench.ask(), bench.ask()
    bench.wait_until_held()
    process.terminate()
    time.sleep(0.3)
    assert process.poll() is None
    bench.remove("hold")
    assert process.wait(20) == 0, bench.log()
    assert (bench.state_of(first), bench.state_of(second)) == ("done", "queued")
    assert queueing.queue_lengths(bench.conn)["interactive"] == 1


def test_interactive_jobs_overtake_bulk_jobs(bench):
    bulk = [bench.ask("encode", ENCODE_TASK, "bulk") for _ in range(3)]
    interactive = bench.ask()
    bench.start_worker()
    for request_id in (*bulk, interactive):
        assert queueing.wait_for(bench.conn, request_id, 30)
    finished = {request_id: bench.store.get_request(request_id).finished_at for request_id in (*bulk, interactive)}
    assert min(finished, key=finished.get) == interactive
    assert [bench.state_of(request_id) for request_id in bulk] == ["done"] * 3


def test_worker_is_heard_of_while_it_loads_and_while_it_works(bench):
    bench.touch("hold-loading")
    bench.start_worker(is_awaited=False)
    bench.wait_until_held()
    [loading] = worker_registry.list_workers(bench.conn)
    assert (loading.state, loading.model_version) == ("loading", "")
    request_id = bench.ask()
    bench.remove("holding")
    bench.touch("hold")
    bench.remove("hold-loading")
    bench.wait_until_held()
    [working] = worker_registry.list_workers(bench.conn)
    bench.wait_until(
        lambda: worker_registry.list_workers(bench.conn)[0].last_seen > working.last_seen + 0.5, timeout_s=5
    )
    assert bench.state_of(request_id) == "running"


def test_a_worker_says_which_picture_it_encodes_and_how_long_that_took(bench):
    bench.start_worker()
    bench.touch("hold")
    request_id = bench.ask()
    bench.wait_until_held()
    [busy] = worker_registry.list_workers(bench.conn)
    assert (busy.encoding, busy.encode_s) == ("1/5", 0.0)
    assert worker_registry.encoding_left_s([busy], "1/5", time.time()) == math.inf
    time.sleep(0.3)
    bench.remove("hold")
    assert queueing.wait_for(bench.conn, request_id, 30)
    [free] = worker_registry.list_workers(bench.conn)
    assert (free.encoding, free.encoding_since) == ("", 0.0)
    assert 0.3 <= free.encode_s < 60
    assert worker_registry.encoding_left_s([free], "1/5", time.time()) is None
    [kept] = read_encoding_times(f"sqlite:///{bench.folder / 'ris.sqlite3'}")["toy"]
    assert (kept.images, kept.median_s) == (1, pytest.approx(free.encode_s))


def test_worker_is_refused_beside_one_of_another_version(bench):
    """It would migrate the database under that one, which reads other tables and files."""
    former = worker_registry.WorkerInfo("old-1", "elsewhere/pid", 1, time.time(), "toy", "cpu")
    with pytest.raises(BadSettings, match="old-1 on elsewhere"):
        refuse_beside_others([former, replace(former, name="new", state_format=state_format())])
    gone = replace(former, machine=worker_registry.this_machine(), pid=2**22 + 1)
    refuse_beside_others([gone, replace(former, state_format=state_format())])
    worker_registry.report_worker(bench.conn, former)
    assert bench.start_worker(is_awaited=False).wait(60) != 0
    assert "old-1 on elsewhere" in bench.log()
    settings = Settings(_env_file=None, RIS_STATE_DIR=bench.folder, REDIS_URL=bench.redis_url)
    with pytest.raises(BadSettings, match="old-1 on elsewhere"):
        open_predict_service(settings)  # as the backend starts


def test_superseded_request_is_dropped_without_work(bench):
    older, newer = bench.ask(), bench.ask()
    bench.store.supersede(1, "5", None, newer)
    bench.start_worker()
    assert queueing.wait_for(bench.conn, older, 30)
    assert queueing.wait_for(bench.conn, newer, 30)
    assert (bench.state_of(older), bench.state_of(newer)) == ("superseded", "done")
    assert bench.store.get_request(older).attempts == 0
    assert f"superseded by {newer}" in bench.log()


def test_job_that_overruns_its_time_fails_and_the_worker_goes_on(bench):
    bench.touch("hold")
    bench.start_worker()
    slow = bench.ask(timeout_s=1)
    assert queueing.wait_for(bench.conn, slow, 30)
    assert "JobTimeoutException" in bench.store.get_request(slow).error
    bench.remove("hold")
    next_one = bench.ask()
    assert queueing.wait_for(bench.conn, next_one, 30)
    assert (bench.state_of(slow), bench.state_of(next_one)) == ("failed", "done")


def test_job_that_cannot_be_interrupted_ends_the_process_and_is_taken_up_again(bench):
    bench.touch("hold-deaf")
    process = bench.start_worker()
    request_id = bench.ask(timeout_s=1)
    assert process.wait(30) == 70
    assert "overran its time" in bench.log()
    bench.remove("hold-deaf")
    bench.start_worker()
    assert queueing.wait_for(bench.conn, request_id, 30)
    assert bench.state_of(request_id) == "done"


def test_lost_redis_ends_the_worker_unasked(bench, tmp_path):
    folder = tmp_path / "r"
    own = Bench(bench.store, redis_server.ensure(None, folder), bench.folder)
    try:
        process = own.start_worker()
        redis_server.stop(folder)
        assert process.wait(60) not in (0, None)
    finally:
        own.close()


def _jobs_of_an_attacker(conn, witness: Path) -> list[str]:
    """Jobs that would each make the file `witness` if anything that they name were called."""
    queue = Queue("interactive", connection=conn, serializer=JSONSerializer)
    touch = f"touch {witness}"
    queue.enqueue("os.system", touch, job_id="function")
    queue.enqueue(
        SEGMENT_TASK, "x", job_id="callback", on_failure=Callback("os.system"), on_success=Callback("os.system")
    )
    queue.enqueue("tests.backend.attack.run", job_id="module")
    queue.enqueue(SEGMENT_TASK, "x", "y", job_id="arguments")
    queue.enqueue("backend.worker.jobs.wiring.service", job_id="neighbour")
    Queue("interactive", connection=conn).enqueue("os.system", touch, job_id="pickled")
    return ["function", "callback", "module", "arguments", "neighbour", "pickled"]


def test_jobs_of_others_are_refused_and_logged_and_nothing_that_they_name_is_imported(bench, tmp_path):
    witness = tmp_path / "witness"
    bench.start_worker()
    attacks = _jobs_of_an_attacker(bench.conn, witness)
    for name in attacks:
        assert queueing.wait_for(bench.conn, name, 30), bench.log()
    assert not witness.exists()
    log = bench.log()
    assert "asks for the function 'os.system'" in log
    assert "asks for the function 'tests.backend.attack.run'" in log
    assert "No module named" not in log
    request_id = bench.ask()
    assert queueing.wait_for(bench.conn, request_id, 30)
    assert bench.state_of(request_id) == "done"


def test_job_that_cannot_be_read_is_dropped(bench):
    bench.start_worker()
    bench.conn.rpush("rq:queue:interactive", "gone", "damaged")
    bench.conn.hset("rq:job:damaged", mapping={"created_at": "yesterday", "data": b"x", "timeout": "soon"})
    request_id = bench.ask()
    assert queueing.wait_for(bench.conn, request_id, 30), bench.log()
    assert bench.log().count("cannot be read and is dropped") == 2
    bench.wait_until(lambda: bench.conn.keys("ris:taken:*") == [], timeout_s=10)  # after the word that it is over


def a_job(conn, function_name: str, *args: object, **kwargs: object) -> AllowedJob:
    return AllowedJob.create(
        function_name, args=args, kwargs=kwargs, connection=conn, serializer=JSONSerializer, id="j"
    )


def test_allowed_job_is_the_function_of_that_name(redis_url):
    conn = redis_client.connect(redis_url)
    assert a_job(conn, SEGMENT_TASK, "r1").func is jobs.segment_task
    assert a_job(conn, ENCODE_TASK, "r1").func is jobs.encode_task


REFUSED = {
    "another function": ("os.system", ("ls",), {}),
    "another function of jobs": ("backend.worker.jobs.wiring", ("r1",), {}),
    "no argument": (SEGMENT_TASK, (), {}),
    "two arguments": (SEGMENT_TASK, ("r1", "r2"), {}),
    "not an id": (SEGMENT_TASK, ({"a": 1},), {}),
    "by keyword": (SEGMENT_TASK, (), {"request_id": "r1"}),
}


@pytest.mark.parametrize(("name", "args", "kwargs"), REFUSED.values(), ids=REFUSED)
def test_job_that_is_none_of_ours_is_refused(redis_url, name, args, kwargs):
    with pytest.raises(JobRefused, match="Job j"):
        _ = a_job(redis_client.connect(redis_url), name, *args, **kwargs).func


def test_names_of_jobs_are_those_that_the_queue_is_given_and_those_of_version_0_1():
    functions = {f"{function.__module__}.{function.__qualname__}": function for function in jobs.ALLOWED.values()}
    old_names = {
        name.replace("backend.worker.jobs.", "backend.jobs."): function for name, function in functions.items()
    }
    assert functions | old_names == jobs.ALLOWED


def test_payload_that_is_not_json_is_not_unpickled(redis_url):
    job = a_job(redis_client.connect(redis_url), SEGMENT_TASK, "r1")
    job.data = pickle.dumps(("os.system", None, ("ls",), {}))
    with pytest.raises(DeserializationError):
        _ = job.func
