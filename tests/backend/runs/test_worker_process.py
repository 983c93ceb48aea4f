"""Real worker processes on a run: told to stop, killed, and an annotator who comes in between."""

import resource
import signal

import pytest

from backend.runs.item import PlannedItem
from backend.runs.queries import Query
from backend.runs.spec import RunSpec
from backend.runs.store import RunStore
from backend.transport import queueing, worker_registry
from tests.backend.runs.conftest import picture
from tests.backend.worker.test_worker import BODY, CONFIG, Bench
from tests.toy import toy_segmenter

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(store, redis_url, tmp_path):
    made = Bench(store, redis_url, tmp_path / "state")  # the folder of the fixture's database
    yield made
    made.close()


@pytest.fixture
def run(store):
    """The ledger, and a run over three pictures that writes nothing."""
    run_store = RunStore(store.engine)
    spec = RunSpec(1, expressions=("the red square",), push=False)
    made = run_store.add_run(spec, toy_segmenter().model_version, "planning", label_config=CONFIG)
    run_store.items.add(made.id, [PlannedItem(task, picture(task), (Query("the red square"),)) for task in (1, 2, 3)])
    run_store.change(made.id, "running", None)
    return run_store, made


def test_told_to_stop_worker_finishes_its_item_and_another_does_the_rest(bench, run):
    run_store, made = run
    bench.touch("hold")
    process = bench.start_worker()
    bench.wait_until_held()
    process.terminate()
    bench.remove("hold")
    assert process.wait(30) == 0, bench.log()
    assert run_store.counts.by_state(made.id) == {"done": 1, "new": 2}
    bench.start_worker()
    bench.wait_until(lambda: run_store.get(made.id).state == "done")
    assert run_store.counts.by_state(made.id) == {"done": 3}


def test_item_of_a_killed_worker_is_done_by_another(bench, run):
    run_store, made = run
    bench.touch("hold")
    process = bench.start_worker()
    bench.wait_until_held()
    process.send_signal(signal.SIGKILL)
    process.wait()
    bench.remove("hold")
    bench.start_worker()
    bench.wait_until(lambda: run_store.counts.by_state(made.id) == {"done": 3})
    assert "a worker died over an item" in bench.log()


def test_full_disk_holds_a_run_until_there_is_room_again(bench, run):
    run_store, made = run
    bench.touch("hold")
    process = bench.start_worker()
    bench.wait_until_held()
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    bench.remove("hold")
    bench.wait_until(lambda: worker_registry.list_workers(bench.conn)[0].jobs >= 2)
    assert "done" not in run_store.counts.by_state(made.id)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
    bench.wait_until(lambda: run_store.counts.by_state(made.id) == {"done": 3})
    assert process.poll() is None


def test_annotator_is_answered_between_two_items_of_a_run(bench, run):
    run_store, made = run
    bench.touch("hold")
    bench.start_worker()
    bench.wait_until_held()
    typed = bench.store.add_request(
        "interactive", "9", {**BODY, "data": {"image": picture(9)}}, lifetime_s=60, project=1
    )
    queueing.enqueue(bench.conn, queueing.SEGMENT_TASK, typed)
    bench.remove("hold")
    assert queueing.wait_for(bench.conn, typed, 30), bench.log()
    answered_at = bench.store.get_request(typed).finished_at
    bench.wait_until(lambda: run_store.counts.by_state(made.id) == {"done": 3})
    assert run_store.counts.answered_since(made.id, answered_at) == 2
