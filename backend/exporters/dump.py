"""Corrections as a file: a line of JSON, or a row of Parquet, for each region of each version."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from backend.corrections.queries import Correction
from backend.exporters.files import exit_on_signals, replacing
from backend.label_studio.protocol import Json
from ris_core.errors import BadInput
from ris_core.output.plain_text import to_json, whole

ROWS = 1000
"""Rows in memory at a time."""

_TYPES = {
    "int64": ("annotation", "project", "annotator"),
    "float64": ("created_at", "updated_at", "lead_time_s", "iou", "boundary_iou", "area_change", "score"),
    "bool_": ("is_reviewed", "is_current", "is_relabelled", "is_reworded", "is_refined"),
    "string": (
        "task",
        "region",
        "outcome",
        "label",
        "expression",
        "offered_region",
        "offered_by",
        "model_version",
        "mask",
        "offered_mask",
    ),
}
"""Columns of a Parquet file by pyarrow type; a mask is its COCO run lengths as JSON."""


def write_dump(corrections: Iterable[Correction], file: Path) -> int:
    """Write a .jsonl or .parquet file, whole or not at all; returns the number of rows.

    Raises:
        BadInput: If the name has another suffix, or the file cannot be written.
    """
    if file.suffix not in (".jsonl", ".parquet"):
        raise BadInput(f"The dump {file} is neither .jsonl nor .parquet. Choose one of these suffixes.")
    rows = (correction.to_json() for correction in corrections)
    try:
        with exit_on_signals(), replacing(file) as part:
            return _write_parquet(rows, part) if file.suffix == ".parquet" else _write_file(rows, part)
    except OSError as error:
        raise BadInput(f"The dump cannot be written to {file} ({error.strerror}). Name another file.") from error


def write_lines(corrections: Iterable[Correction], stream: TextIO) -> int:
    """Write a line of JSON for each correction; returns their number."""
    return _write_lines((correction.to_json() for correction in corrections), stream)


def _write_file(rows: Iterator[Json], file: Path) -> int:
    with file.open("w", encoding="utf-8") as stream:
        return _write_lines(rows, stream)


def _write_lines(rows: Iterator[Json], stream: TextIO) -> int:
    count = 0
    for row in rows:
        stream.write(to_json(row) + "\n")
        count += 1
    return count


def _write_parquet(rows: Iterator[Json], file: Path) -> int:
    import pyarrow  # here, not at the top: it is in an extra, and only Parquet needs it
    from pyarrow import parquet

    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for kind, names in _TYPES.items() for name in names])
    count = 0
    with parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, ROWS)):
            flat = [{name: _flat(value) for name, value in row.items()} for row in batch]
            writer.write_table(pyarrow.Table.from_pylist(flat, schema))
            count += len(batch)
    return count


def _flat(value: object) -> object:
    if isinstance(value, dict):
        return json.dumps(value)
    return whole(value) if isinstance(value, str) else value
