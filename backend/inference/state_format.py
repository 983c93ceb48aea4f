"""What processes that share a database and a feature cache must agree on."""

from collections.abc import Iterable

from backend.base.errors import BadSettings
from backend.db.database import newest_revision
from backend.inference.feature_cache import FORMAT
from backend.transport import worker_registry
from backend.transport.worker_registry import WorkerInfo


def state_format() -> str:
    """What this program expects of the state that processes share."""
    return f"tables {newest_revision()}, cache {FORMAT.version}"


def refuse_beside_others(workers: Iterable[WorkerInfo]) -> None:
    """Refuse to start while workers of another version run: this program migrates the database, and they know other tables and files.

    Raises:
        BadSettings: If there are any, with their names.
    """
    own = state_format()
    others = [info for info in workers if info.state_format != own and worker_registry.is_running(info)]
    if others:
        names = ", ".join(f"{info.name} on {info.machine.partition('/')[0]}" for info in others)
        raise BadSettings(
            f"Workers of another version of label-studio-ris run with this Redis: {names}.",
            "Stop them (`ris down`, or stop their containers), then start this again.",
        )
