"""The command line: `ris`. Its commands are in `backend.commands`; errors become exit codes here."""

import io
import os
import sys
import traceback
from typing import Any, NoReturn

import typer

from backend.base.errors import missing_package
from backend.base.logs import configure_logging, report_crashes
from backend.base.redaction import hide
from backend.commands import bench as benchmarks
from backend.commands import bench_runs
from backend.commands import corrections as correcting
from backend.commands.connect import connect
from backend.commands.doctor import doctor
from backend.commands.evaluate import evaluate
from backend.commands.export import export
from backend.commands.models import list_models, pull_models
from backend.commands.report import report
from backend.commands.run import runs
from backend.commands.segment import segment
from backend.commands.services import down, serve, up, worker
from backend.commands.warm import warm
from backend.commands.workers import workers
from ris_core.errors import RisError
from ris_core.output.plain_text import lines

ABOUT = "Type an expression, get the mask: referring image segmentation for Label Studio."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=ABOUT)
models = typer.Typer(no_args_is_help=True, help="Weights: what is there, and fetching what is not.")
bench = typer.Typer(no_args_is_help=True, help="Measurements that report and never fail.")
corrections = typer.Typer(no_args_is_help=True, help="What annotators did with what was proposed.")

for command in (segment, serve, worker, workers, up, down, connect, doctor, warm, export, report):
    app.command()(command)
app.command("eval")(evaluate)
app.add_typer(runs, name="run")
app.add_typer(corrections, name="corrections")
corrections.command("list")(correcting.list_corrections)
for verb in (correcting.show, correcting.stats, correcting.dump, correcting.retention, correcting.pseudonymise):
    corrections.command()(verb)
app.add_typer(models, name="models")
models.command("list")(list_models)
models.command("pull")(pull_models)
app.add_typer(bench, name="bench")
for benchmark in (benchmarks.speed, benchmarks.annotators, benchmarks.webhooks):
    bench.command()(benchmark)
for run_benchmark in (bench_runs.chaos, bench_runs.hosts, bench_runs.bulk):
    bench.command()(run_benchmark)


@bench.callback()
def keep_logs_apart() -> None:
    """Standard output is for the report, which programs read."""
    configure_logging("WARNING")


def main() -> None:
    """Run a command; exit 0 answered, 2 bad input, 3 weights missing, 4 a service cannot be reached."""
    # Before torch is loaded. Threads that spin while they wait made encoding four times slower on cores shared with others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not where something else is put in their place
            stream.reconfigure(errors="backslashreplace")  # no text is worth a traceback
    configure_logging("WARNING")
    report_crashes()
    try:
        app()
    except RisError as error:
        _refuse(error)
    except Exception as error:  # typer's own hook would show it as it is
        if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)):
            _refuse(missing)
        print(hide(traceback.format_exc()), file=sys.stderr)
        sys.exit(RisError.exit_code)


def _refuse(error: RisError) -> NoReturn:
    print(f"ris: {lines(hide(str(error)))}", file=sys.stderr)
    sys.exit(error.exit_code)


def command_table(*, benchmarks: bool = False) -> str:
    """The commands as a Markdown table: for the README without `ris bench`, for docs/engineers/performance.md only that."""
    rows = ["| command | what it does |", "| --- | --- |"]
    group = typer.main.get_command(app)  # typed as any command; of an app with several it is a group
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if (name == "bench") != benchmarks:
            continue
        for path, leaf in _leaves(f"ris {name}", command):
            arguments = "".join(f" {p.name.upper()}" for p in leaf.params if p.param_type_name == "argument")
            rows.append(f"| `{path}{arguments}` | {(leaf.help or '').splitlines()[0]} |")
    return "\n".join(rows)


def _leaves(path: str, command: Any) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        return [(path, command)]
    return [leaf for name, child in children.items() for leaf in _leaves(f"{path} {name}", child)]
