"""Which tasks are on their way to Label Studio, so that none is made twice after a killed import.

What Label Studio has is the truth, and a batch of tasks is made whole or not at all. But a batch may be made after its sender was
killed. So its keys are written down before it is sent; the next import waits until they are there, or until none can come any more.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from ris_core.errors import BadInput

SETTLE_S = 60.0
"""After so long, a batch whose sender was killed is not made any more: it takes Label Studio a second or two."""


class ImportJournal:
    """A context with the lock on a project: one import at a time writes to it from this state folder.

    Args:
        folder: Folder of journals, in the state folder.
        studio: Address of Label Studio.
    """

    def __init__(self, folder: Path, studio: str, project: int) -> None:
        self._project = project
        self._file = folder / f"{hashlib.sha256(f'{studio} {project}'.encode()).hexdigest()[:16]}.json"

    def __enter__(self) -> Self:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self._file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise BadInput(
                f"Another import writes to project {self._project}.", "Wait until it ends; then run this again."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def begin(self, keys: Collection[str]) -> None:
        """Write down that tasks are about to be sent; on disk when this returns."""
        part = self._file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as stream:
            json.dump({"sent_at": time.time(), "keys": sorted(keys)}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, self._file)

    def end(self) -> None:
        """Write down that it is known whether they were made."""
        self._file.unlink(missing_ok=True)

    def pending(self) -> tuple[frozenset[str], float]:
        """Keys of tasks that were sent and may still be made, and for how many seconds more."""
        try:
            content = json.loads(self._file.read_bytes())
            keys, sent_at = frozenset(map(str, content["keys"])), float(content["sent_at"])
        except FileNotFoundError:
            return frozenset(), 0.0
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(
                f"The journal of imports {self._file} cannot be read.",
                f"If no import ran in the last {SETTLE_S:.0f} s, delete it and run this again.",
            ) from error
        # a clock that was set back must not make this wait for ever
        return keys, min(SETTLE_S, max(0.0, sent_at + SETTLE_S - time.time()))
