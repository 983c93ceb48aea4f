"""The status of a bulk run, as the commands print it."""

from typing import TYPE_CHECKING

from backend.base.errors import Unreachable
from backend.settings.environment import Settings

if TYPE_CHECKING:
    from backend.runs.store import RunStore
    from backend.runs.summary import RunStatus


def show(settings: Settings, store: "RunStore", run_id: str) -> None:
    """Print the status of a run."""
    print(look(settings, store, run_id).to_text())


def look(settings: Settings, store: "RunStore", run_id: str) -> "RunStatus":
    """The status of a run; without the number of workers if Redis does not answer."""
    from backend.runs import summary

    return summary.look(store, run_id, count_workers(settings))


def count_workers(settings: Settings) -> int | None:
    """How many workers are ready; None if Redis does not answer."""
    from backend.transport import redis_client, redis_server, worker_registry

    try:
        conn = redis_client.connect(redis_server.resolve_url(settings.redis_url, settings.state_dir))
        return sum(worker.state == "ready" for worker in worker_registry.list_workers(conn))
    except Unreachable:
        return None
