"""Requests to addresses that other people named: which hosts may be asked, and at which of their addresses.

A name is looked up once, all its addresses are checked, and the connection goes to one that was: it cannot point elsewhere
by then (DNS rebinding). Redirects are not followed, so each is checked as the first address was.
"""

import ipaddress
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import httpx

from backend.label_studio.client import make_http
from backend.label_studio.deadline import is_over, look_up, within
from ris_core.errors import BadInput

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = tuple(
    map(
        ipaddress.ip_network,
        (
            *("168.63.129.16", "192.0.0.192", "100.100.100.200"),  # Azure, Oracle, Alibaba
            *("fd00:ec2::/64", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42"),  # AWS, Google, Oracle, Scaleway
        ),
    )
)
"""Where clouds tell a machine about itself, its keys included, beside 169.254.0.0/16."""

_WRAPPINGS = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
"""IPv6 addresses that end in the IPv4 one that they lead to: IPv4-compatible, IPv4-translated, NAT64."""
_NAT64_48 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""NAT64 of a network's own; where the IPv4 address stands in it, RFC 6052 says."""
_NOT_PUBLIC = (
    *_WRAPPINGS,
    _NAT64_48,
    *map(
        ipaddress.ip_network,
        (
            "100.64.0.0/10",
            "192.0.0.0/24",
            "2001::/32",  # Teredo
            "2002::/16",  # 6to4
            "3fff::/20",
            "5f00::/16",
            "fec0::/10",
        ),
    ),
)
"""What some of Python's versions take for global, and IPv6 addresses that lead to an IPv4 one."""


@dataclass(frozen=True)
class AddressRule:
    """Which IP addresses a host may have.

    Attributes:
        allow_private: Those that are not public: loopback, private networks, IPv4 addresses wrapped into IPv6 ones.
        allow_link_local: Those of clouds' metadata services, most of which are link-local.
    """

    allow_private: bool
    allow_link_local: bool

    def allows(self, address: str) -> bool:
        ip = _parse(address)
        if any(one.is_link_local or _is_in(one, _METADATA) for one in (ip, *_find_inside(ip))):
            return self.allow_link_local
        return self.allow_private or (ip.is_global and not ip.is_multicast and not _is_in(ip, _NOT_PUBLIC))


PUBLIC = AddressRule(allow_private=False, allow_link_local=False)
ANYWHERE = AddressRule(allow_private=True, allow_link_local=True)
NOT_METADATA = AddressRule(allow_private=True, allow_link_local=False)
"""For addresses that who runs the backend need not have chosen, in networks where private hosts are what is meant."""


class HostRefused(BadInput):
    """A host that is not known, or may not be asked.

    Attributes:
        cause: Which of both.
        host: Its name.
        address: The address that is not allowed; empty if the host is not known.
    """

    def __init__(self, cause: Literal["unknown_host", "host_not_allowed"], host: str, address: str = "") -> None:
        self.cause, self.host, self.address = cause, host, address
        wrong = (
            f"The host {host} is at {address}, which is not public." if address else f"The host {host} is not known."
        )
        super().__init__(wrong, "Correct the address.")


def post_json(url: str, body: object, rule: AddressRule, timeout_s: float) -> int:
    """Tell an address something, within a span of time; the HTTP status of what it answers. Its login is sent as basic auth.

    Raises:
        HostRefused: If there is no such host, or the rule forbids its address.
        httpx.HTTPError, httpx.InvalidURL: If it cannot be told.
    """
    parts = urlsplit(url)
    headers = {}
    if "@" in parts.netloc:
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    with (
        within(timeout_s),
        make_http(timeout_s) as http,
        open_checked(http, "POST", url, rule, headers, json=body) as response,
    ):
        return response.status_code


@contextmanager
def open_checked(
    http: httpx.Client,
    method: str,
    url: str,
    rule: AddressRule,
    headers: Mapping[str, str] | None = None,
    json: object = None,
) -> Iterator[httpx.Response]:
    """Ask an address of http(s), if a rule allows its host; the answer, whose body is not read yet.

    Raises:
        HostRefused: If there is no such host, or the rule forbids its address.
        httpx.HTTPError, httpx.InvalidURL: If it cannot be asked.
    """
    parts = urlsplit(url)
    response = _send(http, method, parts, _find_addresses(parts, rule), headers or {}, json)
    try:
        yield response
    finally:
        response.close()


def _send(
    http: httpx.Client, method: str, parts: SplitResult, addresses: list[str], headers: Mapping[str, str], json: object
) -> httpx.Response:
    host = _to_ascii(parts.hostname or "")
    host_text = f"[{host}]" if ":" in host else host
    name = f"{host_text}:{parts.port}" if parts.port else host_text
    about: dict[str, Any] = {"headers": {**headers, "Host": name}, "extensions": {"sni_hostname": host}}
    for i, address in enumerate(addresses):
        literal = f"[{address}]" if ":" in address else address
        netloc = f"{literal}:{parts.port}" if parts.port else literal
        pinned = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
        try:
            return http.send(http.build_request(method, pinned, json=json, **about), stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if i + 1 == len(addresses) or is_over():
                raise
    raise AssertionError("a host that is known has an address")


def _find_addresses(parts: SplitResult, rule: AddressRule) -> list[str]:
    host = parts.hostname or ""
    try:
        addresses = look_up(host, parts.port or (443 if parts.scheme == "https" else 80))
    except TimeoutError as error:
        raise httpx.ConnectTimeout("the look-up takes too long") from error
    except (OSError, ValueError) as error:
        raise HostRefused("unknown_host", host) from error
    for address in addresses:
        if not rule.allows(address):
            raise HostRefused("host_not_allowed", host, address)
    return addresses


def _to_ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _parse(address: str) -> Ip:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def _find_inside(ip: Ip) -> Iterator[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 one may lead to."""
    if isinstance(ip, ipaddress.IPv4Address):
        return
    if _is_in(ip, (*_WRAPPINGS, _NAT64_48)):
        yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip in _NAT64_48:
        yield ipaddress.IPv4Address((int(ip) >> 64 & 0xFFFF) << 16 | int(ip) >> 40 & 0xFFFF)
    if ip.sixtofour:
        yield ip.sixtofour
    if ip.teredo:
        yield ip.teredo[1]


def _is_in(ip: Ip, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return any(ip in network for network in networks)
