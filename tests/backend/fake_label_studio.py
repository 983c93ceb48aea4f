"""A small stand-in that connects projects to ML backends as Label Studio 1.23.2 does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.backend.stand_in import Answer, Call, StandIn, error, recorded, route, unauthorised
from tests.backend.stand_in_tasks import Row, TaskRoutes

PROJECT = 7
CONFIG = (Path(__file__).parents[2] / "label_config" / "recommended.xml").read_text(encoding="utf-8")
FOREIGN = '<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i"><Label value="Dog"/></BrushLabels></View>'
MISSING_URL = "MLBackend.healthcheck_() missing 1 required positional argument: 'url'"


class FakeLabelStudio(TaskRoutes):
    """A project with its ML backends and webhooks; makes the webhook with the backend, without its authentication.

    If that webhook is refused, so is the backend, but its row stays: as with ML_BLOCK_LOCAL_IP=false alone.

    Attributes:
        tasks: None, unless a test says so.
        versions: How many predictions of each version there are.
        rows: What was made, by kind, with passwords, which it does not give out.
        refusals: Status, words and more of requests that are refused, by method and kind: "POST ml".
        writes: Requests that changed something.
    """

    def __init__(self) -> None:
        super().__init__(PROJECT, CONFIG)
        self.rows: dict[str, list[dict[str, Any]]] = {"ml": [], "webhooks": []}
        self.project["model_version"] = ""
        self.tasks: list[Row] = []
        self.versions: dict[str, int] = {}
        self.refusals: dict[str, Answer] = {}
        self.writes: list[str] = []

    def task_rows(self) -> Iterator[Row]:
        return iter(self.tasks)

    @route("PATCH", "/api/projects/{}/", 200)
    def _change_project(self, call: Call, _project: str) -> Answer:
        self.writes.append("PATCH projects")
        self.project |= call.body
        return self._project(call, str(self.project["id"]))

    @route("GET", "/api/projects/{}/model-versions/", 200)
    def _versions(self, _call: Call, _project: str) -> Answer:
        return 200, self.count_versions(version for version, count in self.versions.items() for _ in range(count))

    @route("POST", "/api/projects/{}/validate/", 200, 400)
    def _validate(self, _call: Call, _project: str) -> Answer:
        return self._refusal("POST validate") or (200, {"config_essential_data_has_changed": True})

    @route("GET", "/api/ml", 200)
    def _backends(self, _call: Call) -> Answer:
        return 200, [_public(row) for row in self.rows["ml"]]

    @route("POST", "/api/ml", 201, 400, 403, 500)
    def _add_backend(self, call: Call) -> Answer:
        if blocked := self._refusal("POST webhooks"):
            self.add("ml", call.body)
            self.rows["webhooks"].clear()
            return blocked
        if refused := self._refusal("POST ml"):
            return refused
        self.writes.append("POST ml")
        self.project["model_version"] = self.project["model_version"] or call.body.get("title", "")
        return 201, _public(self.add("ml", call.body))

    @route("PATCH", "/api/ml/{}", 200, 500)
    def _change_backend(self, call: Call, backend: str) -> Answer:
        if not {"url", "project"} <= set(call.body):
            return error(500, MISSING_URL)
        given = {"basic_auth_pass_is_set": True} if call.body.get("basic_auth_pass") else {}
        # it asks the backend before it answers
        reached = {"state": "CO", "readable_state": "Connected", "error_message": None}
        return 200, _public(self._change("ml", backend, {**call.body, **given, **reached}))

    @route("GET", "/api/webhooks/", 200)
    def _webhooks(self, _call: Call) -> Answer:
        return 200, self.rows["webhooks"]

    @route("POST", "/api/webhooks/", 201, 403)
    def _add_webhook(self, call: Call) -> Answer:
        if refused := self._refusal("POST webhooks"):
            return refused
        self.writes.append("POST webhooks")
        return 201, self.add("webhooks", call.body)

    @route("PATCH", "/api/webhooks/{}/", 200)
    def _change_webhook(self, call: Call, webhook: str) -> Answer:
        return 200, self._change("webhooks", webhook, call.body)

    def add(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make a row, as a request or somebody else does."""
        id = len(self.rows[kind]) + 1
        if kind == "webhooks":
            row = recorded("webhook", id=id, project=self.project["id"]) | body
            self.rows[kind].append(row)
            return row
        password = {"basic_auth_pass": body["basic_auth_pass"]} if "basic_auth_pass" in body else {}
        row = {**recorded("ML backend", id=id, project=self.project["id"]), **body, **password}
        row |= {"url": body["url"], "basic_auth_pass_is_set": bool(password)}
        self.rows[kind].append(row)
        self.add("webhooks", {"url": f"{body['url'].rstrip('/')}/webhook"})
        return row

    def _change(self, kind: str, id: str, body: dict[str, Any]) -> dict[str, Any]:
        self.writes.append(f"PATCH {kind}")
        row = next(row for row in self.rows[kind] if row["id"] == int(id))
        row |= body
        return row

    def _refusal(self, what: str) -> Answer | None:
        if what not in self.refusals:
            return None
        status, words = self.refusals[what]
        return error(status, **words)


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "basic_auth_pass"}


class FakeTokens(StandIn):
    """Exchanges a personal access token, and answers to the newest access token alone.

    Args:
        personal: The token that it exchanges.
    """

    def __init__(self, personal: str) -> None:
        super().__init__()
        self._personal, self.given = personal, 0

    @route("POST", "/api/token/refresh/", 200, 401)
    def _exchange(self, call: Call) -> Answer:
        if call.body != {"refresh": self._personal}:
            return error(401, "Token is invalid")
        self.given += 1
        return 200, {"access": f"access-{self.given}"}

    @route("GET", "/api/projects/{}/", 200, 401)
    def _open(self, call: Call, project: str) -> Answer:
        is_newest = call.headers.get("Authorization") == f"Bearer access-{self.given}"
        return (200, recorded("project", id=int(project))) if is_newest else unauthorised()
