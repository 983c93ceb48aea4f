"""A report as Markdown: shares in per cent, estimates with their interval."""

from collections.abc import Iterator

from ris_core.evaluation.bootstrap import LEVEL, RESAMPLES, ConfidenceInterval
from ris_core.evaluation.tables import Cell, EvaluationReport, Table

INTERVALS = (
    f"All shares are in per cent. In brackets: {LEVEL} % intervals from {RESAMPLES:,} bootstrap draws over images, the same "
    "draws for every number."
)


def render(report: EvaluationReport, title: str) -> str:
    """The whole report as one page."""
    about = [f"- {name}: {value}" for name, value in report.about.items()]
    return "\n".join(
        [f"# {title}", "", *about, "", INTERVALS, *(line for t in report.tables for line in _table(t)), ""]
    )


def _table(table: Table) -> Iterator[str]:
    yield from ("", f"## {table.title}", "")
    if table.note:
        yield from (table.note, "")
    yield f"| {' | '.join(table.columns)} |"
    yield "| --- |" + " ---: |" * (len(table.columns) - 1)
    for row in table.rows:
        label = " ".join(row.label.split()).replace("|", r"\|")
        yield f"| {' | '.join([label, *map(_cell, row.cells)])} |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, ConfidenceInterval):
        if cell.value is None or cell.low is None or cell.high is None:
            return "-"
        return f"{cell.value * 100:.1f} [{cell.low * 100:.1f}, {cell.high * 100:.1f}]"
    if isinstance(cell, float):
        return f"{cell * 100:.1f}"
    return "-" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell
