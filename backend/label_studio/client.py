"""Label Studio's own API, and what opens it."""

import threading
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from backend.errors import BadSettings, Unreachable
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


class Refused(BadInput):
    """Label Studio answered with a client error.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, message: str, status: int) -> None:
        self.status = status
        super().__init__(message)


class LabelStudio:
    """Label Studio's REST API; exchanges personal access tokens as needed. Threads may share it.

    Args:
        url: Its address, with the sub-path if it has one.
        token: Legacy token or personal access token; without one only public pages answer.
        timeout_s: Seconds of silence before giving up.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._http = make_http(timeout_s)
        self._key = Key(self._http, self.url, token)

    def request(self, method: str, path: str, json: object = None) -> Any:
        """Call an endpoint.

        Args:
            method: "GET", "POST", ….
            path: As in "/api/projects/", query included.
            json: Body.

        Returns:
            The answer's JSON; None if it has no body.

        Raises:
            BadSettings: If the token is missing or not accepted.
            Refused: If the request is (any other 4xx).
            Unreachable: If Label Studio does not answer, fails, or answers no JSON.
        """
        response = self._send(method, path, json)
        if response.status_code == 401 and self._key.renew():
            response = self._send(method, path, json)
        if response.status_code in (401, 403):
            raise BadSettings(
                f"Label Studio at {self.url} does not accept the token ({response.status_code} for {method} {_bare(path)}). {TOKEN_REMEDY}"
            )
        if response.is_client_error:
            raise Refused(
                f"Label Studio refused {method} {_bare(path)}: {response.status_code} {_detail(response)}",
                response.status_code,
            )
        if not response.is_success:
            raise Unreachable(
                f"Label Studio at {self.url} failed: {response.status_code} for {method} {_bare(path)} "
                f"({_detail(response)}). See its own log."
            )
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise Unreachable(
                f"{self.url}{_bare(path)} answers something that is not JSON. Check LABEL_STUDIO_URL."
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
                f"Label Studio at {self.url} does not answer ({reason_of(error)}). Check that it runs and LABEL_STUDIO_URL."
            ) from error
        except httpx.InvalidURL as error:
            raise BadSettings(
                f"LABEL_STUDIO_URL is {self.url!r}, which is no address ({error}). Write http://host:8080."
            ) from error


class Key:
    """What opens a Label Studio: a legacy token as it is, a personal access token exchanged for an access token now and then."""

    def __init__(self, http: httpx.Client, url: str, token: str | None) -> None:
        self._http, self._url, self._token = http, url, token
        self._is_personal = token is not None and token.count(".") == 2
        self._access: tuple[str, float] | None = None  # the access token, when to stop using it
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """Headers of a request to Label Studio's own origin."""
        if not self._token:
            return {}
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
        try:
            response = self._http.post(f"{self._url}/api/token/refresh/", json={"refresh": self._token})
            access = response.json().get("access") if response.is_success else None
        except httpx.HTTPError as error:
            raise Unreachable(
                f"Label Studio at {self._url} does not answer ({reason_of(error)}). Check that it runs and LABEL_STUDIO_URL."
            ) from error
        except (ValueError, AttributeError, httpx.InvalidURL) as error:
            raise Unreachable(
                f"{self._url}/api/token/refresh/ answers something that is not JSON. Check LABEL_STUDIO_URL."
            ) from error
        if not isinstance(access, str):
            raise BadSettings(
                f"Label Studio at {self._url} does not accept the personal access token ({response.status_code}). {TOKEN_REMEDY}"
            )
        return access


def make_http(timeout_s: float) -> httpx.Client:
    """No redirects, no proxies from the environment, no cookies, no connection used twice: what was checked is what is asked."""
    return httpx.Client(
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        limits=httpx.Limits(max_keepalive_connections=0),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        verify=httpx.create_ssl_context(),  # SSL_CERT_FILE names other authorities
        trust_env=False,
        headers={"User-Agent": "label-studio-ris"},
    )


def reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__


def _bare(path: str) -> str:
    return path.partition("?")[0]


def _detail(response: httpx.Response) -> str:
    """Label Studio's own words, without the wrapping that repeats them."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail")
    return " ".join((str(body) if body else response.text).split())[:MAX_DETAIL]
