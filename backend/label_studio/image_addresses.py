"""The addresses of images as tasks name them: what they mean, which are Label Studio's own, how they may be shown."""

import base64
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit

from backend.base.errors import ImageUnreachable

STORAGE_SCHEMES = ("s3", "gs", "azure-blob", "azure_spi", "redis")
"""Addresses that only Label Studio can turn into bytes."""

_DATA_ROUTES = (
    r"/data/upload/.+",
    r"/data/local-files/",
    r"/storage-data/uploaded/",
    r"/(tasks|projects)/\d+/(presign|resolve)/",
)
"""Label Studio's routes that give out a task's data, below its sub-path. Its token goes to no other."""
_DATA_ROUTE = re.compile("|".join(_DATA_ROUTES))
_BEHIND_PREFIX = re.compile(rf"(/[^/]+)+?(?P<route>{'|'.join(_DATA_ROUTES)})")
_PRESIGN_ROUTE = re.compile(_DATA_ROUTES[-1])
_CLIMBING = re.compile(r"[\\\x00-\x1f\x7f]|//|/\.{1,2}(?:[/;]|$)")
"""What a server may take for another path than the one that was looked at."""
MAX_DECODINGS = 4
"""How often a path may be %-encoded."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AROUND = "".join(map(chr, range(0x21))) + "\x7f\xa0\ufeff\u200b"
"""What a spreadsheet leaves around an address."""


@dataclass(frozen=True)
class LabelStudioSite:
    """A Label Studio: where it is, what opens it, and whether it was named by the person who runs us.

    Attributes:
        url: Its address, with its sub-path.
        other_url: Its address as it sees itself, which may not be reachable from here.
    """

    url: str
    token: str | None
    is_configured: bool
    other_url: str | None = None

    def owns(self, url: str) -> bool:
        """Whether an address is of its scheme, host and port."""
        return origin_of(url) == origin_of(self.url)

    def path_of(self, url: str) -> str:
        """The path of one of its addresses, below its sub-path."""
        return _below(urlsplit(url).path, self.url)

    def has_data_at(self, url: str) -> bool:
        """Whether it gives out a task's data at an address, so that its token may go there."""
        return self.owns(url) and is_data_route(self.path_of(url))

    def presigns_at(self, url: str) -> bool:
        """Whether it may send us to a storage's address from there."""
        return self.has_data_at(url) and bool(_PRESIGN_ROUTE.fullmatch(self.path_of(url)))


def kind_of(url: str, own_hosts: set[str]) -> str:
    """Source of an image: "upload", "local files", "s3 storage", "data URI", or the host's name.

    Args:
        own_hosts: Hosts of Label Studio, with ports; addresses without a host are Label Studio's too.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return "data URI"
    if scheme in STORAGE_SCHEMES and "://" in url:
        return f"{scheme} storage"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "bad address"
    host = parts.netloc.rpartition("@")[2]
    if host and host not in own_hosts:
        return host
    folder = re.search(r"/data/(upload|local-files)/", parts.path)
    return folder[1].replace("-", " ") if folder else "Label Studio"


def clean(address: str) -> str:
    """An address without blanks around it and line ends in it, as browsers read it."""
    return re.sub(r"[\t\r\n]", "", address.strip(_AROUND))


def resolve(url: str, site: LabelStudioSite | None) -> str:
    """Absolute address; Label Studio's own, relative or by the name that it has for itself, come out below `site.url`.

    Raises:
        ImageUnreachable: If it is one of a Label Studio that is not known, or no address of http(s).
    """
    if url.startswith("//"):
        url = f"https:{url}"
    if site and (_is_at(url, site.url) or (site.other_url and _is_at(url, site.other_url))):
        parts = urlsplit(url)
        url = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    if re.match(r"[a-z][a-z0-9+.-]*:", url, re.IGNORECASE):
        check_address(url)
        return url
    if site is None:
        raise ImageUnreachable(
            f"{shown(url)} is an address inside Label Studio, but its own is not known.",
            "Set LABEL_STUDIO_URL.",
            cause="unknown_host",
        )
    resolved = site.url.rstrip("/") + _find_own_path(url if url.startswith("/") else f"/{url}", site)
    check_address(resolved)
    return resolved


def is_data_route(path: str) -> bool:
    """Whether a path, below the sub-path, is one of Label Studio's for a task's data, however a server reads it."""
    return bool(_DATA_ROUTE.fullmatch(path)) and not _climbs(path)


def make_presign_path(url: str, task_id: int | str | None) -> str:
    """Where Label Studio gives out what a storage's address means.

    Raises:
        ImageUnreachable: If the task is not known.
    """
    if not str(task_id or "").isdigit():
        raise ImageUnreachable(
            f"{shown(url)} is in a storage that only Label Studio can open, and the task has no id.",
            "Use presigned or http(s) addresses.",
            cause="in_storage",
        )
    return f"/tasks/{task_id}/presign/?fileuri={base64.urlsafe_b64encode(url.encode()).decode()}"


def check_address(url: str) -> None:
    """Raise `ImageUnreachable` unless this is an http(s) address that can be taken apart."""
    try:
        parts, host = urlsplit(url), host_of(url)
        (parts.hostname or "").encode("idna" if not (parts.hostname or "").isascii() else "ascii")
        url.encode()
    except ValueError as error:  # no port, no IPv6 address, no name, or halves of surrogate pairs
        raise ImageUnreachable(
            f"{shown(url)} is no address.", "Correct the task's data.", cause="bad_address"
        ) from error
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ImageUnreachable(
            f"{shown(url)} is no address that images are fetched from.",
            "Use http(s), an upload, a local file or a data URI.",
            cause="bad_address",
        )


def origin_of(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None if it is no address, which equals no site's origin."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, (parts.hostname or "").lower(), port)


def host_of(url: str) -> str:
    """Host, and port if the address has one.

    Raises:
        ValueError: If the address cannot be taken apart.
    """
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""


def shown(url: str) -> str:
    """An address that may be shown: no query, no user, not endless, on one line."""
    scheme, separator, rest = url.partition("://")
    bare = re.split(r"[?#]", rest if separator else url, maxsplit=1)[0]
    if separator:
        netloc, slash, path = bare.partition("/")
        bare = f"{scheme}://{netloc.rpartition('@')[2]}{slash}{path}"
    bare = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in bare)
    return bare if len(bare) <= 200 else f"{bare[:200]}…"


def _is_at(url: str, base: str) -> bool:
    """Whether an address is of a site's host and port; http and https are the same site, if both are at their own port."""
    one, other = origin_of(url), origin_of(base)
    if one is None or other is None or one[1] != other[1] or not one[1]:
        return False
    is_plain = all(port == _DEFAULT_PORTS.get(scheme) for scheme, _, port in (one, other))
    return one == other or is_plain


def _find_own_path(path: str, site: LabelStudioSite) -> str:
    """A path of Label Studio without the sub-path that it, or a proxy before it, has; with its query."""
    path, mark, query = path.partition("?")
    for base in (site.url, site.other_url):
        if base and (below := _below(path, base)) != path:
            return below + mark + query
    hidden = None if is_data_route(path) else _BEHIND_PREFIX.fullmatch(path)
    return (hidden["route"] if hidden and not _climbs(path) else path) + mark + query


def _below(path: str, base: str) -> str:
    prefix = urlsplit(base).path.rstrip("/")
    return path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path


def _climbs(path: str) -> bool:
    """Whether a path leads elsewhere once it is decoded and its dots are followed."""
    for _ in range(MAX_DECODINGS):
        if _CLIMBING.search(path):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True
