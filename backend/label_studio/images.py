"""The images that tasks point to: fetches only what is allowed, and says why it does not."""

import base64
import binascii
import ipaddress
import re
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote_to_bytes, urljoin, urlsplit, urlunsplit

import httpx

from backend.errors import BadSettings, ImageCause, ImageUnreachable, Unreachable
from backend.label_studio.client import TOKEN_REMEDY, Key, TokenRefused, make_http, reason_of

MAX_REDIRECTS = 3
"""Redirects that are followed for one image."""

STORAGE_SCHEMES = ("s3", "gs", "azure-blob", "azure_spi", "redis")
"""Addresses that only Label Studio can turn into bytes."""

_PRESIGN_PATH = re.compile(r"/(tasks|projects)/\d+/(presign|resolve)/")

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class _Site:
    """A Label Studio: where it is, what opens it, and whether it was named by the person who runs us."""

    url: str
    token: str | None
    is_configured: bool
    other_url: str | None = None  # its address as it sees itself, which may not be reachable from here

    def owns(self, url: str) -> bool:
        return _origin(url) == _origin(self.url)


@dataclass(frozen=True)
class AddressRule:
    """Which addresses a host may have."""

    allow_private: bool
    allow_link_local: bool

    def allows(self, address: str) -> bool:
        ip = _unwrap(ipaddress.ip_address(address.partition("%")[0]))
        if ip.is_link_local:
            return self.allow_link_local
        return self.allow_private or (ip.is_global and not ip.is_multicast)


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
        self._keys: dict[tuple[str, str | None], Key] = {}

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
        scheme = url.partition(":")[0].lower()
        if scheme == "data":
            return _read_data_uri(url, self._max_bytes)
        site = self._site(hostname, token)
        if scheme in STORAGE_SCHEMES and "://" in url:
            url = _presign_path(url, task_id)
        target = self._resolve(url, site)
        _check_address(target)
        local = self._local_file(target, site)
        return self._read_local(local) if local else self._download(target, site)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _site(self, hostname: str | None, token: str | None) -> _Site | None:
        """The configured Label Studio, else the one of the project. A configured key never follows a /setup's hostname."""
        if self._url:
            return _Site(self._url, self._api_key or token, is_configured=True, other_url=hostname)
        return _Site(hostname.rstrip("/"), token, is_configured=False) if hostname else None

    def _resolve(self, url: str, site: _Site | None) -> str:
        """Absolute address; Label Studio's own, relative or by the name that it has for itself, come out below `site.url`."""
        if url.startswith("//"):
            url = f"https:{url}"
        if site and site.other_url and not site.owns(url) and _origin(url) == _origin(site.other_url):
            parts = urlsplit(url)
            url = urlunsplit(
                ("", "", parts.path.removeprefix(urlsplit(site.other_url).path.rstrip("/")), parts.query, "")
            )
        if re.match(r"[a-z][a-z0-9+.-]*:", url, re.IGNORECASE):
            return url
        if site is None:
            raise ImageUnreachable(
                f"{_shown(url)} is an address inside Label Studio, but its own is not known.",
                "Set LABEL_STUDIO_URL.",
                cause="unknown_host",
            )
        base = urlsplit(site.url)
        prefix = base.path.rstrip("/")
        path = url if url.startswith("/") else f"/{url}"
        if prefix and not path.startswith(f"{prefix}/"):
            path = prefix + path
        return f"{base.scheme}://{base.netloc}{path}"

    def _local_file(self, url: str, site: _Site | None) -> Path | None:
        """The file behind a local-files address of Label Studio, if its root is mounted and has it."""
        parts = urlsplit(url)
        if self._root is None or site is None or not site.owns(url) or not parts.path.endswith("/data/local-files/"):
            return None
        name = parse_qs(parts.query).get("d", [""])[0]
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
            raise _too_large(file.name, self._max_bytes)
        return content

    def _download(self, url: str, site: _Site | None) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        may_leave = False
        for _ in range(MAX_REDIRECTS + 1):
            is_own = site is not None and site.owns(url)
            self._check_host(url, is_own, may_leave)
            key = self._key(site) if is_own and site else None
            answer = self._get(url, key, self._private_rule(url, is_own, site), deadline)
            if isinstance(answer, bytes):
                return answer
            target = urljoin(url, answer)
            _check_address(target)
            # Only Label Studio's presigning may send us elsewhere, and there the token does not go.
            may_leave = may_leave or (is_own and bool(_PRESIGN_PATH.search(urlsplit(url).path)))
            if not may_leave and urlsplit(target).hostname != urlsplit(url).hostname:
                raise ImageUnreachable(
                    f"{_shown(url)} redirects to another host, {urlsplit(target).hostname}.",
                    "Use that address in the task, and name the host in IMAGE_HOSTS.",
                    cause="redirect",
                )
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise ImageUnreachable(
                    f"{_shown(url)} redirects from https to {_shown(target)}.",
                    "Use an https address in the task.",
                    cause="redirect",
                )
            url = target
        raise ImageUnreachable(
            f"{_shown(url)} redirects more than {MAX_REDIRECTS} times.",
            "Use the final address in the task.",
            cause="redirect",
        )

    def _check_host(self, url: str, is_own: bool, may_leave: bool) -> None:
        if not (is_own or may_leave or self._is_listed(url)):
            raise ImageUnreachable(
                f"{_shown(url)}: the host {_host(url)} is not allowed.",
                "Add it to IMAGE_HOSTS if images may come from there.",
                cause="host_not_allowed",
            )

    def _is_listed(self, url: str) -> bool:
        parts = urlsplit(url)
        return bool({parts.hostname or "", parts.netloc.rpartition("@")[2].lower(), _host(url)} & self._hosts)

    def _private_rule(self, url: str, is_own: bool, site: _Site | None) -> AddressRule:
        """Listed hosts and a configured Label Studio may be anywhere; one that /setup named not at a metadata service."""
        if self._is_listed(url) or (is_own and site and site.is_configured):
            return AddressRule(allow_private=True, allow_link_local=True)
        return AddressRule(allow_private=is_own, allow_link_local=False)

    def _key(self, site: _Site) -> Key:
        return self._keys.setdefault((site.url, site.token), Key(self._http, site.url, site.token))

    def _get(self, url: str, key: Key | None, rule: AddressRule, deadline: float) -> bytes | str:
        """The body, or the address that it redirects to."""
        addresses = _look_up(urlsplit(url), rule)
        for attempt in range(2):
            try:
                headers = key.headers() if key else {}
            except TokenRefused as error:
                raise ImageUnreachable(
                    error.wrong, error.remedy, cause="token", status=error.status, is_own=True
                ) from error
            except BadSettings as error:
                raise ImageUnreachable(error.wrong, error.remedy, cause="moved", is_own=True) from error
            except Unreachable as error:
                raise ImageUnreachable(error.wrong, error.remedy, cause="down", is_own=True) from error
            with self._open(url, headers, addresses, deadline, key is not None) as response:
                if response.status_code == 401 and attempt == 0 and key and key.renew():
                    continue
                if response.has_redirect_location:
                    return response.headers["location"]
                _check_status(response, url, key is not None)
                return self._read_body(response, url, deadline, key is not None)
        raise AssertionError("a renewed token is tried once")

    @contextmanager
    def _open(
        self, url: str, headers: dict[str, str], addresses: list[str], deadline: float, is_own: bool
    ) -> Iterator[httpx.Response]:
        """Connect to an address that was checked, so that a name cannot point elsewhere by then (DNS rebinding)."""
        parts = urlsplit(url)
        headers = {**headers, "Host": parts.netloc.rpartition("@")[2], "Accept-Encoding": "identity"}
        for i, address in enumerate(addresses):
            literal = f"[{address}]" if ":" in address else address
            netloc = f"{literal}:{parts.port}" if parts.port else literal
            pinned = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
            try:
                request = self._http.build_request(
                    "GET", pinned, headers=headers, extensions={"sni_hostname": parts.hostname}
                )
                response = self._http.send(request, stream=True)
            except httpx.ConnectError as error:
                if i + 1 < len(addresses) and time.monotonic() < deadline:
                    continue
                raise _unreachable(url, error, is_own) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _unreachable(url, error, is_own) from error
            try:
                yield response
            finally:
                response.close()
            return

    def _read_body(self, response: httpx.Response, url: str, deadline: float, is_own: bool) -> bytes:
        if int(response.headers.get("content-length") or 0) > self._max_bytes:
            raise _too_large(_shown(url), self._max_bytes)
        body = bytearray()
        try:
            for chunk in response.iter_bytes():  # as they arrive, so that the deadline is looked at
                body += chunk
                if len(body) > self._max_bytes:
                    raise _too_large(_shown(url), self._max_bytes)
                if time.monotonic() > deadline:
                    raise ImageUnreachable(
                        f"{_shown(url)} took longer than {self._timeout_s:g} s.",
                        "Raise FETCH_TIMEOUT, or look at the network.",
                        cause="too_slow",
                    )
        except httpx.HTTPError as error:
            raise _unreachable(url, error, is_own) from error
        return bytes(body)


def _check_address(url: str) -> None:
    """Raise `ImageUnreachable` unless this is an http(s) address that can be taken apart."""
    try:
        parts, host = urlsplit(url), _host(url)
    except ValueError as error:
        raise ImageUnreachable(
            f"{_shown(url)} is no address ({reason_of(error)}).", "Correct the task's data.", cause="bad_address"
        ) from error
    if parts.scheme not in ("http", "https") or not host:
        raise ImageUnreachable(
            f"{_shown(url)} is no address that images are fetched from.",
            "Use http(s), an upload, a local file or a data URI.",
            cause="bad_address",
        )


def _look_up(parts: SplitResult, rule: AddressRule) -> list[str]:
    host = parts.hostname or ""
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError) as error:
        raise ImageUnreachable(
            f"The host {host} of an image is not known ({reason_of(error)}).",
            "Correct the task's address, or LABEL_STUDIO_URL.",
            cause="unknown_host",
        ) from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not rule.allows(address):
            raise ImageUnreachable(
                f"The host {host} of an image is at {address}, which is not public.",
                f"Add {host} to IMAGE_HOSTS if that is meant.",
                cause="host_not_allowed",
            )
    return addresses


def _unwrap(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address inside an IPv6 one, if it is just a wrapping."""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _presign_path(url: str, task_id: int | str | None) -> str:
    if not str(task_id or "").isdigit():
        raise ImageUnreachable(
            f"{_shown(url)} is in a storage that only Label Studio can open, and the task has no id.",
            "Use presigned or http(s) addresses.",
            cause="in_storage",
        )
    return f"/tasks/{task_id}/presign/?fileuri={base64.urlsafe_b64encode(url.encode()).decode()}"


def _read_data_uri(url: str, max_bytes: int) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise ImageUnreachable(
            "A data URI without a comma holds no image.", "Correct the task's data.", cause="bad_data_uri"
        )
    if len(body) > max_bytes * 3:  # even if every byte is %-escaped
        raise _too_large("A data URI", max_bytes)
    try:
        content = (
            base64.b64decode(unquote_to_bytes(body), validate=True)
            if head.lower().endswith(";base64")
            else unquote_to_bytes(body)
        )
    except (binascii.Error, ValueError) as error:
        raise ImageUnreachable(
            f"A data URI is damaged ({reason_of(error)}).", "Correct the task's data.", cause="bad_data_uri"
        ) from error
    if len(content) > max_bytes:
        raise _too_large("A data URI", max_bytes)
    return content


def _check_status(response: httpx.Response, url: str, is_own: bool) -> None:
    if response.is_success:
        return
    wrong, remedy, cause = _judge_status(response.status_code, _shown(url), is_own)
    raise ImageUnreachable(wrong, remedy, cause=cause, status=response.status_code, is_own=is_own)


def _judge_status(status: int, shown: str, is_own: bool) -> tuple[str, str, ImageCause]:
    """What is wrong, what to do, and the cause."""
    if status in (401, 403) and is_own:
        return f"{shown} may not be read ({status}).", TOKEN_REMEDY, "token"
    if status in (401, 403):
        wrong = f"{shown} may not be read ({status}): the address has expired, or its host does not let the backend in."
        return wrong, "Renew the address in the task, or sync its storage in Label Studio.", "expired"
    if status in (404, 410):
        remedy = "Correct the task's address, or sync its storage in Label Studio."
        return f"{shown} does not exist ({status}).", remedy, "missing"
    is_passing = status in (408, 425, 429) or status >= 500
    wrong = f"{shown} cannot be fetched ({status})."
    return wrong, "Look at the server that it comes from.", "passing" if is_passing else "refused"


def _unreachable(url: str, error: Exception, is_own: bool) -> ImageUnreachable:
    return ImageUnreachable(
        f"{_shown(url)} cannot be fetched ({reason_of(error)}).",
        "Check that the host runs and can be reached from here, or set LABEL_STUDIO_URL.",
        cause="down" if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) else "passing",
        is_own=is_own,
    )


def _too_large(name: str, max_bytes: int) -> ImageUnreachable:
    return ImageUnreachable(
        f"{name} has more than {max_bytes} bytes.", "Make it smaller, or raise MAX_IMAGE_BYTES.", cause="too_large"
    )


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None if it is no address, which equals no site's origin."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, (parts.hostname or "").lower(), port)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""


def _shown(url: str) -> str:
    """An address that may be shown: no query, no user, not endless."""
    scheme, separator, rest = url.partition("://")
    bare = re.split(r"[?#]", rest if separator else url, maxsplit=1)[0]
    if separator:
        netloc, slash, path = bare.partition("/")
        bare = f"{scheme}://{netloc.rpartition('@')[2]}{slash}{path}"
    return bare if len(bare) <= 200 else f"{bare[:200]}…"
