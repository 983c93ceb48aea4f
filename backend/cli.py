"""The command line: `ris`. Commands read settings, call one function each, and turn errors into exit codes."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.errors import BadSettings
from backend.logs import configure_logging
from backend.settings import Settings, read_settings
from ris_core.errors import BadInput, RisError

if TYPE_CHECKING:
    from backend.label_studio.client import LabelStudio
    from ris_core.types import Image, Prediction

ABOUT = "Type an expression, get the mask: referring image segmentation for Label Studio."

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=ABOUT)
models = typer.Typer(no_args_is_help=True, help="Weights: what is there, and fetching what is not.")
app.add_typer(models, name="models")

Profile = Annotated[str | None, typer.Option(help="demo, base, …; RIS_PROFILE otherwise.")]


def main() -> None:
    """Run a command; exit 0 answered, 2 bad input, 3 weights missing, 4 a service cannot be reached."""
    # Before torch is loaded. Threads that spin while they wait made encoding four times slower on cores shared with others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except RisError as error:
        print(f"ris: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def command_table() -> str:
    """Every command as a Markdown table: what the README shows."""
    rows = ["| command | what it does |", "| --- | --- |"]
    group = typer.main.get_command(app)  # typed as any command; of an app with several it is a group
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        for path, leaf in _leaves(f"ris {name}", command):
            arguments = "".join(f" {p.name.upper()}" for p in leaf.params if p.param_type_name == "argument")
            rows.append(f"| `{path}{arguments}` | {(leaf.help or '').splitlines()[0]} |")
    return "\n".join(rows)


def _leaves(path: str, command: Any) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if not children:
        return [(path, command)]
    return [leaf for name, child in children.items() for leaf in _leaves(f"{path} {name}", child)]


@app.command()
def segment(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    expression: Annotated[str, typer.Argument(help='What to find, as in "the red apple left of the dog".')],
    profile: Profile = None,
    method: Annotated[str | None, typer.Option(help="Another method than the profile's.")] = None,
    top_k: Annotated[int, typer.Option(help="Candidates to return.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    overlay: Annotated[Path | None, typer.Option(help="Write a picture of the answer to this file.")] = None,
) -> None:
    """Find what an expression refers to in an image, without any service."""
    from ris_core import Image, load_segmenter, weights
    from ris_core.documents import to_document
    from ris_core.text import clean_expression

    settings = read_settings()
    clean_expression(expression)  # what is wrong with the input is said before models are loaded
    if top_k < 1:
        raise BadInput(f"--top-k is {top_k}; ask for at least 1 candidate.")
    if overlay and not overlay.parent.is_dir():
        raise BadInput(f"The overlay {overlay} cannot be written: there is no folder {overlay.parent}. Make it first.")
    opened = Image.open(image, settings.max_image_pixels)
    overrides = {"method": method} if method else {}
    chosen = profile or settings.profile
    segmenter = load_segmenter(chosen, device=settings.device, store=weights.Store(settings.model_dir), **overrides)
    prediction = segmenter.segment(segmenter.encode(opened), expression, top_k)
    for warning in prediction.warnings:
        print(f"note: {warning}", file=sys.stderr)
    document = to_document(opened, prediction, chosen, segmenter.method_name)
    if overlay:
        _save_overlay(opened, prediction, overlay)
    print(json.dumps(document) if as_json else _as_table(document))


def _save_overlay(image: "Image", prediction: "Prediction", file: Path) -> None:
    from ris_core.overlay import draw

    try:
        draw(image, prediction).save(file)
    except (OSError, ValueError) as error:
        raise BadInput(f"The overlay cannot be written to {file} ({error}). Name a .png or .jpg file.") from error


def _as_table(document: dict) -> str:
    """The document for a person: the decision, then a line a candidate."""
    if not document["candidates"]:
        return f'{document["decision"]}: no proposal was found in this image, so nothing can match "{document["expression"]}".'
    lines = [f'{document["decision"]}: "{document["expression"]}"  ({document["model_version"]})']
    for i, candidate in enumerate(document["candidates"]):
        box = ", ".join(f"{side:.0f}" for side in candidate["bbox_xywh"])
        parts = "  ".join(f"{name} {value:.3f}" for name, value in candidate["parts"].items())
        mark = "*" if i in document["selected"] else " "
        lines.append(f"{mark} #{candidate['rank']}  {candidate['score']:.3f}  box [{box}]  {parts}")
    return "\n".join(lines)


@models.command("list")
def models_list() -> None:
    """Every profile, its weights, and whether they are there."""
    from ris_core.profiles import profile_names, profile_weights, read_profile
    from ris_core.weights import Store

    store = Store(read_settings().model_dir)
    for name in profile_names():
        print(f"{name}: {read_profile(name)['about']}")
        for status in map(store.status, profile_weights(name)):
            print(f"    {status.weight.name:<16} {status.state:<8} {status.path}")


@models.command("pull")
def models_pull(profile: Annotated[str, typer.Argument(help="Profile, or one of its weights by name.")]) -> None:
    """Download a profile's weights and verify them."""
    from ris_core.profiles import profile_names, profile_weights
    from ris_core.weights import Store

    store = Store(read_settings().model_dir)
    names = profile_weights(profile) if profile in profile_names() else [profile]
    for name, path in zip(names, store.pull(names, ProgressPrinter()), strict=True):
        print(f"{name} is there and verified: {path}")


class ProgressPrinter:
    """Counts a download up on one line of standard error; a line every tenth where that is no terminal."""

    def __init__(self) -> None:
        self._printed: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Take note that `done` of `total` bytes are there; a `total` of 0 is unknown."""
        share = f"{done / total:4.0%} of {total / 1e6:.0f} MB" if total else f"{done / 1e6:.0f} MB"
        tenth = done * 10 // total if total else 0
        if sys.stderr.isatty():
            print(f"\r{name}: {share}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif tenth > self._printed.get(name, 0):
            print(f"{name}: {share}", file=sys.stderr, flush=True)
        self._printed[name] = tenth


@app.command()
def serve() -> None:
    """Answer Label Studio over HTTP; a worker does the work."""
    import uvicorn

    from backend.app import create_app

    settings = read_settings()
    settings.check_host()
    configure_logging(settings.log_level)
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, log_level="warning", access_log=False)


@app.command()
def worker() -> None:
    """Take jobs from the queue, one at a time, with the model loaded once."""
    from backend import worker as rq_worker

    settings = read_settings()
    configure_logging(settings.log_level)
    rq_worker.run_worker(settings)


@app.command()
def up() -> None:
    """Start Redis, a supervised worker and the backend on this machine; what runs already is kept."""
    from backend import stack
    from backend.steps import Steps

    settings = read_settings()
    configure_logging("WARNING")
    studio = _label_studio(settings) if settings.label_studio_url else None
    steps = Steps([*stack.STEPS, *(["Label Studio"] if studio else [])])
    with stack.lock(settings.state_dir):
        running = stack.up(settings, steps)
    if studio:
        with steps.take("Label Studio") as step:
            step.note = f"{studio.url} knows us as {studio.request('GET', '/api/current-user/whoami')['email']}"
    print(f"\nThe backend answers at {running.backend_url}. Connect a project: ris connect --project NUMBER")


@app.command()
def down() -> None:
    """Stop exactly what was started with this state folder."""
    from backend import stack

    settings = read_settings()
    with stack.lock(settings.state_dir):
        stopped = list(stack.down(settings.state_dir))
    print(f"Stopped: {', '.join(stopped)}." if stopped else f"Nothing that was started with {settings.state_dir} runs.")


@app.command()
def connect(
    project: Annotated[int, typer.Option(help="Number of the project, as in its address.")],
    url: Annotated[
        str | None, typer.Option(help="Where Label Studio reaches the backend, if not at HOST and PORT.")
    ] = None,
) -> None:
    """Add the backend to a Label Studio project, interactive, with its webhook's authentication."""
    from backend.label_studio import connect as connecting

    settings = read_settings()
    password = settings.basic_auth_pass.get_secret_value() if settings.basic_auth_pass else ""
    made = connecting.connect(
        _label_studio(settings),
        project,
        url or f"http://{settings.host}:{settings.port}",
        (settings.basic_auth_user or "", password) if settings.has_credentials else None,
        settings.webhook_secret.get_secret_value() if settings.webhook_secret else None,
    )
    print(f"Project {project} is connected, interactive, to {made.model_version}.")


def _label_studio(settings: Settings) -> "LabelStudio":
    from backend.label_studio.client import LabelStudio

    if not (settings.label_studio_url and settings.label_studio_api_key):
        raise BadSettings("Label Studio is not known. Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.")
    return LabelStudio(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())
