"""A second project of the demo, for the pages of quality review: proposals of a bulk run, and what simulated annotators made of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from jaxtyping import Bool

from backend.base.errors import Unreachable
from backend.base.redaction import reason_of
from backend.label_studio.brush import decode_brush, encode_brush
from backend.label_studio.client import LabelStudioClient
from demo.expressions import make_expressions
from demo.gallery import GALLERY, Exhibit
from demo.label_studio import make_label_config
from demo.scenes import Scene, make_scene
from ris_core.arrays import Array

TITLE = "Quality review demo"
EACH = 2
"""Expressions of each scene; each is a task."""
ACCEPTED_IOU = 0.85
"""An annotator accepts a mask that overlaps the true one at least so much."""
RUN_TIMEOUT_S = 180.0
REQUEST_TIMEOUT_S = 30.0
FIELD = "try"
Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A task: a scene with an expression, and what it refers to."""

    scene: Scene
    expression: str
    target: int


def find(label_studio: LabelStudioClient) -> int | None:
    """The project; None if it is not there."""
    projects = label_studio.request("GET", "/api/projects/?page_size=1000")["results"]
    return next((project["id"] for project in projects if project["title"] == TITLE), None)


def make(label_studio: LabelStudioClient, tasks: dict[Exhibit, int]) -> int:
    """Make the project, with tasks on the pictures of the demo's first project; returns its id."""
    about = "Proposals and corrections to review, made by `make demo`: the annotators are simulated, and some were careless."
    project = {"title": TITLE, "description": about, "label_config": make_label_config()}
    id: int = label_studio.request("POST", "/api/projects/", project)["id"]
    images = {
        exhibit.seed: label_studio.request("GET", f"/api/tasks/{task}/")["data"]["image"]
        for exhibit, task in tasks.items()
    }
    made = [
        {"data": {"image": images[case.scene.seed], FIELD: case.expression}, "meta": {"case": number}}
        for number, case in enumerate(list_cases())
        if case.scene.seed in images
    ]
    label_studio.request("POST", f"/api/projects/{id}/import", made)
    return id


def seed(label_studio: LabelStudioClient, project: int, backend_url: str, login: tuple[str, str]) -> tuple[int, int]:
    """Let a bulk run answer the tasks, then annotate most of them; how many have a proposal, and how many were annotated.

    Args:
        login: User and password of the backend.

    Raises:
        Unreachable: If the backend does not finish the run.
    """
    _run(backend_url, login, project)
    page = label_studio.request("GET", f"/api/tasks?project={project}&page_size=1000&fields=all")
    cases, annotated = list(list_cases()), 0
    for task in page["tasks"]:
        number = task["meta"]["case"]
        offered = [region for one in task["predictions"] for region in one["result"] if region["type"] == "brushlabels"]
        result = annotate(cases[number], number, offered)
        if result is not None:
            parent = task["predictions"][0]["id"] if task["predictions"] else None
            body = {"result": result, "lead_time": 3.0 + 2 * (number % 5), "parent_prediction": parent}
            label_studio.request("POST", f"/api/tasks/{task['id']}/annotations/", body)
            annotated += 1
    return sum(bool(task["predictions"]) for task in page["tasks"]), annotated


def list_cases() -> Iterator[Case]:
    """The tasks, always the same: `EACH` expressions of each scene that each refer to one thing."""
    for exhibit in GALLERY:
        scene = make_scene(exhibit.seed)
        single = [one for one in make_expressions(scene) if len(one.targets) == 1 and one.text != exhibit.expression]
        for one in single[:: max(1, len(single) // EACH)][:EACH]:
            yield Case(scene, one.text, one.targets[0])


def annotate(case: Case, number: int, offered: list[Json]) -> list[Json] | None:
    """What a simulated annotator saves for a task; None if nobody annotates it.

    Of six tasks, three are annotated with care, one is left, one gets a mask without its left third, and one another thing.
    """
    manner = number % 6
    truth = case.scene.objects[case.target].mask
    if manner == 5:
        return None
    if manner == 3:
        truth = truth & (np.arange(truth.shape[1]) > np.quantile(np.nonzero(truth)[1], 1 / 3))
    if manner == 4:
        other = case.scene.objects[(case.target + 1) % len(case.scene.objects)].mask
        return [_draw(other, case.expression, f"case{number:06}")]
    if not offered:
        return [_draw(truth, case.expression, f"case{number:06}")]
    region = offered[0]
    if manner < 3 and _iou(_decode(region), truth) >= ACCEPTED_IOU:
        return [region]
    return [{**region, "value": {**region["value"], "rle": encode_brush(truth)}}]


def _draw(mask: Bool[Array, "h w"], expression: str, id: str) -> Json:
    height, width = mask.shape
    size = {"original_width": width, "original_height": height, "image_rotation": 0}
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["Object"]}
    names = {"from_name": "masks", "to_name": "image", "type": "brushlabels", "origin": "manual"}
    return {**size, **names, "id": id, "value": value, "meta": {"text": [expression]}}


def _decode(region: Json) -> Bool[Array, "h w"]:
    return decode_brush(bytes(region["value"]["rle"]), (region["original_height"], region["original_width"]))


def _iou(one: Bool[Array, "h w"], two: Bool[Array, "h w"]) -> float:
    return float((one & two).sum() / max(1, (one | two).sum()))


def _run(backend_url: str, login: tuple[str, str], project: int) -> None:
    """Start a bulk run over HTTP, and wait for its end."""
    try:
        with httpx.Client(base_url=backend_url, auth=login, timeout=REQUEST_TIMEOUT_S, trust_env=False) as http:
            spec = {"project": project, "expression_field": FIELD, "name": "review"}
            id = http.post("/runs", json=spec).raise_for_status().json()["id"]
            until = time.monotonic() + RUN_TIMEOUT_S
            while (state := http.get(f"/runs/{id}").raise_for_status().json()["state"]) != "done":
                if state in ("failed", "cancelled", "paused") or time.monotonic() > until:
                    raise Unreachable(f"The run {id} is {state}. `ris run status {id}` says why.")
                time.sleep(0.3)
    except httpx.HTTPError as error:
        raise Unreachable(f"The backend did not take a run: {reason_of(error)}. Look into backend.log.") from error
