"""Label Studio's own API, and what opens it."""

import functools
import ssl
import threading
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from backend.base.errors import BadSettings, Unreachable
from backend.base.redaction import hide, learn, reason_of
from backend.label_studio.deadline import DeadlineTransport
from backend.settings.values import clean, read_token
from ris_core.errors import BadInput

ACCESS_LIFETIME_S = 240.0
"""How long an access token is used; Label Studio's last 300 s."""

MAX_DETAIL = 400
"""Characters of an answer that an error quotes."""

CONNECT_TIMEOUT_S = 5.0
"""Seconds to reach a host before it counts as down."""

TOKEN_REMEDY = (
    "Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY "
    "(Account & Settings: personal access token, or legacy token where these are on)."
)


class RequestRefused(BadInput):
    """Label Studio answered with a client error.

    Attributes:
        status: HTTP status of the answer.
        answer: Its JSON; None if it is none. Label Studio's own refusals are objects with a `detail`.
    """

    def __init__(self, wrong: str = "", status: int = 0, answer: object = None) -> None:
        self.status, self.answer = status, answer
        super().__init__(wrong)


class TokenRefused(BadSettings):
    """Label Studio does not accept the token.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, wrong: str = "", status: int = 0) -> None:
        self.status = status
        super().__init__(wrong, TOKEN_REMEDY)


class LabelStudioClient:
    """Label Studio's REST API; exchanges personal access tokens as needed. Threads may share it.

    Args:
        url: Its address, with the sub-path if it has one.
        token: Legacy token or personal access token; without one only public pages answer.
        timeout_s: Seconds of silence before giving up.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._http = make_http(timeout_s)
        self._key = ApiToken(self._http, self.url, token)

    def request(self, method: str, path: str, json: object = None) -> Any:
        """Call an endpoint.

        Args:
            method: "GET", "POST", ….
            path: As in "/api/projects/", query included.
            json: Body.

        Returns:
            The answer's JSON; None if it has no body.

        Raises:
            TokenRefused: If the token is missing or not accepted.
            BadSettings: If its address leads elsewhere.
            Refused: If the request is (any other 4xx).
            Unreachable: If Label Studio does not answer, fails, or answers no JSON.
        """
        response = self._send(method, path, json)
        if response.status_code == 401 and self._key.renew():
            response = self._send(method, path, json)
        if response.status_code in (401, 403):
            raise TokenRefused(
                f"Label Studio at {self.url} does not accept the token ({response.status_code} for {method} {_bare(path)}).",
                response.status_code,
            )
        _check_redirect(response, self.url, path)
        if response.is_client_error:
            raise RequestRefused(
                f"Label Studio refused {method} {_bare(path)}: {response.status_code} {_detail(response)}",
                response.status_code,
                _json_of(response),
            )
        if not response.is_success:
            raise Unreachable(
                f"Label Studio at {self.url} failed: {response.status_code} for {method} {_bare(path)} "
                f"({_detail(response)}).",
                "See its own log.",
            )
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise Unreachable(
                f"{self.url}{_bare(path)} answers something that is not JSON.", "Check LABEL_STUDIO_URL."
            ) from error

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _send(self, method: str, path: str, json: object) -> httpx.Response:
        headers = self._key.headers()
        try:
            return self._http.request(method, self.url + path, json=json, headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"Label Studio at {self.url} does not answer ({reason_of(error)}).",
                "Check that it runs and LABEL_STUDIO_URL.",
            ) from error
        except httpx.InvalidURL as error:
            raise BadSettings(
                f"LABEL_STUDIO_URL is {self.url!r}, which is no address ({reason_of(error)}).",
                "Write http://host:8080.",
            ) from error


class ApiToken:
    """What opens a Label Studio: a legacy token as it is, a personal access token exchanged for an access token now and then."""

    def __init__(self, http: httpx.Client, url: str, token: str | None) -> None:
        self._http, self._url, self._token = http, url, clean(token) if token else None
        token = self._token
        learn([token])
        self._is_personal = token is not None and token.count(".") == 2
        self._access: tuple[str, float] | None = None  # the access token, when to stop using it
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """Headers of a request to Label Studio's own origin."""
        if not self._token:
            return {}
        try:
            read_token(self._token)
        except ValueError as error:  # one that a project's /setup gave
            raise TokenRefused(f"Label Studio's token cannot be used: {reason_of(error)}.") from None
        if not self._is_personal:
            return {"Authorization": f"Token {self._token}"}
        with self._lock:
            if self._access is None or time.monotonic() > self._access[1]:
                self._access = self._exchange(), time.monotonic() + ACCESS_LIFETIME_S
            return {"Authorization": f"Bearer {self._access[0]}"}

    def renew(self) -> bool:
        """Forget the access token; whether there was one to forget."""
        with self._lock:
            had, self._access = self._access is not None, None
        return had

    def _exchange(self) -> str:
        path = "/api/token/refresh/"
        try:
            response = self._http.post(self._url + path, json={"refresh": self._token})
            _check_redirect(response, self._url, path)
            if response.is_server_error:
                raise Unreachable(
                    f"Label Studio at {self._url} failed: {response.status_code} for POST {path}.", "See its own log."
                )
            access = response.json().get("access") if response.is_success else None
        except httpx.HTTPError as error:
            raise Unreachable(
                f"Label Studio at {self._url} does not answer ({reason_of(error)}).",
                "Check that it runs and LABEL_STUDIO_URL.",
            ) from error
        except (ValueError, AttributeError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{self._url}/api/token/refresh/ answers something that is not JSON.", "Check LABEL_STUDIO_URL."
            ) from error
        if not isinstance(access, str):
            raise TokenRefused(
                f"Label Studio at {self._url} does not accept the personal access token ({response.status_code}).",
                response.status_code,
            )
        learn([access])
        return access


def make_http(timeout_s: float) -> httpx.Client:
    """No redirects, no proxies from the environment, no cookies, no connection used twice: what was checked is what is asked."""
    return httpx.Client(
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        transport=DeadlineTransport(
            verify=_authorities(),
            limits=httpx.Limits(max_keepalive_connections=0),
        ),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        headers={"User-Agent": "label-studio-ris"},
    )


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are trusted; SSL_CERT_FILE names others. Read once a process: it takes 25 ms of a processor."""
    return httpx.create_ssl_context()


def suggest_url(address: str, target: str) -> str | None:
    """What LABEL_STUDIO_URL should be, of an address below it that redirects; None if that leads to another page.

    Args:
        asked: Path and query that were asked for.
        target: Absolute address of the redirect.
    """
    path, _, query = address.partition("?")
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https") or not parts.path.endswith(path) or parts.query != query:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.removesuffix(path)}"


def _check_redirect(response: httpx.Response, url: str, path: str) -> None:
    if not response.has_redirect_location:
        return
    target = urljoin(str(response.request.url), response.headers["location"])
    if better := suggest_url(path, target):
        raise BadSettings(f"Label Studio at {url} redirects to {better}.", f"Set LABEL_STUDIO_URL to {better}.")
    raise Unreachable(
        f"Label Studio at {url} redirects {_bare(path)} to another page, at {urlsplit(target).hostname} "
        f"({response.status_code}): something that asks for a login, or says that it is closed, stands before it.",
        "Set LABEL_STUDIO_URL to an address that leads to Label Studio itself.",
    )


def _bare(path: str) -> str:
    return path.partition("?")[0]


def _detail(response: httpx.Response) -> str:
    """Label Studio's own words, without the wrapping that repeats them."""
    body = _json_of(response)
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail")
    return hide(" ".join((str(body) if body else response.text).split()))[:MAX_DETAIL]


def _json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
