"""Whether the backend answers at an address, and why Label Studio may not reach it there."""

import ipaddress
import re
from urllib.parse import urljoin, urlsplit

import httpx

from backend.base.errors import BadSettings, Unreachable
from backend.base.redaction import mask_url, reason_of
from backend.label_studio.check import Check, problem_of
from backend.label_studio.client import make_http, suggest_url
from backend.settings.values import clean, read_http_url

TIMEOUT_S = 5.0
"""Label Studio itself gives up after 1 s for /health and 3 s for /setup."""

UNBLOCK = (
    "start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false, or with USE_DEFAULT_BANNED_SUBNETS=false "
    "and USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16"
)
"""What lets Label Studio talk to private addresses: the first for ML backends, the second for their webhooks."""

NOT_LISTENING = "The backend must listen there: HOST=0.0.0.0 with BASIC_AUTH_USER and BASIC_AUTH_PASS."


def clean_url(url: str) -> str:
    """An address without a slash at its end, nor what was pasted along.

    Raises:
        BadSettings: If it is not one of HTTP, or has a password in it.
    """
    try:
        return read_http_url(clean(url))
    except ValueError as error:
        if re.match(r"\W*https?://[^/?#]*@", url, re.IGNORECASE):
            raise BadSettings(
                "The backend's address has a user in it.", "Set BASIC_AUTH_USER and BASIC_AUTH_PASS instead."
            ) from None
        wrong = f"The backend's address is {mask_url(url)!r} ({reason_of(error)}), which is none."
        raise BadSettings(wrong, "Write --url http://host:9090.") from None


def ask_backend(url: str, credentials: tuple[str, str] | None) -> str:
    """Call the backend as Label Studio does; the model version that it reports, empty if it says none.

    Raises:
        BadSettings: If it does not accept the credentials.
        Unreachable: If nothing answers there, or something else.
    """
    try:
        with make_http(TIMEOUT_S) as http:
            health = http.get(f"{url}/health")
            auth = httpx.BasicAuth(*credentials) if credentials else httpx.USE_CLIENT_DEFAULT
            setup = http.post(f"{url}/setup", json={}, auth=auth)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"Nothing answers at {url} ({reason_of(error)}).",
            "Start the backend: `ris up`; or give its address with --url.",
        ) from error
    if health.has_redirect_location:
        better = suggest_url("/health", urljoin(str(health.url), health.headers["location"]))
        raise BadSettings(
            f"{url} redirects to {better or 'another page'}.",
            f"Give {f'--url {better}' if better else 'an address that leads to the backend itself'}.",
        )
    if setup.status_code in (401, 403):
        raise BadSettings(
            f"The backend at {url} does not accept these credentials.",
            "Set BASIC_AUTH_USER and BASIC_AUTH_PASS as they were set where it was started.",
        )
    if not health.is_success or setup.is_client_error:
        raise Unreachable(
            f"Something else than the backend answers at {url} ({health.status_code} for /health, {setup.status_code} for "
            "/setup).",
            "Give the backend's address with --url.",
        )
    return _read_version(setup)


def look_at_backend(url: str, credentials: tuple[str, str] | None, local_url: str, is_connected: bool) -> Check:
    """Whether the backend runs, as far as this machine can tell.

    Args:
        url: The backend as Label Studio reaches it, which may be a name that is known to Label Studio only.
        local_url: The backend as this machine reaches it.
        is_connected: Whether Label Studio says that it reaches it.
    """
    try:
        version = ask_backend(url, credentials)
        return Check("backend", "ok", f"{url} answers as {version or 'a model without a version'}")
    except BadSettings as error:
        return problem_of("backend", error)
    except Unreachable as error:
        if is_connected:
            return Check("backend", "ok", f"Label Studio reaches {url}; this machine does not")
        if _is_loopback(url):
            return problem_of("backend", error)
    return _look_nearby(url, credentials, local_url)


def how_to_be_reached(url: str) -> str:
    """What to do if the backend runs and Label Studio does not reach it at an address."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    if _is_loopback(url):
        return (
            f"To Label Studio, {parts.hostname} is the machine or container that itself runs in. For Label Studio in "
            f"Docker give --url {parts.scheme}://host.docker.internal{port}, or the backend's service name in the same "
            f"compose file; for one on another machine, this machine's address. {NOT_LISTENING} If it runs on this "
            f"machine, it blocks loopback: {UNBLOCK}."
        )
    return (
        f"On Label Studio's machine, or in its container, `curl {url}/health` must answer: check the name, the port and "
        f"the firewall. {NOT_LISTENING} If the address is a private one, Label Studio blocks it: {UNBLOCK}."
    )


def _look_nearby(url: str, credentials: tuple[str, str] | None, local_url: str) -> Check:
    try:
        ask_backend(local_url, credentials)
    except BadSettings as error:
        return problem_of("backend", error)
    except Unreachable:
        return Check("backend", "change", f"this machine does not reach {url}; Label Studio will try")
    return Check("backend", "ok", f"runs at {local_url}; whether {url} leads to it, Label Studio finds out")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_version(setup: httpx.Response) -> str:
    try:
        version = setup.json().get("model_version")
    except (ValueError, AttributeError):
        return ""
    return version if isinstance(version, str) else ""
