"""The images that tasks point to: fetches only what is allowed, and says why it does not."""

import threading
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urljoin, urlsplit

import httpx

from backend.base.errors import BadSettings, ImageCause, ImageUnreachable, Unreachable, too_large
from backend.base.redaction import reason_of
from backend.label_studio.client import TOKEN_REMEDY, ApiToken, TokenRefused, make_http, suggest_url
from backend.label_studio.data_uri import read_data_uri
from backend.label_studio.deadline import is_over, within
from backend.label_studio.image_addresses import (
    STORAGE_SCHEMES,
    LabelStudioSite,
    check_address,
    clean,
    host_of,
    make_presign_path,
    resolve,
    shown,
)
from backend.label_studio.outbound import ANYWHERE, NOT_METADATA, PUBLIC, AddressRule, HostRefused, open_checked

__all__ = ["STORAGE_SCHEMES", "AddressRule", "ImageFetcher"]

MAX_REDIRECTS = 3
"""Redirects that are followed for one image."""

_SIGNATURES = frozenset({"x-amz-signature", "x-goog-signature", "signature", "sig", "expires", "x-amz-expires", "se"})
"""Names in the query of an address that is valid for a while."""


class ImageFetcher:
    """Gets the bytes of an image, within limits. Threads may share it.

    Args:
        label_studio_url: Where Label Studio is reached from here; without it, the address that each project's /setup gave.
        api_key: Its token; sent to `label_studio_url` only.
        image_hosts: Other hosts that images may come from: "host" or "host:port".
        local_files_root: The folder that Label Studio serves local files from, if it is mounted here too.
        max_bytes: Size of the largest file.
        timeout_s: Seconds that one image may take.
    """

    def __init__(
        self,
        label_studio_url: str | None = None,
        api_key: str | None = None,
        image_hosts: Iterable[str] = (),
        local_files_root: Path | None = None,
        max_bytes: int = 50 << 20,
        timeout_s: float = 20.0,
    ) -> None:
        self._url = label_studio_url.rstrip("/") if label_studio_url else None
        self._api_key = api_key
        self._hosts = frozenset(host.lower() for host in image_hosts)
        self._root = local_files_root.resolve() if local_files_root else None
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._http = make_http(timeout_s)
        self._keys: dict[tuple[str, str | None], ApiToken] = {}
        self._keys_lock = threading.Lock()

    def fetch(
        self, url: str, hostname: str | None = None, token: str | None = None, task_id: int | str | None = None
    ) -> bytes:
        """Bytes of an image as a task names it.

        Args:
            url: "/data/upload/…", "/data/local-files/?d=…", http(s), data URI, or a storage's "s3://…".
            hostname: Label Studio's own address as the project's /setup gave it; relative addresses belong to it.
            token: The token that came with it; sent nowhere else.
            task_id: The task; needed for a storage's addresses.

        Raises:
            ImageUnreachable: If it cannot, or may not, be fetched; names the address (without its query) and the remedy.
        """
        url = clean(url)
        scheme = url.partition(":")[0].lower()
        if scheme == "data":
            return read_data_uri(url, self._max_bytes)
        site = self._site(hostname, token)
        if scheme in STORAGE_SCHEMES and "://" in url:
            url = make_presign_path(url, task_id)
        target = resolve(url, site)
        local = self._local_file(target, site)
        if local:
            return self._read_local(local)
        with within(self._timeout_s):
            return self._download(target, site)

    def ask(self, path: str, hostname: str | None = None, token: str | None = None) -> bytes:
        """What Label Studio's API answers to a request of our own, with its token; never for an address of a task's data.

        Args: as of `fetch`.

        Raises:
            ImageUnreachable: If it does not answer so, or sends us elsewhere.
        """
        site = self._site(hostname, token)
        url = resolve(path, site)
        with within(self._timeout_s):
            answer = self._get(url, site, self._private_rule(url, True, site), is_ours=True)
        if isinstance(answer, str):
            raise ImageUnreachable(
                f"{shown(url)} redirects to {shown(urljoin(url, answer))}.",
                "Set LABEL_STUDIO_URL to the address that it has.",
                cause="moved",
                is_own=True,
            )
        return answer

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _site(self, hostname: str | None, token: str | None) -> LabelStudioSite | None:
        """The configured Label Studio, else the one of the project. A configured key never follows a /setup's hostname."""
        if self._url:
            return LabelStudioSite(self._url, self._api_key or token, is_configured=True, other_url=hostname)
        return LabelStudioSite(hostname.rstrip("/"), token, is_configured=False) if hostname else None

    def _local_file(self, url: str, site: LabelStudioSite | None) -> Path | None:
        """The file behind a local-files address of Label Studio, if its root is mounted and has it."""
        if self._root is None or site is None or not site.owns(url) or site.path_of(url) != "/data/local-files/":
            return None
        name = parse_qs(urlsplit(url).query).get("d", [""])[0]
        if "\0" in name:
            raise ImageUnreachable(
                "A local file's name holds a zero byte.", "Correct the task's data.", cause="bad_address"
            )
        file = (self._root / name.lstrip("/")).resolve()
        if not file.is_relative_to(self._root):
            raise ImageUnreachable(
                f"The local file {name!r} lies outside LOCAL_FILES_DOCUMENT_ROOT, so it is not read.",
                "Move it inside.",
                cause="local_file",
            )
        return file if file.is_file() else None

    def _read_local(self, file: Path) -> bytes:
        try:
            with file.open("rb") as stream:
                content = stream.read(self._max_bytes + 1)
        except OSError as error:
            raise ImageUnreachable(
                f"The local file {file.name} cannot be read ({error.strerror}).",
                "Check its permissions.",
                cause="local_file",
            ) from error
        if len(content) > self._max_bytes:
            raise too_large(file.name, self._max_bytes)
        return content

    def _download(self, url: str, site: LabelStudioSite | None) -> bytes:
        """The bytes behind an address, redirects followed as far as they may be."""
        may_leave = False
        for _ in range(MAX_REDIRECTS + 1):
            is_own = site is not None and site.owns(url)
            self._check_host(url, is_own, may_leave)
            answer = self._get(url, site if is_own else None, self._private_rule(url, is_own, site))
            if isinstance(answer, bytes):
                return answer
            target = urljoin(url, answer)
            check_address(target)
            # Only Label Studio's presigning may send us elsewhere, and there the token does not go.
            may_leave = may_leave or bool(site and site.presigns_at(url))
            if not may_leave:
                _check_redirect(url, target, site)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise ImageUnreachable(
                    f"{shown(url)} redirects from https to {shown(target)}.",
                    "Use an https address in the task.",
                    cause="redirect",
                )
            url = target
        raise ImageUnreachable(
            f"{shown(url)} redirects more than {MAX_REDIRECTS} times.",
            "Use the final address in the task.",
            cause="redirect",
        )

    def _check_host(self, url: str, is_own: bool, may_leave: bool) -> None:
        if not (is_own or may_leave or self._is_listed(url)):
            raise ImageUnreachable(
                f"{shown(url)}: the host {host_of(url)} is not allowed.",
                "Add it to IMAGE_HOSTS if images may come from there.",
                cause="host_not_allowed",
            )

    def _is_listed(self, url: str) -> bool:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return bool({parts.hostname or "", f"{parts.hostname}:{port}"} & self._hosts)

    def _private_rule(self, url: str, is_own: bool, site: LabelStudioSite | None) -> AddressRule:
        """Listed hosts and a configured Label Studio may be anywhere; one that /setup named not at a metadata service."""
        if self._is_listed(url) or (is_own and site and site.is_configured):
            return ANYWHERE
        return NOT_METADATA if is_own else PUBLIC

    def _key(self, site: LabelStudioSite) -> ApiToken:
        with self._keys_lock:
            return self._keys.setdefault((site.url, site.token), ApiToken(self._http, site.url, site.token))

    def _get(self, url: str, site: LabelStudioSite | None, rule: AddressRule, *, is_ours: bool = False) -> bytes | str:
        """The body, or the address that it redirects to.

        Args:
            site: The Label Studio whose address it is; its token goes to addresses of a task's data only,
            is_ours: or anywhere there, as we made the address ourselves.
        """
        key = self._key(site) if site and (is_ours or site.has_data_at(url)) else None
        for attempt in range(2):
            headers = _make_headers(key)
            try:
                with open_checked(self._http, "GET", url, rule, headers) as response:
                    if response.status_code == 401 and attempt == 0 and key and key.renew():
                        continue
                    if response.has_redirect_location:
                        return str(response.headers["location"])
                    _check_status(response, url, site)
                    return self._read_body(response, url)
            except HostRefused as error:
                raise _refused(error) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._unreachable(url, error, site is not None) from error
        raise AssertionError("a renewed token is tried once")

    def _read_body(self, response: httpx.Response, url: str) -> bytes:
        if int(response.headers.get("content-length") or 0) > self._max_bytes:
            raise too_large(shown(url), self._max_bytes)
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large(shown(url), self._max_bytes)
        return bytes(body)

    def _unreachable(self, url: str, error: Exception, is_own: bool) -> ImageUnreachable:
        if is_over():
            return ImageUnreachable(
                f"{shown(url)} took longer than {self._timeout_s:g} s.",
                "Raise FETCH_TIMEOUT, or look at the network.",
                cause="too_slow",
                is_own=is_own,
            )
        if isinstance(error, httpx.InvalidURL):
            return ImageUnreachable(f"{shown(url)} is no address.", "Correct the task's data.", cause="bad_address")
        return ImageUnreachable(
            f"{shown(url)} cannot be fetched ({reason_of(error)}).",
            "Check that the host runs and can be reached from here, or set LABEL_STUDIO_URL.",
            cause="down" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "passing",
            is_own=is_own,
        )


def _make_headers(key: ApiToken | None) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    try:
        return {**headers, **key.headers()} if key else headers
    except TokenRefused as error:
        raise ImageUnreachable(error.wrong, error.remedy, cause="token", status=error.status, is_own=True) from error
    except BadSettings as error:
        raise ImageUnreachable(error.wrong, error.remedy, cause="moved", is_own=True) from error
    except Unreachable as error:
        cause: ImageCause = "too_slow" if is_over() else "down"
        raise ImageUnreachable(error.wrong, error.remedy, cause=cause, is_own=True) from error


def _check_redirect(url: str, target: str, site: LabelStudioSite | None) -> None:
    """Raise `ImageUnreachable` if a redirect leads to another host, or says that all of Label Studio is elsewhere."""
    parts, is_own = urlsplit(url), site is not None and site.owns(url)
    better = suggest_url(f"{site.path_of(url)}?{parts.query}".rstrip("?"), target) if site and is_own else None
    setting = "LABEL_STUDIO_URL" if site and site.is_configured else "LABEL_STUDIO_HOST of Label Studio"
    if urlsplit(target).hostname != parts.hostname:
        hint = f" If that is Label Studio itself, set {setting} to {better}." if better else ""
        raise ImageUnreachable(
            f"{shown(url)} redirects to another host, {urlsplit(target).hostname}.",
            f"Use that address in the task, and name the host in IMAGE_HOSTS.{hint}",
            cause="redirect",
            is_own=is_own,
        )
    if site is None or not is_own or (site.owns(target) and not (site.has_data_at(url) and better)):
        return
    if better and not site.has_data_at(target):
        raise ImageUnreachable(
            f"Label Studio at {shown(site.url)} redirects to {better}.",
            f"Set {setting} to {better}.",
            cause="moved",
            is_own=True,
        )
    if not site.owns(target):
        raise ImageUnreachable(
            f"{shown(url)} redirects to {shown(target)}, where something may ask for a login.",
            f"Set {setting} to an address that leads to Label Studio itself.",
            cause="redirect",
            is_own=True,
        )


def _check_status(response: httpx.Response, url: str, site: LabelStudioSite | None) -> None:
    if response.is_success:
        return
    wrong, remedy, cause = _judge_status(response.status_code, url, site)
    raise ImageUnreachable(wrong, remedy, cause=cause, status=response.status_code, is_own=site is not None)


def _judge_status(status: int, url: str, site: LabelStudioSite | None) -> tuple[str, str, ImageCause]:
    """What is wrong, what to do, and the cause."""
    name, is_refused = shown(url), status in (401, 403)
    if is_refused and site and not site.has_data_at(url):
        wrong = f"{name} may not be read ({status}): it is no address of a task's data, so Label Studio's token is not sent there."
        return wrong, "Use an upload, a local file, or a storage's address.", "not_data"
    if is_refused and site:
        return f"{name} may not be read ({status}).", TOKEN_REMEDY, "token"
    if is_refused or (status == 400 and _is_signed(url)):
        why = "its address has expired" if _is_signed(url) else "its host does not let the backend in"
        remedy = (
            "Renew the address in the task, or sync its storage in Label Studio and look at that storage's credentials."
        )
        return f"{name} may not be read ({status}): {why}.", remedy, "expired"
    if status in (404, 410):
        remedy = "Correct the task's address, or sync its storage in Label Studio."
        return f"{name} does not exist ({status}).", remedy, "missing"
    is_passing = status in (408, 425, 429) or status >= 500
    wrong = f"{name} cannot be fetched ({status})."
    return wrong, "Look at the server that it comes from.", "passing" if is_passing else "refused"


def _is_signed(url: str) -> bool:
    return any(name.lower() in _SIGNATURES for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _refused(error: HostRefused) -> ImageUnreachable:
    if error.cause == "unknown_host":
        remedy = "Correct the task's address, or LABEL_STUDIO_URL."
        return ImageUnreachable(f"The host {error.host} of an image is not known.", remedy, cause="unknown_host")
    return ImageUnreachable(
        f"The host {error.host} of an image is at {error.address}, which is not public.",
        f"Add {error.host} to IMAGE_HOSTS if that is meant.",
        cause="host_not_allowed",
    )
