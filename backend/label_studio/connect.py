"""Connect a Label Studio project to the backend. Doing it again changes nothing, or mends what is not as it should be."""

from dataclasses import dataclass, replace

from backend.base.errors import BadSettings, Unreachable
from backend.label_studio.check import Check
from backend.label_studio.client import LabelStudioClient, RequestRefused, TokenRefused
from backend.label_studio.connection_plan import (
    ANNOTATION_EVENTS,
    TITLE,
    ConnectionPlan,
    WantedConnection,
    find_webhook,
    is_at,
    make_plan,
    plan_version,
)
from backend.label_studio.protocol import Json
from backend.label_studio.reachability import UNBLOCK, ask_backend, how_to_be_reached

__all__ = ["ANNOTATION_EVENTS", "TITLE", "Check", "ConnectedProject", "carry_out", "connect", "inspect"]


@dataclass(frozen=True)
class ConnectedProject:
    """A connected project.

    Attributes:
        backend: Label Studio's id of the ML backend.
        webhook: Its id of the webhook.
        model_version: What the backend said of itself when it was connected.
    """

    backend: int
    webhook: int
    model_version: str


def connect(
    label_studio: LabelStudioClient,
    project: int,
    backend_url: str,
    credentials: tuple[str, str] | None = None,
    webhook_secret: str | None = None,
) -> ConnectedProject:
    """Make the backend a project's interactive model, and let its webhook in; the label config stays as it is.

    Args:
        backend_url: The backend as Label Studio reaches it.
        credentials: Basic auth user and password of the backend.
        webhook_secret: Bearer token of the webhook; the basic auth is sent if there is none.

    Raises:
        BadSettings: If the project does not exist, or Label Studio blocks the address or cannot reach it.
    """
    plan = make_plan(label_studio, project, WantedConnection(backend_url, credentials, webhook_secret))
    return carry_out(label_studio, replace(plan, edit=None))


def inspect(
    studio: LabelStudioClient,
    project: int,
    url: str,
    webhook_secret: str | None,
    credentials: tuple[str, str] | None = None,
) -> list[Check]:
    """Compare a project's connection with what it should be; changes nothing.

    Args: as of `connect`.

    Raises:
        BadSettings: If there is no such project, or the token or the backend's address cannot be used.
        Unreachable: If Label Studio does not answer.
    """
    return list(make_plan(studio, project, WantedConnection(url, credentials, webhook_secret)).points)


def carry_out(studio: LabelStudioClient, plan: ConnectionPlan) -> ConnectedProject:
    """Write what is not as it should be, and nothing else.

    Raises:
        BadSettings: If Label Studio blocks the backend's address, cannot reach it, or does not accept what it answers.
    """
    backend = _save_backend(studio, plan)
    webhook = _save_webhook(studio, plan)
    if plan.edit:
        studio.request("PATCH", f"/api/projects/{plan.project}/", {"label_config": plan.edit.after})
    about = studio.request("GET", f"/api/projects/{plan.project}/")
    version, _ = plan_version(studio, about, backend["model_version"] or "")
    if version:
        studio.request("PATCH", f"/api/projects/{plan.project}/", {"model_version": version})
    return ConnectedProject(backend["id"], webhook["id"], backend["model_version"] or "")


def _save_backend(studio: LabelStudioClient, plan: ConnectionPlan) -> Json:
    if plan.backend is None:
        assert plan.earlier
        return plan.earlier
    try:
        if plan.earlier:
            return studio.request("PATCH", f"/api/ml/{plan.earlier['id']}", plan.backend)
        return studio.request("POST", "/api/ml", plan.backend)
    except TokenRefused as error:  # 403; the token is good, since with it the project was just read
        raise _why_blocked(studio, plan) from error
    except (RequestRefused, Unreachable) as error:
        raise _why_refused(plan.wanted, error) from error


def _save_webhook(studio: LabelStudioClient, plan: ConnectionPlan) -> Json:
    """Label Studio makes the webhook with the ML backend, but without authorization and for every kind of event."""
    webhook = find_webhook(studio, plan.project, plan.wanted.url, plan.earlier)
    if plan.webhook is None:
        assert webhook
        return webhook
    try:
        if webhook:
            return studio.request("PATCH", f"/api/webhooks/{webhook['id']}/", plan.webhook)
        return studio.request("POST", "/api/webhooks/", plan.webhook)
    except TokenRefused as error:
        raise _webhook_is_blocked(plan.wanted.url) from error


def _why_blocked(studio: LabelStudioClient, plan: ConnectionPlan) -> BadSettings:
    rows = studio.request("GET", f"/api/ml?project={plan.project}")
    if not plan.earlier and any(is_at(row, plan.wanted.url) for row in rows):
        return _webhook_is_blocked(plan.wanted.url)
    return BadSettings(
        f"Label Studio blocks {plan.wanted.url}: it allows no addresses of private networks unless told so.",
        f"If that address is right, {UNBLOCK}. If it is a public one, the token's user may not change this project.",
    )


def _webhook_is_blocked(url: str) -> BadSettings:
    """With ML_BLOCK_LOCAL_IP=false alone, Label Studio keeps the model and refuses its webhook."""
    return BadSettings(
        f"Label Studio has the model, but blocks its webhook {url}/webhook, so what annotators correct would not be recorded.",
        f"ML_BLOCK_LOCAL_IP=false alone does not allow webhooks: {UNBLOCK}. Then run `ris connect` again.",
    )


def _why_refused(wanted: WantedConnection, refusal: RequestRefused | Unreachable) -> BadSettings:
    """Tell apart by what this machine sees: the backend does not run, or does not like the credentials, or it is Label Studio.

    Label Studio refuses an address that it does not reach, and one where something else answers, alike: only its words differ.
    """
    try:
        ask_backend(wanted.url, wanted.credentials)
        observation = f"The backend runs: this machine reaches it at {wanted.url}."
    except BadSettings as error:
        return error
    except Unreachable:
        observation = "Nor does this machine."
    return BadSettings(
        f"Label Studio does not reach {wanted.url}, or cannot use what answers it there. {observation}",
        f"{how_to_be_reached(wanted.url)} Label Studio says: {refusal}",
    )
