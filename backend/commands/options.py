"""Options that several commands have."""

from typing import Annotated

import typer

Profile = Annotated[
    str | None, typer.Option(help="Models and method: demo, base, …; the setting RIS_PROFILE if not given.")
]
Project = Annotated[int, typer.Option(help="Number of the Label Studio project, as in its address.")]
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
