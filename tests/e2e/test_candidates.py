"""What `ris run start --top-k` writes, in the real Label Studio: scores and the label stream know the best candidates only."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.corrections.queries import read_corrections
from backend.corrections.reconciler import reconcile
from backend.corrections.store import open_correction_store
from backend.label_studio.client import LabelStudioClient
from demo.gallery import GALLERY
from demo.up import Demo
from tests.e2e.conftest import RECOMMENDED, MakeProject

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


def test_other_candidates_stand_beside_the_best_and_only_that_is_scored_and_streamed(
    demo: Demo, client: LabelStudioClient, make_project: MakeProject, image_of: Callable, state_dir: Path
):
    several = {"image": image_of(GALLERY[1]), "say": "the fish"}  # a scene with some of them
    project = make_project(RECOMMENDED, [several, several])
    settings = {
        "RIS_STATE_DIR": str(state_dir),
        "LABEL_STUDIO_URL": demo.url,
        "LABEL_STUDIO_API_KEY": demo.secrets.token,
    }
    asked = [
        "start",
        "--project",
        str(project.id),
        "--expression-field",
        "say",
        "--top-k",
        "3",
        "--name",
        "k",
    ]
    for arguments in (asked, ["wait", "k", "--timeout", "200"]):
        command = [sys.executable, "-m", "backend", "run", *arguments]
        subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, timeout=300, check=True)
    counts = client.request("GET", f"/api/projects/{project.id}/model-versions/")
    [best] = [version for version in counts if "candidate" not in version]
    assert counts == {best: 2, f"{best}.candidate-2": 2, f"{best}.candidate-3": 2}

    task = project.tasks[0]
    mine = {one["model_version"]: one for one in client.request("GET", f"/api/predictions/?task={task}")}
    listed = client.request("GET", f"/api/tasks?project={project.id}&fields=all")["tasks"]
    assert {one["id"]: one["predictions_score"] for one in listed}[task] == mine[best]["score"]
    streamed = client.request("GET", f"/api/projects/{project.id}/next")
    assert {one["model_version"] for one in streamed["predictions"]} == {best}

    chosen = mine[f"{best}.candidate-2"]
    body = {"result": chosen["result"], "parent_prediction": chosen["id"]}
    client.request("POST", f"/api/tasks/{task}/annotations/", body)
    run_store = open_correction_store(f"sqlite:///{state_dir / 'ris.sqlite3'}")
    reconcile(client, run_store, project.id)
    with run_store.reading() as db:
        assert [one.outcome.outcome for one in read_corrections(db, project.id)] == ["replaced"]
    run_store.close()
