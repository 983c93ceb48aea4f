"""Which hosts may be asked, and how long that may take; against real servers on loopback."""

import socket
import threading
import time

import httpx
import pytest

from backend.label_studio import outbound
from backend.label_studio.client import make_http
from backend.label_studio.deadline import within
from backend.label_studio.outbound import ANYWHERE, NOT_METADATA, PUBLIC, HostRefused, open_checked, post_json

NOWHERE, INSIDE, EVERYWHERE = (False, False), (False, True), (True, True)
"""Whether an address is for everybody, and whether where private ones are."""


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("93.184.216.34", EVERYWHERE),
        ("2606:2800:220:1::1", EVERYWHERE),
        ("2606:2800:220:1::a9fe:a9fe", EVERYWHERE),  # just looks like a wrapping
        ("127.0.0.1", INSIDE),
        ("10.1.2.3", INSIDE),
        ("100.64.0.1", INSIDE),
        ("192.0.0.8", INSIDE),
        ("0.0.0.0", INSIDE),
        ("::", INSIDE),
        ("::1", INSIDE),
        ("fd00::1", INSIDE),
        ("fec0::1", INSIDE),  # site-local
        ("224.0.0.1", INSIDE),
        ("ff0e::1", INSIDE),
        ("::ffff:127.0.0.1", INSIDE),
        ("::ffff:93.184.216.34", EVERYWHERE),
        ("::7f00:1", INSIDE),  # IPv4-compatible
        ("::93.184.216.34", INSIDE),
        ("::ffff:0:127.0.0.1", INSIDE),  # IPv4-translated
        ("64:ff9b::7f00:1", INSIDE),  # NAT64
        ("64:ff9b::93.184.216.34", INSIDE),
        ("64:ff9b:1::1", INSIDE),
        ("2002:7f00:1::", INSIDE),  # 6to4
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", INSIDE),  # Teredo
        ("169.254.169.254", NOWHERE),
        ("fe80::1%eth0", NOWHERE),
        ("168.63.129.16", NOWHERE),  # Azure
        ("192.0.0.192", NOWHERE),  # Oracle
        ("100.100.100.200", NOWHERE),  # Alibaba
        ("fd00:ec2::254", NOWHERE),  # AWS
        ("fd00:ec2::23", NOWHERE),
        ("fd00:c1::a9fe:a9fe", NOWHERE),  # Oracle
        ("fd00:42::42", NOWHERE),  # Scaleway
        ("::ffff:169.254.169.254", NOWHERE),
        ("::ffff:168.63.129.16", NOWHERE),
        ("::a9fe:a9fe", NOWHERE),
        ("64:ff9b::a9fe:a9fe", NOWHERE),
        ("64:ff9b:1:a9fe:a9:fe00::", NOWHERE),
        ("2002:a9fe:a9fe::", NOWHERE),
        ("2001:0:4136:e378:8000:63bf:5601:5601", NOWHERE),  # Teredo, whose bits are turned over
    ],
)
def test_public_addresses_are_for_everybody_and_metadata_for_nobody(address, is_allowed):
    assert (PUBLIC.allows(address), NOT_METADATA.allows(address)) == is_allowed
    assert ANYWHERE.allows(address)


def test_all_addresses_of_a_host_are_checked(serve, monkeypatch):
    hidden = serve(lambda _: (200, {}, b""))
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (a, 80)) for a in ("93.184.216.34", "127.0.0.1")]
    )
    with pytest.raises(HostRefused) as caught:
        post_json(f"http://rebound.example:{hidden.port}/", {}, PUBLIC, 2.0)
    assert (caught.value.cause, caught.value.host, caught.value.address) == (
        "host_not_allowed",
        "rebound.example",
        "127.0.0.1",
    )
    assert hidden.seen == []


def test_json_is_posted_to_the_address_that_was_checked(serve, monkeypatch):
    listener = serve(lambda _: (202, {}, b"thanks"))
    real, looked_up = socket.getaddrinfo, []

    def look_up(host, *args, **kwargs):
        looked_up.append(host)
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert post_json(f"http://listener.example:{listener.port}/a?b=c", {"run": "1"}, NOT_METADATA, 5.0) == 202
    [seen] = listener.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/a?b=c", b'{"run":"1"}')
    assert seen.headers["Host"] == f"listener.example:{listener.port}"
    assert looked_up.count("listener.example") == 1


def test_a_redirect_is_not_followed(serve):
    other = serve(lambda _: (200, {}, b""))
    first = serve(lambda _: (302, {"Location": other.url}, b""))
    assert post_json(first.url, {}, NOT_METADATA, 5.0) == 302
    assert other.seen == []


def test_an_unknown_host_is_told_as_that():
    with pytest.raises(HostRefused) as caught:
        post_json("http://nowhere.invalid/", {}, PUBLIC, 5.0)
    assert caught.value.cause == "unknown_host"


def test_a_name_in_other_letters_is_asked_by_its_ascii_form(serve, monkeypatch):
    listener, real = serve(lambda _: (200, {}, b"")), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1", *a, **k))
    assert post_json(f"http://bücher.example:{listener.port}/", {}, NOT_METADATA, 5.0) == 200
    assert listener.seen[0].headers["Host"] == f"xn--bcher-kva.example:{listener.port}"


class TestDeadline:
    """A server that says something now and then is given up all the same."""

    @pytest.fixture
    def drip(self):
        """Starts servers that send these bytes one by one, for ever again the last: their addresses."""
        listeners, is_over = [], threading.Event()

        def serve_slowly(listener: socket.socket, content: bytes) -> None:
            try:
                while not is_over.is_set():
                    conn, _ = listener.accept()
                    with conn:
                        for i in range(400):
                            conn.sendall(content[i : i + 1] or content[-1:])
                            if is_over.wait(0.05):
                                return
            except OSError:
                pass  # the client had enough, or the test is over

        def start(content: bytes) -> str:
            listener = socket.create_server(("127.0.0.1", 0))
            listeners.append(listener)
            threading.Thread(target=serve_slowly, args=(listener, content), daemon=True).start()
            return f"127.0.0.1:{listener.getsockname()[1]}"

        yield start
        is_over.set()
        for listener in listeners:
            listener.close()

    @pytest.mark.parametrize(
        ("scheme", "content"),
        [
            pytest.param(
                "http", b"HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", id="headers"
            ),
            pytest.param("http", b"HTTP/1.1 100 Continue\r\n\r\n" * 20, id="answers before the answer"),
            pytest.param("https", b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", id="TLS"),
        ],
    )
    def test_what_drips_ends_in_time(self, drip, scheme, content):
        began = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            post_json(f"{scheme}://{drip(content)}/", {}, NOT_METADATA, 0.5)
        assert time.monotonic() - began < 3

    def test_a_slow_look_up_ends_in_time(self, monkeypatch):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
        began = time.monotonic()
        with pytest.raises(httpx.TimeoutException):
            post_json("http://slow.example/", {}, PUBLIC, 0.3)
        assert time.monotonic() - began < 3

    def test_a_client_looks_up_names_in_time_too(self, monkeypatch):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(2) or [])
        began = time.monotonic()
        with within(0.3), make_http(10.0) as http, pytest.raises(httpx.TimeoutException):
            http.get("http://slow.example/")
        assert time.monotonic() - began < 3

    def test_the_sooner_of_two_deadlines_counts_and_ends_with_its_block(self, drip):
        address = drip(b"HTTP/1.1 200 OK\r\nX-Slow: a")
        with within(0.3), within(60), make_http(60.0) as http, pytest.raises(httpx.TimeoutException):
            http.get(f"http://{address}/")

    def test_without_a_deadline_only_silence_counts(self, serve):
        def chunks():
            for _ in range(6):
                time.sleep(0.1)
                yield b"x"

        with make_http(0.5) as http:
            assert http.get(serve(lambda _: (200, {}, chunks())).url).content == b"xxxxxx"

    def test_the_body_is_within_it(self, serve):
        def chunks():
            while True:
                time.sleep(0.05)
                yield b"x"

        url = serve(lambda _: (200, {}, chunks())).url
        with within(1.5), make_http(10.0) as http, open_checked(http, "GET", url, outbound.ANYWHERE) as response:  # noqa: SIM117
            with pytest.raises(httpx.TimeoutException):
                response.read()
