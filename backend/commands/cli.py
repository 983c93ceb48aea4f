"""The command line: `ris`. Its commands are the modules beside this one; errors become exit codes here."""

import io
import os
import sys
import traceback
from typing import Any, NoReturn

import typer

from backend.base.errors import missing_package
from backend.base.logs import configure_logging, report_crashes
from backend.base.redaction import hide
from backend.commands.backup import backup, restore
from backend.commands.bench import bench
from backend.commands.connect import connect
from backend.commands.corrections import corrections
from backend.commands.doctor import doctor
from backend.commands.evaluate import evaluate
from backend.commands.export import export
from backend.commands.import_ import import_data_set
from backend.commands.learn import learn
from backend.commands.models import models
from backend.commands.replay import replay
from backend.commands.report import report
from backend.commands.review import review
from backend.commands.run import runs
from backend.commands.segment import segment
from backend.commands.selftest import selftest
from backend.commands.services import down, serve, up, worker
from backend.commands.try_images import try_images
from backend.commands.verify import verify
from backend.commands.warm import warm
from backend.commands.words import words
from backend.commands.workers import workers
from ris_core.errors import RisError
from ris_core.output.plain_text import lines

ABOUT = "Referring image segmentation for Label Studio: type an expression, get the mask of what it refers to."

# Without rich's markup, which would read [names] of others in an error as styles, and draw boxes into pipes.
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=ABOUT
)
for command in (
    segment,
    serve,
    worker,
    workers,
    up,
    down,
    connect,
    doctor,
    warm,
    export,
    verify,
    replay,
    report,
    learn,
    words,
    backup,
    restore,
):
    app.command()(command)
app.command("eval")(evaluate)
app.command("import")(import_data_set)
app.command("try")(try_images)
app.command()(selftest)
for name, group in (
    ("run", runs),
    ("corrections", corrections),
    ("review", review),
    ("models", models),
    ("bench", bench),
):
    app.add_typer(group, name=name)


def main() -> None:
    """Run a command; exit 0 answered, 2 bad input, 3 weights missing, 4 a service cannot be reached."""
    # Before torch is loaded: threads that spin while they wait made encoding four times slower on shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tests put other streams here
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 must not end a command
    configure_logging("WARNING")
    report_crashes()
    try:
        app()
    except RisError as error:
        _refuse(error)
    except Exception as error:  # Python's own traceback would print secrets
        if isinstance(error, ModuleNotFoundError) and (missing := missing_package(error)):
            _refuse(missing)
        print(hide(traceback.format_exc()), file=sys.stderr)
        sys.exit(RisError.exit_code)


def _refuse(error: RisError) -> NoReturn:
    print(f"ris: {lines(hide(str(error)))}", file=sys.stderr)
    sys.exit(error.exit_code)


def command_table(*, benchmarks: bool = False) -> str:
    """The commands as a Markdown table: those of `ris bench`, or all others."""
    rows = ["| command | what it does |", "| --- | --- |"]
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]  # an app with several commands is a group
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
