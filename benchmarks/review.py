"""`ris bench review`: a lead goes through proposals on the pages, and whatever is kept of that is compared with what was pressed.

Each proposal is on a picture of its own, with a mask of its own. One half is decided by keys alone and the other with JavaScript
switched off. Then the approvals are written to Label Studio and exported as a data set, by the commands that a lead types.
"""

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import connect
from backend.label_studio.label_config import read_config
from backend.label_studio.regions import make_region
from backend.local import stack
from benchmarks.labelling_page import find_chromium, open_browser
from benchmarks.review_page import PRESSES, Decided, decide_by_forms, decide_by_keys, open_queue
from demo import up
from demo.scenes import make_scene
from demo.up import BACKEND_USER, Demo, decode_mask
from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.geometry.masks import from_rle

ROOT = Path(__file__).parents[1]
FIRST_SEED = 2_000
"""Of the scenes."""
LOWEST, HIGHEST = 0.5, 0.79
"""Probabilities of the proposals: all of them are uncertain."""
VERSION = "review-bench"
TIMEOUT_S = 1200
WAYS = {"by keys": True, "without JavaScript": False}
"""Whether the browser has JavaScript."""


@dataclass(frozen=True)
class Proposal:
    """A proposal, alone on its picture.

    Attributes:
        key: task/region.
    """

    key: str
    task: int
    mask: Array


@dataclass(frozen=True)
class ReviewRecord:
    """What was kept of a review.

    Attributes:
        rows: State, reason and comment of the last decision about each region, in the database.
        annotated: Masks of the annotations in Label Studio, by task.
        exported: Masks of the targets in the data set, by task.
    """

    rows: Mapping[str, tuple[str, str | None, str | None]]
    annotated: Mapping[int, Sequence[Array]]
    exported: Mapping[int, Sequence[Array]]


@dataclass(frozen=True)
class Disagreements:
    """Proposals of which something else is kept than what was pressed."""

    database: int
    label_studio: int
    data_set: int


@dataclass(frozen=True)
class ReviewReport:
    """What it took in each of `WAYS`, and what is not as it was pressed.

    Attributes:
        seconds: Of each decision, until the next one could be made.
        disagreements: Of all proposals of that way.
    """

    seconds: Mapping[str, Sequence[float]]
    disagreements: Mapping[str, Disagreements]

    def to_json(self) -> str:
        """As one JSON document."""
        counts = {way: vars(one) for way, one in self.disagreements.items()}
        return json.dumps({"seconds": dict(self.seconds), "disagreements": counts}, indent=1)

    def to_markdown(self) -> str:
        """As a table."""
        names = "| way | proposals | seconds | p50 | p95 | not as pressed: database | Label Studio | data set |"
        rows = []
        for way, seconds in self.seconds.items():
            wrong = self.disagreements[way]
            times = f"{sum(seconds):.0f} | {median(seconds):.2f} | {np.percentile(seconds, 95):.2f}"
            counts = f"{wrong.database} | {wrong.label_studio} | {wrong.data_set}"
            rows.append(f"| {way} | {len(seconds)} | {times} | {counts} |")
        return "\n".join([names, "| --- |" + " ---: |" * 7, *rows])


def measure(folder: Path, proposals: int, tell: Callable[[str], None] = lambda _: None) -> ReviewReport:
    """Review on a stack of its own, which is stopped in the end.

    Args:
        folder: For its state; empty.
        proposals: How many are decided in each way.

    Raises:
        BadInput: If no Chromium is installed.
        Unreachable: If Label Studio is not installed, or a service does not start.
    """
    program = find_chromium()
    if program is None:
        raise BadInput("No Chromium was found.", "Install one: `make chromium`.")
    tell("starting Label Studio")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the report alone goes to standard output
            demo = up.start(folder, label_studio_port=0, backend_port=0)
        with open_browser(program) as browser:
            return review(browser, demo, folder, proposals, tell)
    finally:
        list(stack.down(folder))


def review(
    browser: Browser, demo: Demo, state_dir: Path, count: int, tell: Callable[[str], None] = lambda _: None
) -> ReviewReport:
    """Decide so many proposals in each way, in a new project of a demo that runs, and compare."""
    client = LabelStudioClient(demo.url, demo.secrets.token, up.ANSWER_TIMEOUT_S)
    tell(f"adding {len(WAYS) * count} proposals")
    project, proposals = _add_project(client, demo, len(WAYS) * count)
    _ris(state_dir, "review", "stats", "--project", project)
    decided: dict[str, list[Decided]] = {}
    for way, has_javascript in WAYS.items():
        tell(f"deciding {way}")
        decide = decide_by_keys if has_javascript else decide_by_forms
        with open_queue(browser, demo, project, has_javascript) as page:
            decided[way] = list(decide(page, list(islice(cycle(PRESSES), count))))
    tell("writing approvals and exporting")
    _ris(state_dir, "review", "push", "--project", project, "--annotations", "--yes")
    out = state_dir / f"reviewed-{project}"
    choice = ("--review", "approved", "--format", "jsonl", "--no-images")
    _ris(state_dir, "export", "--project", project, *choice, "--out", out)
    annotated = _read_annotated(client, project)
    record = ReviewRecord(_read_rows(state_dir, project), annotated, read_exported(out / "records.jsonl"))
    return ReviewReport(
        {way: [one.seconds for one in of] for way, of in decided.items()},
        {way: compare(of, proposals, record) for way, of in decided.items()},
    )


def compare(decided: Iterable[Decided], proposals: Mapping[str, Proposal], record: ReviewRecord) -> Disagreements:
    """Count what is not as it was pressed. Masks are compared pixel by pixel; of what is not approved there must be none."""
    wrong = [0, 0, 0]
    for one in decided:
        proposal, press = proposals[one.key], one.press
        expected = [proposal.mask] if press.state == "approved" else []
        wrong[0] += record.rows.get(one.key) != (press.state, press.reason, press.comment)
        for place, masks in enumerate((record.annotated, record.exported), 1):
            wrong[place] += not _is_equal(masks.get(proposal.task, []), expected)
    return Disagreements(*wrong)


def read_exported(file: Path) -> dict[int, list[Array]]:
    """The masks of a data set of JSON lines, by task."""
    masks: dict[int, list[Array]] = {}
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        for source in line.get("sources", []):
            masks.setdefault(int(source["task"]), []).append(from_rle(line["mask"]))
    return masks


def _is_equal(masks: Sequence[Array], expected: Sequence[Array]) -> bool:
    return len(masks) == len(expected) and all(map(np.array_equal, masks, expected))


def _add_project(client: LabelStudioClient, demo: Demo, count: int) -> tuple[int, dict[str, Proposal]]:
    """A project with proposals, each on a picture of its own, the least certain first."""
    config = (ROOT / "label_config" / "recommended.xml").read_text(encoding="utf-8")
    control = read_config(config).controls[0]
    project = client.request("POST", "/api/projects/", {"title": "Review bench", "label_config": config})["id"]
    scenes = [make_scene(FIRST_SEED + number) for number in range(count)]
    addresses = [_upload(client, demo, project, f"{number}.png", scene.image) for number, scene in enumerate(scenes)]
    client.request("POST", f"/api/projects/{project}/import", [{"image": one} for one in addresses])
    login = (BACKEND_USER, demo.secrets.backend_password)
    connect(client, project, demo.backend_url, login, demo.secrets.webhook_secret)
    tasks = {task["data"]["image"]: int(task["id"]) for task in _list_tasks(client, project)}
    proposals = {}
    for number, (address, scene) in enumerate(zip(addresses, scenes, strict=True)):
        task, mask = tasks[address], scene.objects[0].mask
        score = LOWEST + (HIGHEST - LOWEST) * number / count
        region = make_region(mask, control, control.labels[0], f"region{task}", score, f"thing {number}")
        body = {"task": task, "result": [region], "score": score, "model_version": VERSION}
        client.request("POST", "/api/predictions/", body)
        proposals[f"{task}/region{task}"] = Proposal(f"{task}/region{task}", task, mask)
    return project, proposals


def _upload(client: LabelStudioClient, demo: Demo, project: int, name: str, pixels: Array) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    answer = httpx.post(
        f"{demo.url}/api/projects/{project}/import?commit_to_project=false",
        files={"file": (name, file.getvalue())},
        headers={"Authorization": f"Token {demo.secrets.token}"},
        timeout=up.ANSWER_TIMEOUT_S,
        trust_env=False,
    )
    [number] = answer.raise_for_status().json()["file_upload_ids"]
    return f"/data/{client.request('GET', f'/api/import/file-upload/{number}')['file']}"


def _list_tasks(client: LabelStudioClient, project: int) -> Iterator[Mapping[str, Any]]:
    """All tasks of a project; a page has 100 of them."""
    page, total, seen = 1, 1, 0
    while seen < total:
        answer = client.request("GET", f"/api/tasks?project={project}&fields=all&page={page}&page_size=100")
        yield from answer["tasks"]
        page, total, seen = page + 1, answer["total"], seen + len(answer["tasks"])


def _read_annotated(client: LabelStudioClient, project: int) -> dict[int, list[Array]]:
    return {
        int(task["id"]): [decode_mask(region) for one in task["annotations"] for region in one["result"]]
        for task in _list_tasks(client, project)
    }


def _read_rows(state_dir: Path, project: int) -> dict[str, tuple[str, str | None, str | None]]:
    """The last row of each region."""
    statement = "SELECT task || '/' || region, state, reason, comment FROM review WHERE project = ? ORDER BY id"
    with closing(sqlite3.connect(state_dir / "ris.sqlite3")) as sql:
        return {key: (state, reason, comment) for key, state, reason, comment in sql.execute(statement, [project])}


def _ris(state_dir: Path, *words: object) -> None:
    """Type a command.

    Raises:
        RuntimeError: If it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", "backend", *map(str, words)],
        env={**os.environ, "RIS_STATE_DIR": str(state_dir)},
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"`ris {words[0]}` failed: {done.stderr[-500:]}")
