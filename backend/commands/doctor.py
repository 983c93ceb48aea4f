"""`ris doctor`: checks everything that an answer depends on."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from backend.base.terminal import Cell, Column, Progress, print_table
from backend.commands.options import NUMBER, AsJson
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from backend.doctor.finding import Finding

STYLES = {"ok": "green", "warn": "yellow", "fail": "red", "skip": ""}
COLUMNS = (Column(is_fixed=True, width=6), Column(is_fixed=True, width=25), Column())
FIELDS = ("section", "name", "state", "value", "origin", "remedy")
"""Of a finding, in the JSON document."""


def doctor(
    project: Annotated[int | None, typer.Option(help="Also check this Label Studio project.", **NUMBER)] = None,
    as_json: AsJson = False,
    url: Annotated[
        str | None, typer.Option(help="URL where Label Studio reaches the backend, if not http://HOST:PORT.")
    ] = None,
    recount: Annotated[
        bool, typer.Option("--recount", help="First count the rows of the database anew, if the counters are wrong.")
    ] = False,
) -> None:
    """Check everything that an answer depends on. Prints each problem with its remedy. Changes nothing without --recount."""
    from backend.base.logs import configure_logging
    from backend.doctor.context import DoctorContext
    from backend.doctor.examination import examine
    from backend.doctor.finding import exit_code
    from backend.doctor.settings_origin import read

    configure_logging("ERROR")
    if recount:
        _recount()
    findings: list[Finding] = []
    for finding in _watch(examine(DoctorContext(read(), project, url))):
        if not as_json:
            _print(finding, is_first=not findings or findings[-1].section != finding.section)
        findings.append(finding)
    if as_json:
        print(json.dumps([{field: getattr(finding, field) for field in FIELDS} for finding in findings], indent=1))
    else:
        counts: Counter[str] = Counter(finding.state for finding in findings)
        print("\n" + ", ".join(f"{counts[state]} {state}" for state in STYLES))
    raise typer.Exit(exit_code(findings))


def _recount() -> None:
    from backend.db.counters import recount
    from backend.db.database import Transactions, open_database
    from backend.settings.environment import read_settings

    engine = open_database(read_settings().sql_url)
    try:
        with Progress("Counting"), Transactions(engine).writing() as db:
            recount(db)
    finally:
        engine.dispose()


def _watch(findings: Iterable["Finding"]) -> Iterable["Finding"]:
    """The findings; progress is shown while the next one is being made."""
    iterator = iter(findings)
    while True:
        with Progress("Checking"):  # ends before the finding is printed, which a moving bar would disturb
            finding = next(iterator, None)
        if finding is None:
            return
        yield finding


def _print(finding: "Finding", is_first: bool) -> None:
    """A row of the report, below the heading of its section if it is the first of it."""
    if is_first:
        print()
        print_table([Column()], [[Text(one_line(finding.section), "bold")]], has_header=False)
    origin = f"  [{finding.origin}]" if finding.origin else ""
    state: Cell = Text(f"  {finding.state}", STYLES[finding.state])
    rows: list[tuple[Cell, ...]] = [(state, finding.name, finding.value + origin)]
    if finding.remedy:
        rows.append(("", "", finding.remedy))
    print_table(COLUMNS, rows, has_header=False)
