"""Thirty corrected tasks and `ris learn`, at the real Label Studio: the next answers say what nothing matches, until it is taken back."""

import io
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pil

from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.tables import answer
from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from demo.benchmark import draw_case
from demo.up import BACKEND_USER, Demo, decode_mask, measure_overlap
from ris_core.evaluation.dataset import EvaluationImage, EvaluationSample
from tests.e2e.conftest import PLAIN, RECOMMENDED, MakeProject

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
CONTROL = read_config(RECOMMENDED).controls[0]
SEEDS = range(500_300, 500_336)
"""Of the scenes; training never saw them."""
CORRECTED = 30
"""Tasks that are corrected; the others are asked before and after."""
PRESENT, ABSENT = 4, 2
"""Expressions of a task that mean something, and that mean nothing."""


class Told(NamedTuple):
    """An answer as it is recorded."""

    expression: str
    version: str
    decision: str
    is_calibrated: bool


class Team:
    """People who label a project: what they send, and what is recorded of the answers."""

    def __init__(self, client: LabelStudioClient, store: CorrectionStore, project: int) -> None:
        self._client, self._store = client, store
        [self._backend] = client.request("GET", f"/api/ml?project={project}")

    def use_profile(self, demo: Demo, profile: str) -> None:
        names = ("url", "project", "title", "is_interactive", "auth_method", "basic_auth_user")
        body = {name: self._backend[name] for name in names}
        assert body["basic_auth_user"] == BACKEND_USER
        body |= {"basic_auth_pass": demo.secrets.backend_password, "extra_params": {"profile": profile}}
        self._client.request("PATCH", f"/api/ml/{self._backend['id']}", body)

    def ask(self, task: int, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Ask for all of it at once; the regions that are offered."""
        prompt = _prompt(["; ".join(texts)])
        body = {"task": task, "context": {"result": [prompt]}}
        deadline, number = time.monotonic() + 120.0, len(self.told(task))
        while True:  # the first time the models of the profile are loaded, which takes longer than Label Studio waits
            answered = self._client.request("POST", f"/api/ml/{self._backend['id']}/interactive-annotating", body)
            if len(self.told(task)) >= number + len(texts):
                return [one for one in answered["data"]["result"] if one["from_name"] == CONTROL.name]
            assert time.monotonic() < deadline, answered
            time.sleep(0.5)

    def told(self, task: int) -> list[Told]:
        columns = answer.c.expression, answer.c.model_version, answer.c.decision, answer.c.is_calibrated
        with self._store.reading() as db:
            rows = db.execute(sa.select(*columns).where(answer.c.task == str(task)).order_by(answer.c.id))
            return [Told(*row) for row in rows]

    def correct(self, task: int, case: EvaluationImage, samples: Sequence[EvaluationSample]) -> None:
        """Ask, keep what is right, draw what is not, and say what is not there."""
        offered = self.ask(task, [one.text for one in samples])
        kept, absent = [], []
        for sample in samples:
            truth = case.truth(sample)
            own = [one for one in offered if one["meta"]["text"] == [sample.text]]
            right = [one for one in own if measure_overlap(decode_mask(one), truth) >= 0.5]
            if not truth.any():
                absent.append(f"none: {sample.text}")
            elif right:
                kept.append(right[0])
            else:
                kept.append(regions.make_region(truth, CONTROL, "Object", uuid.uuid4().hex[:10], 1.0, sample.text))
        typed = _prompt(["; ".join(one.text for one in samples), *absent])
        body = {"result": [typed, *kept], "lead_time": 5.0}
        self._client.request("POST", f"/api/tasks/{task}/annotations/", body)

    def reword(self, task: int, asked: str, saved: str) -> None:
        """Ask, keep the mask, and write something else over it."""
        [region, *_] = self.ask(task, [asked])
        body = {"result": [_prompt([asked]), {**region, "meta": {**region["meta"], "text": [saved]}}], "lead_time": 5.0}
        self._client.request("POST", f"/api/tasks/{task}/annotations/", body)


def choose_samples(case: EvaluationImage) -> list[EvaluationSample]:
    """A few expressions of different things, and a few that mean nothing."""
    of_thing = {one.targets: one for one in case.samples if len(one.targets) == 1}
    return [*list(of_thing.values())[:PRESENT], *[one for one in case.samples if not one.targets][:ABSENT]]


def test_what_was_corrected_decides_the_next_answers_until_it_is_taken_back(
    demo: Demo,
    client: LabelStudioClient,
    make_project: MakeProject,
    upload: Callable[[str, bytes], str],
    state_dir: Path,
    plain_profile: Path,
    tmp_path: Path,
):
    cases = [draw_case(seed) for seed in SEEDS]
    addresses = [upload(f"learn-{i}.png", _png(case.image.pixels)) for i, case in enumerate(cases)]
    project = make_project(RECOMMENDED, [{"image": address} for address in addresses])
    store = open_correction_store(f"sqlite:///{state_dir / 'ris.sqlite3'}")
    team = Team(client, store, project.id)
    team.use_profile(demo, PLAIN)

    def learn(*arguments: str, command: str = "learn") -> str:
        own = {
            "RIS_STATE_DIR": str(state_dir),
            "DATABASE_URL": f"sqlite:///{state_dir / 'ris.sqlite3'}",
            "RIS_PROFILE": "demo",
            "LABEL_STUDIO_URL": demo.url,
            "LABEL_STUDIO_API_KEY": demo.secrets.token,
            "PYTHONPATH": f"{plain_profile}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        line = [sys.executable, "-m", "backend", command, "--project", str(project.id), *arguments]
        done = subprocess.run(
            line, cwd=ROOT, env={**os.environ, **own}, timeout=300, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    samples = [choose_samples(case) for case in cases]
    for number in range(CORRECTED):
        team.correct(project.tasks[number], cases[number], samples[number])
    page = tmp_path / "learning.html"
    shown = learn("--out", str(page))
    assert "A gain is sure." in shown
    assert "Nothing is changed" in shown
    assert "What project" in page.read_text(encoding="utf-8")

    same = json.loads(learn("--json", command="replay"))  # by the profile that answered, from what it encoded
    assert (same["left_out"], same["changed"]) == (0, [])
    assert same["prompts"] >= CORRECTED * PRESENT
    assert all(one["change"]["value"] in (0.0, None) for one in same["figures"])
    with store.reading() as db:
        image = db.scalar(sa.select(answer.c.image_sha256).where(answer.c.task == str(project.tasks[0])).limit(1))
    lost = [file for file in (state_dir / "features" / "v2" / "images").rglob("*") if image in file.name]
    assert lost
    for file in lost:
        file.unlink()
    part = json.loads(learn("--json", command="replay"))
    assert part["left_out"] == same["prompts"] - part["prompts"] > 0
    whole = json.loads(learn("--encode", "--json", command="replay"))
    assert (whole["left_out"], whole["prompts"], whole["changed"]) == (0, same["prompts"], [])

    def ask_the_others() -> list[list[Told]]:
        of_tasks = []
        for number in range(CORRECTED, len(cases)):
            task, texts = project.tasks[number], [one.text for one in samples[number]]
            before = len(team.told(task))
            team.ask(task, texts)
            of_tasks.append(team.told(task)[before:])
        return of_tasks

    wants = [not one.targets for own in samples[CORRECTED:] for one in own]

    def count_told(of_tasks: list[list[Told]]) -> tuple[float, float]:
        """Shares of what is there that is answered, and of what is absent that is told."""
        is_none = np.array([one.decision == "no_match" for own in of_tasks for one in own])
        return float((~is_none)[~np.array(wants)].mean()), float(is_none[np.array(wants)].mean())

    before = ask_the_others()
    [base] = {one.version for own in before for one in own}
    assert count_told(before) == (1.0, 0.0)

    assert "Applied." in learn("--apply")
    after = ask_the_others()
    [version] = {one.version for own in after for one in own}
    assert version.startswith(f"{base}.learned-")
    assert version in learn("--history")
    assert all(one.is_calibrated for own in after for one in own)
    answered, told = count_told(after)
    assert answered >= 0.8
    assert told >= 0.6

    assert "is taken back." in learn("--undo")
    again = ask_the_others()
    assert again == before

    task = project.tasks[-1]
    team.reword(task, "the thing", "the car")
    [row] = json.loads(learn("--json", command="words"))
    assert (row["kind"], row["phrase"], row["meaning"], row["times"]) == ("phrase", "thing", "car", 1)
    assert "with 1 accepted words" in learn("--accept", row["id"], command="words")
    team.ask(task, ["the car"])
    team.ask(task, ["the thing"])
    with store.reading() as db:
        newest = sa.select(answer).where(answer.c.task == str(task)).order_by(answer.c.id.desc()).limit(2)
        learned, plain = db.execute(newest).mappings().all()
    assert (learned["expression"], learned["candidates"]) == ("the thing", plain["candidates"])
    assert learned["model_version"].startswith(f"{base}.learned-")
    store.close()


def _prompt(texts: Sequence[str]) -> dict[str, Any]:
    about = {"from_name": "prompt", "to_name": "image", "type": "textarea", "origin": "manual"}
    return {**about, "id": uuid.uuid4().hex[:10], "value": {"text": list(texts)}}


def _png(pixels: np.ndarray) -> bytes:
    picture = io.BytesIO()
    Pil.fromarray(pixels).save(picture, "PNG")
    return picture.getvalue()
