"""The journal of a run: a header, then one line for each image that is done, so that a run goes on where it was stopped.

A line is written by one call and is only true when its end of line is there; what a killed run left half written is cut
off. Two runs never write one journal.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from ris_core.errors import BadInput
from ris_core.evaluation.record import EvaluatedImage

FORMAT = 1
"""Changes when journals of before can no longer be read."""


class Journal:
    """Records of one run by image, in a file of JSON lines.

    Args:
        file: The journal; made with its folder if it is not there.
        settings: Everything that decides the records, as JSON values; a journal of other settings is refused.

    Attributes:
        records: What is done, by `image_id`, in the order in which it was done.

    Raises:
        BadInput: If the journal was made with other settings, is damaged, or is being written by another run.
    """

    def __init__(self, file: Path, settings: Mapping[str, Any]) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._lock()
            self.records = self._recover({"format": FORMAT, **settings})
        except BaseException:
            self.close()
            raise

    def append(self, record: EvaluatedImage) -> None:
        """Write down an image; it is on the disk when this returns."""
        self._write(record.to_json())
        self.records[record.image_id] = record

    def close(self) -> None:
        """Let others write."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"Another run is writing {self.file}. Wait for it, or name another --out.") from error

    def _recover(self, header: Mapping[str, Any]) -> dict[str, EvaluatedImage]:
        content = self.file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and not _as_line(header).startswith(content):
            raise BadInput(f"{self.file} is no journal of a run. Move it away, or name another --out.")
        if whole:  # before anything is cut off: it may be somebody's file
            stored_header, records = _parse(whole, self.file)
            self._compare(stored_header, json.loads(json.dumps(header)))
        if len(whole) < len(content):
            os.ftruncate(self._handle, len(whole))
        if not whole:
            self._write(header)
            return {}
        return records

    def _compare(self, stored: Mapping[str, Any], current: Mapping[str, Any]) -> None:
        keys = [key for key in {**stored, **current} if stored.get(key) != current.get(key)]
        if keys:
            differences = "; ".join(f"{key} was {stored.get(key)!r}, now {current.get(key)!r}" for key in keys)
            raise BadInput(
                f"{self.file} belongs to a run with other settings ({differences}). Use the same, name another --out, or start "
                "over with --fresh."
            )

    def _write(self, values: Mapping[str, Any]) -> None:
        line = _as_line(values)
        if os.write(self._handle, line) < len(line):
            raise OSError(f"{self.file} could not be written whole; is the disk full?")
        os.fsync(self._handle)


def _as_line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def read_journal(file: Path) -> tuple[dict[str, Any], dict[str, EvaluatedImage]]:
    """Header and records, by `image_id`, of a journal that may still be written.

    Raises:
        BadInput: If it is not there, or is no journal.
    """
    if not file.is_file():
        raise BadInput(f"There is no run in {file.parent}: it has no {file.name}. Name the --out of a run.")
    content = file.read_bytes()
    return _parse(content[: content.rfind(b"\n") + 1], file)


def _parse(whole: bytes, file: Path) -> tuple[dict[str, Any], dict[str, EvaluatedImage]]:
    try:
        header, *lines = [json.loads(line) for line in whole.splitlines()]
        records = [EvaluatedImage.from_json(line) for line in lines]
        return dict(header), {record.image_id: record for record in records}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{file} is no journal of a run ({error}). Delete it, or name another --out.") from error
