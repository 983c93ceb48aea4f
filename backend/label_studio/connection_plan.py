"""What a project's connection is, compared with what it should be. Only reads."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from backend.base.errors import BadConfig, BadSettings
from backend.label_studio.check import Check, problem_of
from backend.label_studio.client import LabelStudioClient, RequestRefused
from backend.label_studio.config_edit import ConfigEdit, edit_config
from backend.label_studio.protocol import Json, read_setup
from backend.label_studio.reachability import clean_url, how_to_be_reached
from backend.settings.project import KEYS, BadProjectSetting, read_project_settings

TITLE = "Referring expressions"
"""Name of the model in Label Studio; one of this name whose address changed is moved instead of added twice."""
ANNOTATION_EVENTS = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
"""What the webhook is for. `ANNOTATION_DELETED` does not exist; deleting one sends the plural."""


@dataclass(frozen=True)
class WantedConnection:
    """How a project is to be connected.

    Attributes:
        url: The backend as Label Studio reaches it.
        credentials: Basic auth user and password of the backend.
        webhook_secret: Bearer token of the webhook; the basic auth is sent if there is none.
        moves: Whether a model of ours that Label Studio reaches at another address moves to this one.
        settings: Per-project settings by key (`project_settings.KEYS`); None takes one away, others are kept.
        label: Label of a control for masks, if the label config has none.
    """

    url: str
    credentials: tuple[str, str] | None = None
    webhook_secret: str | None = None
    moves: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None


@dataclass(frozen=True)
class ConnectionPlan:
    """What was found and what is to be written.

    Attributes:
        points: What was found, part by part.
        earlier: Label Studio's row of the ML backend; None if there is none.
        backend: What is sent for that row; None if it is as it should be.
        webhook: What is sent for the webhook; None if it is as it should be.
        edit: Edit of the label config; None if it stays, or cannot be made to work.
    """

    project: int
    wanted: WantedConnection
    points: tuple[Check, ...]
    earlier: Json | None
    backend: Json | None
    webhook: Json | None
    edit: ConfigEdit | None

    @property
    def is_connected(self) -> bool:
        """Whether Label Studio says that it reaches the backend at the wanted address."""
        return self.earlier is not None and self.earlier["state"] == "CO" and is_at(self.earlier, self.wanted.url)


def make_plan(studio: LabelStudioClient, project: int, wanted: WantedConnection) -> ConnectionPlan:
    """Read what there is and compare it with what is wanted.

    Raises:
        BadSettings: If there is no such project, or the token or the backend's address cannot be used.
        Unreachable: If Label Studio does not answer.
    """
    wanted = replace(wanted, url=clean_url(wanted.url))
    try:
        about = studio.request("GET", f"/api/projects/{project}/")
    except RequestRefused as error:
        raise BadSettings(
            f"Label Studio at {studio.url} has no project {project}.",
            "Its number is in the address of the project's page.",
        ) from error
    earlier = _same_backend(studio.request("GET", f"/api/ml?project={project}"), wanted.url)
    if earlier and earlier["state"] == "CO" and not wanted.moves:
        wanted = replace(wanted, url=earlier["url"].rstrip("/"))
    backend, backend_points = _plan_backend(earlier, project, wanted)
    webhook, webhook_points = _plan_webhook(find_webhook(studio, project, wanted.url, earlier), project, wanted)
    settings = {**_read_settings(earlier), **wanted.settings}
    edit, config_points = _plan_config(studio, about, project, wanted.label, settings.get("prompt"))
    _, version_point = plan_version(studio, about, earlier["model_version"] if earlier else "")
    points = (*backend_points, *webhook_points, *config_points, version_point)
    return ConnectionPlan(project, wanted, points, earlier, backend, webhook, edit)


def find_webhook(studio: LabelStudioClient, project: int, url: str, earlier: Json | None) -> Json | None:
    """Label Studio's row of the webhook that belongs to the backend, at its new or its earlier address."""
    addresses = {f"{address.rstrip('/')}/webhook" for address in (url, earlier["url"] if earlier else url)}
    rows = studio.request("GET", f"/api/webhooks/?project={project}")
    return next((row for row in rows if row["url"] in addresses), None)


def plan_version(studio: LabelStudioClient, about: Json, version: str) -> tuple[str | None, Check]:
    """What the project should show predictions of: the backend's version, once there are any; the choice of others is left.

    Label Studio writes the model's title there when a model is added, and refuses versions without predictions.

    Args:
        about: The project, as Label Studio describes it.
        version: What the backend calls itself; empty if that is not known yet.
    """
    name, shown_version = "model version", about.get("model_version") or ""
    if shown_version == version != "":
        return None, Check(name, "ok", f"predictions of {version} are shown")
    if shown_version not in ("", TITLE):
        return None, Check(name, "ok", f'predictions of "{shown_version}" are shown, as somebody chose')
    if version and studio.request("GET", f"/api/projects/{about['id']}/model-versions/").get(version):
        return version, Check(name, "change", f"predictions of {version} are shown, with their scores")
    return None, Check(name, "ok", f"is set with the first predictions{f' of {version}' if version else ''}")


def is_at(row: Json, url: str) -> bool:
    """Whether a row of an ML backend has this address."""
    return row["url"].rstrip("/") == url


def _same_backend(rows: Sequence[Json], url: str) -> Json | None:
    """The row of this address, else the row of our title, which has an address that is no longer ours."""
    by_url = [row for row in rows if is_at(row, url)]
    by_title = [row for row in rows if row.get("title") == TITLE]
    return next(iter([*by_url, *by_title]), None)


def _plan_backend(earlier: Json | None, project: int, wanted: WantedConnection) -> tuple[Json | None, list[Check]]:
    user, password = wanted.credentials or ("", "")
    # A PATCH without url and project is answered 500, so it sends everything, as a POST does.
    body = {"url": wanted.url, "project": project, "title": TITLE, "is_interactive": True, "auth_method": "NONE"}
    if wanted.credentials:
        body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
    settings = _read_settings(earlier)
    merged = {**settings, **wanted.settings}
    merged = {key: value for key, value in merged.items() if value is not None}
    if merged != settings:
        body["extra_params"] = merged
    row = earlier or {}
    points = [
        _look_at_model(earlier, wanted),
        _compare(
            "credentials", _has_credentials(row, body), "are set" if user else "none are needed", "are sent along"
        ),
        _compare(
            "interactive", row.get("is_interactive") is True, "Auto-Annotation is offered", "offers Auto-Annotation"
        ),
        _look_at_settings(settings, merged),
    ]
    return (body if any(point.state != "ok" for point in points) else None), points


def _look_at_model(earlier: Json | None, wanted: WantedConnection) -> Check:
    """The row of the ML backend, and what Label Studio saw when it was asked for just now."""
    name = "model"
    if earlier is None:
        return Check(name, "change", f"{wanted.url} is added")
    if not is_at(earlier, wanted.url):
        return Check(name, "change", f"moves from {earlier['url']} to {wanted.url}")
    if earlier["state"] == "DI":
        return Check(name, "problem", f"Label Studio does not reach {wanted.url}", how_to_be_reached(wanted.url))
    if earlier["state"] == "ER":
        return Check(name, "change", f"is set up again; Label Studio says: {earlier['error_message']}")
    if earlier.get("title") != TITLE:
        return Check(name, "change", f'is called "{TITLE}" instead of "{earlier.get("title")}"')
    return Check(name, "ok", f"Label Studio reaches {wanted.url}")


def _has_credentials(row: Json, body: Json) -> bool:
    """Label Studio tells whether it has a password, not which; a wrong one shows as an error of the model."""
    if body["auth_method"] == "NONE":
        return row.get("auth_method", "NONE") == "NONE"
    kept = ("auth_method", "basic_auth_user")
    return all(row.get(key) == body[key] for key in kept) and bool(row.get("basic_auth_pass_is_set"))


def _look_at_settings(settings: Json, merged: Json) -> Check:
    name = "project settings"
    try:
        read_project_settings(merged)
    except BadProjectSetting as error:
        return problem_of(name, error)
    text = ", ".join(f"{key} {merged[key]!r}" for key in KEYS if key in merged) or "none"  # others' may be secrets
    return _compare(name, merged == settings, text, f"become: {text}")


def _read_settings(earlier: Json | None) -> Json:
    """A connection's extra parameters as the backend reads them."""
    return read_setup({"extra_params": earlier.get("extra_params") if earlier else None}).extra_params


def _plan_webhook(row: Json | None, project: int, wanted: WantedConnection) -> tuple[Json | None, list[Check]]:
    present = row or {"headers": {}, "actions": []}
    headers = present["headers"] | _authorization(wanted)
    actions = [*present["actions"], *(action for action in ANNOTATION_EVENTS if action not in present["actions"])]
    body = {
        "url": f"{wanted.url}/webhook",
        "project": project,
        "send_payload": True,
        "send_for_all_actions": False,
        "headers": headers,
        "is_active": True,
        "actions": actions,
    }
    is_there = all(present.get(key) == body[key] for key in ("url", "send_payload", "is_active"))
    listed = present.get("send_for_all_actions") is False and actions == present["actions"]
    points = [
        _compare(
            "webhook",
            is_there,
            f"{body['url']} receives annotation events",
            f"will send annotation events to {body['url']}",
        ),
        _compare(
            "webhook authorization", present["headers"] == headers, "is set" if headers else "none is needed", "is set"
        ),
        _compare("webhook events", listed, "annotation events only", "will be annotation events only"),
    ]
    return (body if any(point.state == "change" for point in points) else None), points


def _authorization(wanted: WantedConnection) -> dict[str, str]:
    """Label Studio does not send the model's basic auth with webhooks."""
    if wanted.webhook_secret:
        return {"Authorization": f"Bearer {wanted.webhook_secret}"}
    if wanted.credentials:
        return {"Authorization": f"Basic {b64encode(':'.join(wanted.credentials).encode()).decode()}"}
    return {}


def _plan_config(
    studio: LabelStudioClient, about: Json, project: int, label: str | None, prompt: object
) -> tuple[ConfigEdit | None, list[Check]]:
    name = "label config"
    try:
        edit = edit_config(about["label_config"], label, prompt if isinstance(prompt, str) else None)
        if not edit.changes:
            masks = ", ".join(f'"{control.name}"' for control in edit.config.controls)
            return None, [
                Check(name, "ok", f'expressions are typed into "{edit.config.prompts[0]}", masks go to {masks}')
            ]
        studio.request("POST", f"/api/projects/{project}/validate/", {"label_config": edit.after})
    except BadConfig as error:
        return None, [problem_of(name, error)]
    except RequestRefused as error:
        remedy = "Edit the label config by hand, as label_config/README.md says."
        return None, [Check(name, "problem", f"Label Studio does not accept the edit: {error}", remedy)]
    points = [Check(name, "change", f"gets {change}") for change in edit.changes]
    if about.get("total_annotations_number"):
        stay = f"{about['total_annotations_number']} stay as they are: no control and no label is renamed or removed"
        points.append(Check("annotations", "ok", stay))
    return edit, points


def _compare(name: str, is_right: bool, right: str, change: str) -> Check:
    return Check(name, "ok", right) if is_right else Check(name, "change", change)
