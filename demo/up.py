"""The whole path on one machine: `python -m demo.up` starts it, or finds it running, and says where to look.

Redis, a worker and the backend with the demo profile, Label Studio with a project of demo scenes, connected, and one
expression asked through Label Studio to see that it works.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backend.base import processes
from backend.base.errors import Unreachable
from backend.base.logs import configure_logging, report_crashes
from backend.base.redaction import hide
from backend.label_studio.brush import decode_brush
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import connect
from backend.local import stack
from backend.local.progress import Steps
from backend.settings.environment import DEMO_FILE, Settings
from demo import label_studio, review
from demo.gallery import GALLERY, Exhibit
from demo.label_studio import Secrets
from ris_core.errors import RisError

STEPS = (*stack.STEPS, "Label Studio", "Project", "Scenes", "Connection", "Check")
REVIEW = "Corrections"
"""A further step: a second project with corrections to review."""
LABEL_STUDIO_PORT, BACKEND_PORT = 8080, 9090
"""Ports that are used if they are free."""
LABEL_STUDIO_TIMEOUT_S = 300.0
"""A fresh data folder takes half a minute on an idle machine."""
WORKER_TIMEOUT_S = 180.0
ANSWER_TIMEOUT_S = 120.0
"""For one call; longer than the 100 s that Label Studio itself waits for a prediction."""
BACKEND_USER = "label-studio"
MIN_OVERLAP = 0.5
"""Least IoU of the checked answer with the scene's truth; lower, it shows something else."""


@dataclass(frozen=True)
class Demo:
    """What runs.

    Attributes:
        overlap: IoU of the checked answer with the scene's truth.
        review: Project with corrections to review; None if there is none.
        tasks: Label Studio's task ids by scene.
    """

    url: str
    backend_url: str
    secrets: Secrets
    project: int
    backend: int
    tasks: dict[Exhibit, int]
    overlap: float
    review: int | None = None


def start(
    state_dir: Path,
    label_studio_port: int = LABEL_STUDIO_PORT,
    backend_port: int = BACKEND_PORT,
    *,
    with_review: bool = False,
) -> Demo:
    """Start what is not running yet, reusing everything that is; prints a line a step.

    Args:
        label_studio_port, backend_port: Used if free, else others are; 0 for any.
        with_review: Also make the second project, with corrections to review.

    Raises:
        RisError: If a step fails; says why and what to do.
    """
    state_dir = state_dir.resolve()
    steps = Steps((*STEPS, REVIEW) if with_review else STEPS)
    with stack.lock(state_dir):
        known = label_studio.load_secrets(state_dir)
        program = label_studio.make_program(
            _choose_port("label-studio", label_studio_port, state_dir), known, state_dir
        )
        # First, without waiting: it takes longest.
        studio = processes.launch(program, state_dir)
        decided = _decide(state_dir, program.address, _choose_port("backend", backend_port, state_dir), known)
        settings = Settings(**decided)
        _leave_settings(decided, state_dir)
        running = stack.up(settings, steps, WORKER_TIMEOUT_S)
        with steps.take("Label Studio") as step:
            processes.wait_until_ready(
                studio, lambda: stack.answers(f"{studio.address}/health"), LABEL_STUDIO_TIMEOUT_S
            )
            step.note = f"{studio.address}{', already running' if studio.was_running else ''}"
        client = LabelStudioClient(studio.address, known.token, ANSWER_TIMEOUT_S)
        with steps.take("Project") as step:
            project, is_new = label_studio.ensure_project(client)
            step.note = f"number {project}{'' if is_new else ', already there'}"
        with steps.take("Scenes") as step:
            tasks, added = label_studio.ensure_tasks(client, known.token, project, state_dir)
            step.note = f"{added} uploaded" if added else f"{len(tasks)} already there"
        with steps.take("Connection") as step:
            credentials = (BACKEND_USER, known.backend_password)
            connection = connect(client, project, running.backend_url, credentials, known.webhook_secret)
            step.note = connection.model_version
        with steps.take("Check") as step:
            overlap = _check(client, connection.backend, tasks)
            step.note = f'"{GALLERY[0].expression}" found, IoU {overlap:.2f}'
        to_review = _ensure_review(steps, client, tasks, running.backend_url, known) if with_review else None
    return Demo(studio.address, running.backend_url, known, project, connection.backend, tasks, overlap, to_review)


def _ensure_review(
    steps: Steps, client: LabelStudioClient, tasks: dict[Exhibit, int], backend_url: str, known: Secrets
) -> int:
    """The project with corrections to review, made if it is not there: what people change in it stays."""
    login = (BACKEND_USER, known.backend_password)
    with steps.take(REVIEW) as step:
        project = review.find(client)
        if project is not None:
            step.note = f"project {project}, already there"
            return project
        project = review.make(client, tasks)
        connect(client, project, backend_url, login, known.webhook_secret)
        offered, annotated = review.seed(client, project, backend_url, login)
        step.note = f"project {project}: {offered} tasks with proposals, {annotated} annotated"
    return project


def decode_mask(region: dict) -> np.ndarray:
    """bool (H, W) of a brush region as Label Studio holds it."""
    return decode_brush(bytes(region["value"]["rle"]), (region["original_height"], region["original_width"]))


def measure_overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    """IoU of two masks of one size."""
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))


def _choose_port(name: str, preferred: int, state_dir: Path) -> int:
    """The port that it listens on already, else the preferred one, else a free one."""
    child = processes.find(name, state_dir)
    if child and child.is_running:
        return int(child.address.rpartition(":")[2])
    return processes.free_port(preferred)


def _decide(state_dir: Path, studio_url: str, port: int, known: Secrets) -> dict[str, Any]:
    """Every setting that the demo decides; of the user's own settings, only REDIS_URL and those of the machine are kept."""
    return {
        "RIS_PROFILE": "demo",
        "RIS_STATE_DIR": state_dir,
        "DATABASE_URL": f"sqlite:///{state_dir / 'ris.sqlite3'}",
        "HOST": "127.0.0.1",
        "PORT": port,
        "BASIC_AUTH_USER": BACKEND_USER,
        "BASIC_AUTH_PASS": known.backend_password,
        "WEBHOOK_SECRET": known.webhook_secret,
        "LABEL_STUDIO_URL": studio_url,
        "LABEL_STUDIO_API_KEY": known.token,
    }


def _leave_settings(decided: dict[str, Any], state_dir: Path) -> None:
    """Write down what was decided, for commands that are run while the demo runs; only this user can read the file."""
    file = state_dir / DEMO_FILE
    part = file.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    part.write_text("".join(f"{name}={_as_dotenv(value)}\n" for name, value in decided.items()), encoding="utf-8")
    part.replace(file)


def _as_dotenv(value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _check(client: LabelStudioClient, backend: int, tasks: dict[Exhibit, int]) -> float:
    """Ask for the first expression through Label Studio; IoU of the answer with the truth."""
    exhibit = GALLERY[0]
    regions = label_studio.ask(client, backend, tasks[exhibit], exhibit.expression)
    overlap = measure_overlap(np.logical_or.reduce([decode_mask(region) for region in regions]), exhibit.truth())
    if overlap < MIN_OVERLAP:
        raise Unreachable(
            f'"{exhibit.expression}" was answered with a mask elsewhere (IoU {overlap:.2f} with the truth). '
            "The demo models may be damaged: restore ris_core/runtime/bundled, then run `make down demo`."
        )
    return overlap


def list_commands(demo: Demo, state_dir: Path) -> list[str]:
    """Commands to try while the demo runs, as they are typed in this folder."""
    program = Path(sys.executable).with_name("ris")
    ris = shlex.quote(str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program))
    if state_dir.resolve() != Path(".state").resolve():
        ris = f"RIS_STATE_DIR={shlex.quote(str(state_dir.resolve()))} {ris}"
    project = f"--project {demo.project}"
    return [
        f"{ris} run start {project} --expression-field try --name first",
        f"{ris} run wait first",
        f"{ris} corrections stats {project}",
        f"{ris} report {project} --out report.html",
        f"{ris} export {project} --source predictions --format coco --out dataset",
        f"{ris} doctor {project}",
    ]


def _describe(demo: Demo, state_dir: Path) -> str:
    """What to do now, for a person."""
    commands = "\n".join(f"     {command}" for command in list_commands(demo, state_dir))
    tries = "\n".join(
        f'     {demo.url}/projects/{demo.project}/data?task={demo.tasks[exhibit]}   "{exhibit.expression}"'
        for exhibit in GALLERY[:3]
    )
    return f"""
The demo runs.
  1. Open {demo.url}/projects/{demo.project}/data
     and log in as {label_studio.EMAIL} with the password {demo.secrets.password}
  2. Open a task, switch Auto-Annotation on at the bottom, type an expression, press Enter; accept what is offered. Try:
{tries}
  3. Ask for all scenes at once, and see what became of what was proposed:
{commands}
  4. Decide which masks are right: {demo.backend_url}/ui{f"/projects/{demo.review}" if demo.review else ""}
     as {label_studio.EMAIL}, with the user {BACKEND_USER} and the password {demo.secrets.backend_password}
The demo models know only these drawn scenes; for photographs see "Photographs" in README.md.
`make down` stops it; `make demo` brings it back with everything you did."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo.up", description=__doc__)
    parser.add_argument("--state-dir", type=Path, default=Path(".state"), help="folder of everything that is kept")
    parser.add_argument("--label-studio-port", type=int, default=LABEL_STUDIO_PORT, help="used if free; 0 for any")
    parser.add_argument("--backend-port", type=int, default=BACKEND_PORT, help="used if free; 0 for any")
    options = parser.parse_args(arguments)
    configure_logging("WARNING")
    report_crashes()
    try:
        demo = start(options.state_dir, options.label_studio_port, options.backend_port, with_review=True)
    except RisError as error:
        print(
            f"\n{hide(str(error))}\nWhat was started goes on running: try again with `make demo`, or stop it with `make down`.",
            file=sys.stderr,
        )
        return error.exit_code
    print(_describe(demo, options.state_dir))
    return 0


if __name__ == "__main__":
    sys.exit(main())
