"""More annotators than usual wait at once, on a real Redis and a real database."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from backend.http.app import create_app
from backend.settings.environment import Settings
from backend.transport import queueing, worker_registry
from tests.backend.http.test_app import ask, task

pytestmark = pytest.mark.slow

MANY = 160
WITH_MESSAGES = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <TextArea name="ris_message" toName="image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels></View>"""


@pytest.fixture
def make_client(tmp_path, redis_url):
    opened = []

    def make(max_queued: int) -> TestClient:
        settings = Settings(
            _env_file=None,
            RIS_STATE_DIR=tmp_path,
            REDIS_URL=redis_url,
            RIS_PROFILE="toy",
            PREDICT_DEADLINE=60,
            MAX_QUEUED=max_queued,
        )
        client = TestClient(create_app(settings), raise_server_exceptions=False).__enter__()
        opened.append(client)
        worker = worker_registry.WorkerInfo("w", "elsewhere", 1, time.time(), "toy", "cpu", "toy.v1", "ready")
        worker_registry.report_worker(client.app.state.predict_service.conn, worker)
        return client

    yield make
    for client in opened:
        client.__exit__(None, None, None)


def ask_all(client: TestClient, number: int, waiting: int, **changes) -> list:
    """Ask that many prompts at once, each of a task of its own; answers, once so many have waited that all were there."""

    def post(i: int):
        return client.post("/predict", json=ask("a", tasks=[task(i)], prompt_id=f"p{i}", **changes))

    conn = client.app.state.predict_service.conn
    with ThreadPoolExecutor(number) as pool:
        answers = [pool.submit(post, i) for i in range(number)]
        deadline = time.monotonic() + 50
        while (
            queueing.queue_lengths(conn)["interactive"] < waiting or sum(a.done() for a in answers) < number - waiting
        ):
            assert time.monotonic() < deadline, (queueing.queue_lengths(conn), Counter(a.done() for a in answers))
            worker_registry.report_worker(
                conn, worker_registry.WorkerInfo("w", "elsewhere", 1, 1.0, "toy", "cpu", "v", "ready")
            )
            time.sleep(0.1)
        for job in conn.lrange("rq:queue:interactive", 0, -1):
            queueing.announce(conn, job.decode())
        return [answer.result() for answer in answers]


def test_all_that_may_wait_do_and_nobody_blames_redis(make_client):
    with capture_logs() as logged:
        answers = ask_all(make_client(max_queued=MANY + 1), MANY, waiting=MANY)
    assert Counter(answer.status_code for answer in answers) == {200: MANY}
    assert [entry for entry in logged if "Redis" in str(entry.get("error"))] == []


def test_more_than_may_wait_are_told_so_at_once(make_client):
    answers = ask_all(make_client(max_queued=100), MANY, waiting=100)
    assert Counter(answer.status_code for answer in answers) == {200: 100, 503: MANY - 100}
    assert {answer.json()["error"] for answer in answers if answer.status_code == 503} == {"Busy"}


def test_more_than_may_wait_are_told_so_in_the_page(make_client):
    answers = ask_all(make_client(max_queued=20), 60, waiting=20, label_config=WITH_MESSAGES)
    told = [str(answer.json()["results"][0]["result"]) for answer in answers]
    assert sum("too busy" in text or "Busy" in text for text in told) == 40
    assert "Redis" not in "".join(told)
