"""Prints corrections, for people and as JSON lines."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from backend.base.terminal import Column, fits, is_watched, print_table

if TYPE_CHECKING:
    from backend.corrections.disagreements import Disagreement
    from backend.corrections.queries import Correction, VersionOutcomes

COLUMNS = (
    Column("outcome", is_fixed=True),
    Column("IoU", is_number=True),
    Column("task", is_number=True),
    Column("annot.", is_number=True),
    Column("region"),
    Column("by", is_number=True),
    Column("saved (UTC)"),
    Column("label"),
    Column("expression"),
)
PIPED_WORDS = {2: "task", 3: "annotation", 4: "region", 5: "by"}
"""Words before the values of these columns in a file or a pipe, whose lines have no heading."""

Row = Sequence[str]


def print_corrections(corrections: Iterable["Correction"], as_json: bool) -> None:
    """A row for each region."""
    if as_json:
        for correction in corrections:
            print(json.dumps(_without_masks(correction)))
    else:
        _print_rows(COLUMNS, [_to_row(correction) for correction in corrections])


def print_disagreements(disagreements: Sequence["Disagreement"], links: Sequence[str], as_json: bool) -> None:
    """A row for each disagreement, with the address of its task's page."""
    if as_json:
        for one, link in zip(disagreements, links, strict=True):
            print(json.dumps({**one.to_json(), "link": link or None}))
        return
    columns = (
        Column("IoU", is_number=True),
        Column("task", is_number=True),
        Column("by"),
        Column("expression"),
        Column("address"),
    )
    rows = []
    for one, link in zip(disagreements, links, strict=True):
        people = " and ".join("unknown" if annotator is None else str(annotator) for annotator in one.annotators)
        rows.append(["nothing" if one.iou is None else _number(one.iou), one.task, people, f'"{one.expression}"', link])
    print_table(columns, rows, has_header=is_watched())


def print_versions(versions: Iterable["VersionOutcomes"]) -> None:
    """A row for each region of each version, with a star if the version is current; one row for a version without regions."""
    rows = []
    for version in versions:
        star = "* " if version.is_current else "  "
        note = "  (deleted)" if version.is_deleted else ""
        for first, *others, last in list(map(_to_row, version.corrections)) or [_to_empty_row(version)]:
            rows.append([star + first, *others, last + note])
    first_column, *other_columns = COLUMNS
    _print_rows((Column(f"  {first_column.title}", is_fixed=True), *other_columns), rows)


def version_documents(versions: Iterable["VersionOutcomes"]) -> Iterator[str]:
    """A line of JSON for each region of each version; one line for a version without regions."""
    for version in versions:
        state = {"was_cancelled": version.was_cancelled, "is_deleted": version.is_deleted}
        own = {name: value for name, value in vars(version).items() if name != "corrections"}
        documents = [{**_without_masks(one), **state} for one in version.corrections] or [{**own, "region": None}]
        yield from map(json.dumps, documents)


def print_statistics(title: str, groups: Mapping[str, Mapping[str, float | int | None]]) -> None:
    """A row for each group; a column for each, where a terminal is too narrow for the rows but not for the columns."""
    names = [name.replace("_", " ") for name in next(iter(groups.values()))]
    cells = {name: [_number(value) for value in values.values()] for name, values in groups.items()}
    columns = [Column(title, is_fixed=True), *(Column(name, is_number=True) for name in names)]
    rows = [[name, *values] for name, values in cells.items()]
    turned = [Column(title, is_fixed=True), *(Column(name, is_number=True) for name in cells)]
    turned_rows = [list(row) for row in zip(names, *cells.values(), strict=True)]
    if not fits(columns, rows) and fits(turned, turned_rows):
        columns, rows = turned, turned_rows
    print_table(columns, rows)


def _print_rows(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    if is_watched():
        print_table(columns, rows)
        return
    worded = [
        [f"{PIPED_WORDS[index]} {cell}" if index in PIPED_WORDS and cell else cell for index, cell in enumerate(row)]
        for row in rows
    ]
    print_table([Column(is_number=column.title == "IoU") for column in columns], worded, has_header=False)


def _to_row(correction: "Correction") -> Row:
    outcome = correction.outcome
    is_set = {"relabelled": outcome.is_relabelled, "reworded": outcome.is_reworded, "refined": outcome.is_refined}
    flags = [name for name in is_set if is_set[name]]
    return [
        outcome.outcome,
        _number(outcome.iou),
        correction.task,
        str(correction.annotation),
        outcome.region,
        str(correction.annotator),
        _time(correction.updated_at),
        outcome.label,
        " ".join([f'"{outcome.expression}"' if outcome.expression else "-", *flags]),
    ]


def _to_empty_row(version: "VersionOutcomes") -> Row:
    state = "skipped" if version.was_cancelled else "empty"
    return [
        state,
        "-",
        version.task,
        str(version.annotation),
        "",
        str(version.annotator),
        _time(version.updated_at),
        "",
        "",
    ]


def _without_masks(correction: "Correction") -> dict[str, Any]:
    return {name: value for name, value in correction.to_json().items() if name not in ("mask", "offered_mask")}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
