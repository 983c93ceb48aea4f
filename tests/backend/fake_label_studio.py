"""A small stand-in that answers as Label Studio 1.23.2 was recorded to."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROJECT = 7
CONFIG = (Path(__file__).parents[2] / "label_config" / "recommended.xml").read_text(encoding="utf-8")
FOREIGN = '<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i"><Label value="Dog"/></BrushLabels></View>'
Answer = tuple[int, Any]


class FakeLabelStudio:
    """A project with its ML backends and webhooks; makes the webhook with the backend, without its authentication.

    If that webhook is refused, so is the backend, but its row stays: as with ML_BLOCK_LOCAL_IP=false alone.

    Attributes:
        refusals: Answers to requests that are refused, by method and kind: "POST ml".
        writes: Requests that changed something.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {"ml": [], "webhooks": []}
        self.project = {"id": PROJECT, "label_config": CONFIG, "model_version": "", "total_annotations_number": 0}
        self.versions: dict[str, int] = {}
        self.refusals: dict[str, Answer] = {}
        self.writes: list[str] = []

    def __call__(self, request: SimpleNamespace) -> tuple[int, dict[str, str], bytes]:
        status, answer = self.answer(request.method, request.path, json.loads(request.body or b"{}"))
        return status, {}, json.dumps(answer).encode()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        kind, *rest = path.removeprefix("/api/").partition("?")[0].strip("/").split("/")
        if (method, kind) == ("POST", "ml") and "POST webhooks" in self.refusals:
            self.add(kind, body)
            self.rows["webhooks"].clear()
            return self.refusals["POST webhooks"]
        if refusal := self.refusals.get(f"{method} {rest[-1] if 'validate' in rest else kind}"):
            return refusal
        if str(PROJECT) not in (path.rpartition("=")[2], *rest, str(body.get("project"))):
            return 404, {"detail": "No Project matches"}
        if method == "GET" and kind == "projects":
            return 200, self.versions if "model-versions" in rest else self.project
        if method == "GET" or "validate" in rest:
            return 200, self.rows.get(kind, {})
        self.writes.append(f"{method} {kind}")
        if kind == "projects":
            self.project |= body
            return 200, self.project
        if method == "POST":
            return 201, self.add(kind, body)
        if kind == "ml" and not {"url", "project"} <= set(body):
            return 500, {}
        row = next(row for row in self.rows[kind] if row["id"] == int(rest[0]))
        row |= body
        return 200, row

    def add(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        row = {"id": len(self.rows[kind]) + 1, **body}
        self.rows[kind].append(row)
        if kind == "ml":
            row |= {"state": "CO", "model_version": "demo-1", "basic_auth_pass_is_set": "basic_auth_pass" in body}
            webhook = {"url": f"{body['url'].rstrip('/')}/webhook", "send_payload": True, "is_active": True}
            self.add("webhooks", {**webhook, "send_for_all_actions": True, "headers": {}, "actions": []})
        return row
