"""What an annotator does to a bulk prediction, in the real page, as the ledger tells it."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.corrections.matching import boundary_overlap
from backend.corrections.outcomes import RegionOutcome
from backend.corrections.queries import read_corrections
from backend.corrections.reconciler import reconcile
from backend.corrections.store import CorrectionStore, open_correction_store
from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY
from demo.scenes import make_scene
from demo.up import decode_mask, measure_overlap
from ris_core.geometry.masks import to_rle
from tests.e2e.conftest import RECOMMENDED, MakeProject, Project, count_rows, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

SCENE = GALLERY[0]
VERSION = "bulk-1"


@pytest.fixture(scope="module")
def masks() -> list[np.ndarray]:
    """Of the three largest things of the scene that do not touch each other's box much."""
    objects = sorted(make_scene(SCENE.seed).objects, key=lambda thing: -thing.mask.sum())
    return [thing.mask for thing in objects[:3]]


@pytest.fixture(scope="module")
def project(make_project: MakeProject, image_of: Callable, client: LabelStudioClient) -> Project:
    return make_project(RECOMMENDED, [{"image": image_of(SCENE)}])


@pytest.fixture(scope="module")
def offered(client: LabelStudioClient, project: Project, masks: list[np.ndarray]) -> list[dict[str, Any]]:
    """A bulk prediction of the three, as Label Studio has it."""
    control = read_config(RECOMMENDED).controls[0]
    made = [
        regions.make_region(mask, control, "Object", uuid.uuid4().hex[:10], 0.9 - 0.1 * i, f"thing {i}")
        for i, mask in enumerate(masks)
    ]
    [task] = project.tasks
    body = [{"task": task, "result": made, "score": 0.7, "model_version": VERSION}]
    assert client.request("POST", f"/api/projects/{project.id}/import/predictions", body)["created"] == 1
    client.request("PATCH", f"/api/projects/{project.id}/", {"model_version": VERSION})
    return made


@pytest.fixture
def correction_store(state_dir: Path) -> Iterator[CorrectionStore]:
    opened = open_correction_store(f"sqlite:///{state_dir / 'ris.sqlite3'}")
    yield opened
    opened.close()


def across(mask: np.ndarray) -> list[tuple[float, float]]:
    """From left to right through a mask's middle."""
    rows, columns = np.nonzero(mask)
    height, width = mask.shape
    y = float(np.median(rows)) / height
    return [(columns.min() / width, y), (columns.mean() / width, y), (columns.max() / width, y)]


def empty_place(masks: list[np.ndarray]) -> list[tuple[float, float]]:
    """A short way where nothing is."""
    taken = np.logical_or.reduce([thing.mask for thing in make_scene(SCENE.seed).objects])
    height, width = taken.shape
    for y in range(height // 8, height, height // 16):
        for x in range(width // 8, width - width // 8, width // 16):
            if not taken[max(0, y - 20) : y + 20, max(0, x - 24) : x + 44].any():
                return [(x / width, y / height), ((x + 10) / width, y / height), ((x + 20) / width, y / height)]
    raise AssertionError("the scene is full")


def current(correction_store: CorrectionStore, project: int) -> dict[str, RegionOutcome]:
    with correction_store.reading() as db:
        return {one.outcome.region: one.outcome for one in read_corrections(db, project, with_masks=True)}


def test_an_accepted_an_erased_a_deleted_and_a_drawn_mask(
    annotator: LabellingPage,
    project: Project,
    offered: list[dict[str, Any]],
    masks: list[np.ndarray],
    client: LabelStudioClient,
    correction_store: CorrectionStore,
    state_dir: Path,
):
    accepted, edited, deleted = (region["id"] for region in offered)
    [task] = project.tasks
    annotator.open_task(project.id, task)
    assert {region["id"] for region in annotator.regions} == {accepted, edited, deleted}
    annotator.select_region(1)
    annotator.paint(across(masks[1]), "eraser")
    annotator.page.keyboard.press("Escape")
    annotator.select_region(2)
    annotator.page.keyboard.press("Backspace")
    annotator.choose_label("Object")
    annotator.paint(empty_place(masks))
    annotator.take_picture("corrections")
    annotator.submit()

    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    saved = {result["id"]: result for result in annotation["result"] if result["type"] == "brushlabels"}
    [drawn] = saved.keys() - {accepted, edited}
    wait_until(lambda: count_rows(state_dir, "annotation_version WHERE annotation = ?", annotation["id"]) > 0)
    reconcile(client, correction_store, project.id)
    found = current(correction_store, project.id)
    assert {id: one.outcome for id, one in found.items()} == {
        accepted: "accepted",
        edited: "edited",
        deleted: "rejected",
        drawn: "missed",
    }
    assert found[accepted].iou == 1.0
    expected = measure_overlap(decode_mask(saved[edited]), masks[1])
    assert 0 < expected < 0.999
    assert found[edited].iou == pytest.approx(expected)
    kept = decode_mask(saved[edited])
    assert found[edited].area_change == pytest.approx(kept.sum() / masks[1].sum() - 1)
    assert found[edited].boundary_iou == boundary_overlap(to_rle(kept), to_rle(masks[1]))
    assert found[drawn].mask == to_rle(decode_mask(saved[drawn]))
    assert (found[deleted].expression, found[deleted].offered_by) == ("thing 2", "bulk")


def test_an_update_is_another_version_and_a_deletion_takes_it_out(
    annotator: LabellingPage,
    project: Project,
    offered: list[dict[str, Any]],
    client: LabelStudioClient,
    correction_store: CorrectionStore,
):
    [task] = project.tasks
    annotator.open_task(project.id, task)
    annotator.select_region(1)
    annotator.page.keyboard.press("Backspace")
    annotator.update()
    reconcile(client, correction_store, project.id)
    assert current(correction_store, project.id)[offered[1]["id"]].outcome == "rejected"
    with correction_store.reading() as db:
        history = [one.outcome.outcome for one in read_corrections(db, project.id, with_history=True)]
    assert (history.count("edited"), history.count("accepted"), history.count("rejected")) == (1, 2, 3)
    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    client.request("DELETE", f"/api/annotations/{annotation['id']}/")
    reconcile(client, correction_store, project.id)
    assert current(correction_store, project.id) == {}
