"""Connect a Label Studio project to the backend. Doing it again changes nothing, or mends what is not as it should be."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from backend.errors import BadSettings
from backend.label_studio.client import LabelStudio, Refused

TITLE = "Referring expressions"
"""Name of the model in Label Studio; one of this name whose address changed is moved instead of added twice."""
ANNOTATION_EVENTS = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED")
"""What the webhook is for. `ANNOTATION_DELETED` does not exist; deleting one sends the plural."""


@dataclass(frozen=True)
class Connection:
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
    label_studio: LabelStudio,
    project: int,
    backend_url: str,
    credentials: tuple[str, str] | None = None,
    webhook_secret: str | None = None,
) -> Connection:
    """Make the backend a project's interactive model, and let its webhook in.

    Label Studio creates the webhook with the ML backend, but without its basic auth and for every kind of event.

    Args:
        backend_url: The backend as Label Studio reaches it.
        credentials: Basic auth user and password of the backend.
        webhook_secret: Bearer token of the webhook; the basic auth is sent if there is none.

    Raises:
        BadSettings: If the project does not exist, or Label Studio blocks the address or cannot reach it.
    """
    url = backend_url.rstrip("/")
    try:
        known = label_studio.request("GET", f"/api/ml?project={project}")
    except Refused as error:
        raise BadSettings(
            f"Label Studio at {label_studio.url} has no project {project}. Its number is in the address of the project's page."
        ) from error
    earlier = _same_backend(known, url)
    backend = _save_backend(label_studio, project, url, credentials, earlier)
    webhook = _save_webhook(label_studio, project, url, earlier, _webhook_headers(credentials, webhook_secret))
    return Connection(backend["id"], webhook["id"], backend.get("model_version") or "")


def _same_backend(known: list[dict[str, Any]], url: str) -> dict[str, Any] | None:
    """The row of this address, else the row of our title, which has an address that is no longer ours."""
    by_url = [row for row in known if row["url"].rstrip("/") == url]
    by_title = [row for row in known if row.get("title") == TITLE]
    return next(iter([*by_url, *by_title]), None)


def _save_backend(
    label_studio: LabelStudio,
    project: int,
    url: str,
    credentials: tuple[str, str] | None,
    earlier: dict[str, Any] | None,
) -> dict[str, Any]:
    user, password = credentials or ("", "")
    # A PATCH without url and project is answered 500, so both kinds of request send everything.
    body = {"url": url, "project": project, "title": TITLE, "is_interactive": True, "auth_method": "NONE"}
    if credentials:
        body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
    with _explaining(url):
        if earlier:
            return label_studio.request("PATCH", f"/api/ml/{earlier['id']}", body)
        return label_studio.request("POST", "/api/ml", body)


def _save_webhook(
    label_studio: LabelStudio, project: int, url: str, earlier: dict[str, Any] | None, headers: Mapping[str, str]
) -> dict[str, Any]:
    addresses = {f"{address.rstrip('/')}/webhook" for address in (url, earlier["url"] if earlier else url)}
    found = [row for row in label_studio.request("GET", f"/api/webhooks/?project={project}") if row["url"] in addresses]
    body = {
        "url": f"{url}/webhook",
        "project": project,
        "send_payload": True,
        "send_for_all_actions": False,
        "headers": dict(headers),
        "is_active": True,
        "actions": list(ANNOTATION_EVENTS),
    }
    with _explaining(f"{url}/webhook"):
        if found:
            return label_studio.request("PATCH", f"/api/webhooks/{found[0]['id']}/", body)
        return label_studio.request("POST", "/api/webhooks/", body)


def _webhook_headers(credentials: tuple[str, str] | None, secret: str | None) -> dict[str, str]:
    if secret:
        return {"Authorization": f"Bearer {secret}"}
    if credentials:
        pair = b64encode(":".join(credentials).encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    return {}


@contextmanager
def _explaining(url: str) -> Iterator[None]:
    """Say why Label Studio does not take an address. Its token is good: with it the project's models were just listed."""
    try:
        yield
    except BadSettings as error:
        raise BadSettings(
            f"Label Studio blocks {url}, an address on a private network. If that address is right, start Label Studio "
            "with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false, or with USE_DEFAULT_BANNED_SUBNETS=false "
            "and USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16."
        ) from error
    except Refused as error:
        raise BadSettings(
            f"Label Studio cannot use {url}: check that the backend runs, and that Label Studio reaches it at this address "
            f"with these credentials. Its answer: {error}"
        ) from error
