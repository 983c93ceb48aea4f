"""The real Label Studio, the real backend, the demo models."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from backend.base.errors import Unreachable
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import ANNOTATION_EVENTS, connect
from demo import label_studio
from demo.gallery import GALLERY, Exhibit
from demo.up import BACKEND_USER, Demo, decode_mask, measure_overlap

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.parametrize("exhibit", GALLERY[:3], ids=lambda exhibit: exhibit.expression)
def test_expression_is_answered_with_the_mask_it_refers_to(demo: Demo, client: LabelStudioClient, exhibit: Exhibit):
    [region] = label_studio.ask(client, demo.backend, demo.tasks[exhibit], exhibit.expression)
    assert measure_overlap(decode_mask(region), exhibit.truth()) >= 0.8
    assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "brush", "image")
    assert region["meta"]["text"] == [exhibit.expression]


def test_asking_for_what_is_not_there_says_what_the_backend_told(demo: Demo, client: LabelStudioClient):
    exhibit = GALLERY[0]
    with pytest.raises(Unreachable, match="The backend told: This model does not know “zebra”"):
        label_studio.ask(client, demo.backend, demo.tasks[exhibit], "the purple zebra")


def test_region_ids_are_fresh_and_recorded(demo: Demo, client: LabelStudioClient, state_dir: Path):
    exhibit = GALLERY[0]
    first, second = (
        label_studio.ask(client, demo.backend, demo.tasks[exhibit], exhibit.expression)[0]["id"] for _ in range(2)
    )
    assert first != second
    with closing(sqlite3.connect(state_dir / "ris.sqlite3")) as sql:
        recorded = {row[0] for row in sql.execute("SELECT id FROM region")}
    assert {first, second} <= recorded


def test_backend_is_connected_as_interactive(demo: Demo, client: LabelStudioClient):
    [backend] = client.request("GET", f"/api/ml?project={demo.project}")
    assert (backend["state"], backend["is_interactive"], backend["auth_method"]) == ("CO", True, "BASIC_AUTH")
    assert backend["model_version"].startswith("demo")


def test_webhook_brings_its_secret_and_only_annotations(demo: Demo, client: LabelStudioClient):
    [webhook] = client.request("GET", f"/api/webhooks/?project={demo.project}")
    assert webhook["headers"] == {"Authorization": f"Bearer {demo.secrets.webhook_secret}"}
    assert (webhook["send_for_all_actions"], set(webhook["actions"])) == (False, set(ANNOTATION_EVENTS))


def test_connecting_again_adds_nothing(demo: Demo, client: LabelStudioClient):
    def count() -> tuple[int, int]:
        return tuple(len(client.request("GET", f"/api/{kind}?project={demo.project}")) for kind in ("ml", "webhooks/"))

    before = count()
    again = connect(
        client,
        demo.project,
        demo.backend_url,
        (BACKEND_USER, demo.secrets.backend_password),
        demo.secrets.webhook_secret,
    )
    assert (again.backend, count()) == (demo.backend, before)


def test_stranger_gets_no_prediction(demo: Demo):
    assert httpx.post(f"{demo.backend_url}/predict", json={"tasks": []}).status_code == 401


def test_every_scene_is_there_with_its_expression(demo: Demo, client: LabelStudioClient):
    tasks = client.request("GET", f"/api/tasks?project={demo.project}&page_size=100")["tasks"]
    assert sorted(task["data"]["try"] for task in tasks) == sorted(exhibit.expression for exhibit in GALLERY)
