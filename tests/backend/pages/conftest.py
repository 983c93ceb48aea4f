"""The pages on a real database, with a project of 30 proposals in images that are there."""

import io
import re
from functools import partial

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from backend.base.errors import ImageUnreachable
from backend.db.project_store import ProjectConnection
from backend.label_studio.annotations import AnnotationEvent, StoredPrediction
from backend.pages import lister
from backend.pages.app import create_pages
from backend.review.listing import refresh
from backend.review.suspects import score_listed
from backend.runs.run import Run
from backend.runs.spec import RunSpec
from backend.runs.store import open_run_store
from backend.settings.environment import Settings
from tests.backend.corrections.conftest import correction_store, store  # noqa: F401
from tests.backend.corrections.made import CONFIG, HEIGHT, PROJECT, START, WIDTH, box, drawn

USER, PASSWORD = "label-studio", "pässword"
LEAD, LEAD_EMAIL = 3, "lead@example.org"
REGIONS = 30


def predict(
    correction_store,  # noqa: F811
    task: int,
    score: float,
    text: str = "the box",
    label: str = "Object",
    image: str = "",
    version: str = "v1",
) -> None:
    regions = (drawn(f"p{task}", box(task % 20, task % 15), text, score=score, label=label),)
    made = StoredPrediction(task, PROJECT, str(task), START, version, regions, {}, image or f"/data/{task}.png")
    correction_store.add(AnnotationEvent(PROJECT), "api", [made])


@pytest.fixture
def project(store, correction_store):  # noqa: F811
    """Tasks 1 to 30 with a proposal each; probabilities from 0.5 up to 0.79."""
    store.projects.save_connection(ProjectConnection(PROJECT, "http://studio.example.org", "token", CONFIG))
    for task in range(1, REGIONS + 1):
        predict(correction_store, task, 0.49 + task / 100)
    refresh(correction_store, PROJECT)
    score_listed(correction_store, PROJECT)
    return correction_store


def fetch(address: str, task: str) -> bytes:
    """Each task's own image, red for uneven numbers; task 13 has none."""
    if address != f"/data/{task}.png" or task == "13":
        raise ImageUnreachable(f"{address} is not there.", "Put it there.")
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[..., 0 if int(task) % 2 else 2] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _start_run(url: str, spec: RunSpec) -> Run:
    """As workers of version v1 would have it; no Redis is needed."""
    run_store = open_run_store(url)
    try:
        return run_store.add_run(spec, "v1")
    finally:
        run_store.close()


@pytest.fixture
def make_client(project, tmp_path, monkeypatch):
    """Opens the pages as `ris serve` mounts them; not signed in. A page waits until all regions are scored."""
    monkeypatch.setattr(lister, "PAGE_S", 60.0)

    def make(**more) -> TestClient:
        values = {"RIS_STATE_DIR": tmp_path / "state", "BASIC_AUTH_USER": USER, "BASIC_AUTH_PASS": PASSWORD, **more}
        url = project._engine.url.render_as_string(hide_password=False)
        settings = Settings(_env_file=None, DATABASE_URL=url, **values)
        app = FastAPI()
        start_run = partial(_start_run, url)
        app.mount("/ui", create_pages(settings, {LEAD_EMAIL: LEAD}.get, lambda _project: fetch, start_run, lambda: 1))
        return TestClient(app, raise_server_exceptions=False, follow_redirects=False)

    return make


def sign_in(client: TestClient, name: str = LEAD_EMAIL):
    form = {"name": name, "user": USER, "password": PASSWORD, "next": ""}
    response = client.post("/ui/sign-in", data=form)
    assert response.status_code == 303, response.text
    return client


@pytest.fixture
def client(make_client) -> TestClient:
    """A lead who is signed in."""
    return sign_in(make_client())


ARTICLE = re.compile(r'<article class="region" id="r-([0-9a-f]{32})".*?</article>', re.DOTALL)
FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def read_forms(html: str) -> list[dict[str, str]]:
    """What the form of each region of a page sends, in the page's order, without the button."""
    return [dict(FIELD.findall(found[0].partition("</form>")[0])) for found in ARTICLE.finditer(html)]
