"""Options that several commands have."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ris_core.errors import BadInput
from ris_core.output.plain_text import one_line


def read_project(text: str) -> int:
    """The number of a project.

    Raises:
        BadInput: If it is none.
    """
    if text.isascii() and text.isdecimal() and 0 < int(text[:20]) < 2**31:
        return int(text)
    raise BadInput(
        f"{one_line(text[:40])!r} is no number of a project.",
        "Give the one in the project's address in Label Studio: 3 of …/projects/3/data.",
    )


Profile = Annotated[
    str | None, typer.Option(help="Models and method: demo, base, …; the setting RIS_PROFILE if not given.")
]
NUMBER: Mapping[str, Any] = {"parser": read_project, "metavar": "NUMBER"}
"""Of options that take the number of a project."""
Project = Annotated[int, typer.Option(help="Number of the Label Studio project, as in its address.", **NUMBER)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")]

Tasks = Annotated[str | None, typer.Option(help="Only these tasks: numbers and ranges, as in 1,5,10-20.")]
View = Annotated[int | None, typer.Option(help="Only the tasks in this tab of the Data Manager.")]
OnlyUnlabelled = Annotated[bool, typer.Option("--only-unlabelled", help="Only tasks without annotations.")]

Offline = Annotated[
    bool, typer.Option("--offline", help="Use the stored records only; do not fetch missing ones from Label Studio.")
]
Outcomes = Annotated[
    str, typer.Option("--only", help="Only these outcomes, separated by commas: accepted,edited,…; all if not given.")
]
