"""Annotations, events and answers for tests: small images, masks that are rectangles."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from label_studio_sdk.converter.brush import mask2rle

from backend.db.records import Answer, Region
from backend.db.request_store import RequestStore
from backend.db.tables import answer
from backend.label_studio.drawn_regions import DrawnRegion
from ris_core.geometry.masks import Rle, from_rle, to_rle

PROJECT = 7
HEIGHT, WIDTH = 30, 40
START = 1_790_000_000.0
CONFIG = (Path(__file__).parents[3] / "label_config" / "recommended.xml").read_text(encoding="utf-8")
TRAFFIC = Path(__file__).parents[2] / "data" / "label-studio-traffic"
RECORDED = (
    "annotation_created",
    "annotation_updated",
    "annotation_created_skipped",
    "annotations_created_bulk",
    "annotations_deleted",
    "project_updated",
    "annotations_deleted_bulk",
    "tasks_created",
    "tasks_deleted",
    "start_training",
)
"""Every recorded webhook, in the order in which they came."""


def box(x: int, y: int, width: int = 10, height: int = 10, size_hw: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    mask = np.zeros(size_hw, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def rle(x: int, y: int, width: int = 10, height: int = 10) -> Rle:
    return to_rle(box(x, y, width, height))


def clock(seconds: float) -> str:
    return datetime.fromtimestamp(START + seconds, UTC).isoformat().replace("+00:00", "Z")


def brush(id: str, mask: np.ndarray, text: str | None = None, label: str = "Object", **more: Any) -> dict[str, Any]:
    height, width = mask.shape
    return {
        "id": id,
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255), "brushlabels": [label]},
        **({"meta": {"text": [text]}} if text else {}),
        **more,
    }


def drawn(id: str, mask: np.ndarray, text: str | None = None, **more: Any) -> DrawnRegion:
    given = {"label": "Object", "wording": "meta" if text else None, "origin": "manual", "score": None, **more}
    return DrawnRegion(id=id, from_name="brush", expression=text, made_for=None, mask=to_rle(mask), **given)


def annotation(id: int, task: int, result: Sequence[Any], at: float = 100.0, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "task": task,
        "project": PROJECT,
        "result": list(result),
        "completed_by": 1,
        "created_at": clock(100.0),
        "updated_at": clock(at),
        "lead_time": 4.0,
        "was_cancelled": False,
        "ground_truth": False,
        "parent_prediction": None,
        **more,
    }


def event(one: dict[str, Any], action: str = "ANNOTATION_CREATED", data: dict[str, Any] | None = None) -> str:
    """A webhook's body about one annotation."""
    task = {"id": one["task"], "data": data or {"image": f"/data/{one['task']}.png"}}
    project = {"id": PROJECT, "label_config": CONFIG}
    return json.dumps({"action": action, "annotation": one, "task": task, "project": project})


def deletion(*ids: int) -> str:
    body = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": id} for id in ids], "project": {"id": PROJECT}}
    return json.dumps(body)


def recorded(name: str) -> dict[str, Any]:
    return json.loads((TRAFFIC / f"webhook_{name}.json").read_text())["request"]["body"]


def send(store: RequestStore, *bodies: str) -> None:
    for body in bodies:
        store.projects.add_webhook(json.loads(body)["action"], PROJECT, body)


def hand_out(
    store: RequestStore,
    task: int,
    regions: Iterable[tuple[str, int]],
    masks: Sequence[Rle],
    *,
    at: float = 50.0,
    expression: str = "the box",
    kind: str = "interactive",
    user: int | None = None,
    prompt: str | None = None,
    label: str = "Object",
    chosen: bool | None = None,
) -> None:
    """Record an answer.

    Args:
        regions: Id and rank (from 1) of each candidate that was shown.
        masks: Its candidates.
        chosen: The candidate was asked for ("next"), under an id that may have been handed out before; None to leave the response empty.
    """
    body = {"data": {}, "label_config": "", "hostname": None, "expressions": [expression], "extra_params": {}}
    request = store.add_request(kind, str(task), body, lifetime_s=60, project=PROJECT, prompt_id=prompt, user=user)
    store.start_request(request)
    candidates = [
        {"rank": i + 1, "score": 0.9 - 0.2 * i, "bbox_xywh": [0, 0, 1, 1], "mask": mask, "parts": {}}
        for i, mask in enumerate(masks)
    ]
    shown = list(regions)
    made = [Region(id, rank, "brush", label, is_reused=bool(chosen)) for id, rank in shown]
    results = [brush(id, from_rle(masks[rank - 1]), expression) for id, rank in shown if chosen is not None]
    for result, (_, rank) in zip(results, shown, strict=False):
        result["meta"]["ris"] = {"rank": rank} if chosen else {}
    selected = [rank - 1 for _, rank in shown]
    record = Answer(expression, label, "match", "v1", "fp", f"sha-{task}", HEIGHT, WIDTH, candidates, selected, made)
    assert store.finish_request(request, {"result": results}, [record])
    with store._engine.begin() as db:  # as if it had been then
        db.execute(sa.update(answer).where(answer.c.request_id == request).values(created_at=START + at))
