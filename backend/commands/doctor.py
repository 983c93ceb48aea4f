"""`ris doctor`."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from backend.doctor.finding import Finding

COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED, "skip": None}
FIELDS = ("section", "name", "state", "value", "origin", "remedy")
"""Of a finding, in the JSON document."""


def doctor(
    project: Annotated[int | None, typer.Option(help="Look at this Label Studio project as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Where Label Studio reaches the backend, if not at HOST and PORT.")
    ] = None,
) -> None:
    """Look at everything that an answer depends on, and say what is wrong and what to do; changes nothing."""
    from backend.base.logs import configure_logging
    from backend.doctor.context import DoctorContext
    from backend.doctor.examination import examine
    from backend.doctor.finding import exit_code
    from backend.doctor.settings_origin import read

    configure_logging("ERROR")
    findings: list[Finding] = []
    for finding in examine(DoctorContext(read(), project, url)):
        if not as_json:
            _print(finding, is_first=not findings or findings[-1].section != finding.section)
        findings.append(finding)
    if as_json:
        print(json.dumps([{field: getattr(finding, field) for field in FIELDS} for finding in findings], indent=1))
    else:
        counts: Counter[str] = Counter(finding.state for finding in findings)
        typer.echo("\n" + ", ".join(f"{counts[state]} {state}" for state in COLOURS))
    raise typer.Exit(exit_code(findings))


def _print(finding: "Finding", is_first: bool) -> None:
    """A finding as a line of the report, below its section's name if it is the first; coloured on a terminal only."""
    if is_first:
        typer.secho(f"\n{finding.section}", bold=True)
    origin = f"  [{finding.origin}]" if finding.origin else ""
    state = typer.style(f"{finding.state:<5}", fg=COLOURS[finding.state])
    typer.echo(f"  {state} {finding.name:<25}  {one_line(finding.value)}{origin}")
    if finding.remedy:
        typer.echo(f"        {'':<25}  {one_line(finding.remedy)}")
