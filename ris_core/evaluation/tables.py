"""A report as a value: tables of numbers, as JSON for machines; `markdown.py` writes it for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ris_core.evaluation.bootstrap import LEVEL, RESAMPLES, ConfidenceInterval

DIGITS = 6
"""Decimals that are kept in JSON."""

Cell = ConfidenceInterval | float | int | str | None


class Row(NamedTuple):
    """A line of a table."""

    label: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """Numbers: estimates and floats are shares in [0, 1], integers are counts.

    Attributes:
        columns: Heads of the cells; the first head is that of the labels.
    """

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True)
class EvaluationReport:
    """What a run showed.

    Attributes:
        about: What was run, in words: name and value.
        tables: The numbers.
    """

    about: Mapping[str, str]
    tables: Sequence[Table]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; an estimate is value, low, high and count."""
        return {
            "about": dict(self.about),
            "interval": {"per_cent": LEVEL, "resamples": RESAMPLES, "over": "images"},
            "tables": [
                {
                    "title": table.title,
                    "note": table.note,
                    "columns": list(table.columns),
                    "rows": [{"label": row.label, "cells": [_plain(cell) for cell in row.cells]} for row in table.rows],
                }
                for table in self.tables
            ],
        }


def _plain(cell: Cell) -> Any:
    if isinstance(cell, ConfidenceInterval):
        return {name: _plain(value) for name, value in cell._asdict().items()}
    return round(cell, DIGITS) if isinstance(cell, float) else cell
