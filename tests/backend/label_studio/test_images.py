"""Fetching images, against real HTTP servers on loopback."""

import base64
import json
import socket
import time
from types import SimpleNamespace

import pytest

from backend.base.errors import ImageUnreachable
from backend.label_studio import client
from backend.label_studio.images import ImageFetcher
from tests.backend.fake_label_studio import FakeTokens

PNG = b"\x89PNG not really"
LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOi.eyJ0eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"


def png(_request):
    return 200, {}, PNG


def redirect_to(url):
    return lambda _request: (302, {"Location": url}, b"")


class TestTokens:
    def test_an_upload_is_fetched_with_the_legacy_token(self, serve):
        studio = serve(png)
        assert ImageFetcher().fetch("/data/upload/1/a.png", studio.url, LEGACY) == PNG
        assert studio.seen[0].path == "/data/upload/1/a.png"
        assert studio.seen[0].headers["Authorization"] == f"Token {LEGACY}"

    def test_our_own_questions_have_the_token_wherever_they_go_and_a_task_s_address_does_not(self, serve):
        studio = serve(png)
        fetcher = ImageFetcher(f"{studio.url}/ls", LEGACY)
        assert fetcher.ask("/api/tasks?project=1") == PNG
        fetcher.fetch("/api/tasks?project=1")
        assert [r.path for r in studio.seen] == ["/ls/api/tasks?project=1"] * 2
        assert [r.headers.get("Authorization") for r in studio.seen] == [f"Token {LEGACY}", None]

    def test_our_own_questions_follow_nobody_elsewhere(self, serve):
        stranger = serve(png)
        with pytest.raises(ImageUnreachable, match="LABEL_STUDIO_URL"):
            ImageFetcher(serve(redirect_to(f"{stranger.url}/api/tasks")).url, LEGACY).ask("/api/tasks")
        assert stranger.seen == []

    def test_a_personal_token_is_exchanged_once(self, serve):
        studio = serve(with_personal_token())
        fetcher = ImageFetcher(studio.url, PERSONAL)
        assert [fetcher.fetch(f"/data/upload/1/{i}.png") for i in range(3)] == [PNG] * 3
        assert [r.path for r in studio.seen] == ["/api/token/refresh/", *(f"/data/upload/1/{i}.png" for i in range(3))]
        assert json.loads(studio.seen[0].body) == {"refresh": PERSONAL}

    def test_an_access_token_is_renewed_in_time_and_when_it_is_refused(self, serve, monkeypatch):
        studio = serve(with_personal_token())
        fetcher = ImageFetcher(studio.url, PERSONAL)
        fetcher.fetch("/data/upload/1.png")
        now = time.monotonic()
        monkeypatch.setattr(client.time, "monotonic", lambda: now + client.ACCESS_LIFETIME_S + 1)
        fetcher.fetch("/data/upload/2.png")
        assert [r.path for r in studio.seen].count("/api/token/refresh/") == 2
        studio.seen.append(SimpleNamespace(path="expire", headers={}))  # the server now wants the third
        assert fetcher.fetch("/data/upload/3.png") == PNG
        assert [r.path for r in studio.seen].count("/api/token/refresh/") == 3

    def test_a_configured_key_follows_no_hostname_of_a_setup(self, serve):
        studio, stranger = serve(png), serve(png)
        fetcher = ImageFetcher(studio.url, LEGACY)
        assert fetcher.fetch("/data/upload/1.png", hostname=stranger.url, token="other") == PNG
        assert fetcher.fetch(f"{stranger.url}/data/upload/2.png", hostname=stranger.url, token="other") == PNG
        assert [r.path for r in studio.seen] == ["/data/upload/1.png", "/data/upload/2.png"]
        assert stranger.seen == []

    def test_other_hosts_get_no_token(self, serve):
        studio, other = serve(png), serve(png)
        fetcher = ImageFetcher(studio.url, LEGACY, image_hosts=[f"127.0.0.1:{other.port}"])
        assert fetcher.fetch(f"{other.url}/a.png", studio.url, LEGACY) == PNG
        assert "Authorization" not in other.seen[0].headers

    def test_no_message_holds_a_token_or_a_query(self, serve):
        studio = serve(lambda _: (403, {}, b""))
        with pytest.raises(ImageUnreachable) as caught:
            ImageFetcher(studio.url, LEGACY).fetch(f"{studio.url}/data/upload/1/a.png?signature=secret")
        assert "secret" not in str(caught.value)
        assert LEGACY not in str(caught.value)
        assert "LABEL_STUDIO_API_KEY" in str(caught.value)


def with_personal_token():
    """A Label Studio that takes only the newest of the access tokens that it gave."""
    tokens = FakeTokens(PERSONAL)

    def answer(request):
        if request.path == "/api/token/refresh/":
            return tokens(request)
        wanted = "access-3" if request.path.endswith("3.png") else f"access-{tokens.given}"
        is_right = request.headers.get("Authorization") == f"Bearer {wanted}"
        return (200, {}, PNG) if is_right else (401, {}, b"")

    return answer


class TestAddresses:
    @pytest.mark.parametrize("path", ["/data/upload/1.png", "data/upload/1.png", "/studio/data/upload/1.png"])
    def test_relative_addresses_belong_below_the_sub_path(self, serve, path):
        studio = serve(png)
        assert ImageFetcher(f"{studio.url}/studio/").fetch(path) == PNG
        assert studio.seen[0].path == "/studio/data/upload/1.png"

    def test_label_studios_own_name_is_replaced_by_the_configured_one(self, serve):
        studio = serve(png)
        fetcher = ImageFetcher(f"{studio.url}/inside")
        fetcher.fetch("http://studio.example/outside/data/upload/1.png?a=b", hostname="http://studio.example/outside")
        assert studio.seen[0].path == "/inside/data/upload/1.png?a=b"

    def test_a_storage_address_goes_through_presigning_without_the_token(self, serve):
        bucket = serve(png)
        studio = serve(redirect_to(f"{bucket.url}/b/a.png?signature=x"))
        fetcher = ImageFetcher(studio.url, LEGACY, image_hosts=[f"127.0.0.1:{bucket.port}"])
        assert fetcher.fetch("s3://b/a.png", task_id=12) == PNG
        encoded = base64.urlsafe_b64encode(b"s3://b/a.png").decode()
        assert studio.seen[0].path == f"/tasks/12/presign/?fileuri={encoded}"
        assert studio.seen[0].headers["Authorization"] == f"Token {LEGACY}"
        assert bucket.seen[0].path == "/b/a.png?signature=x"
        assert "Authorization" not in bucket.seen[0].headers

    def test_presigning_reaches_no_private_host_that_is_not_listed(self, serve):
        bucket = serve(png)
        studio = serve(redirect_to(f"{bucket.url}/b/a.png"))
        with pytest.raises(ImageUnreachable, match="not public"):
            ImageFetcher(studio.url, LEGACY).fetch("/tasks/12/presign/?fileuri=eA==")
        assert bucket.seen == []

    def test_a_storage_address_needs_a_task(self):
        with pytest.raises(ImageUnreachable, match="no id"):
            ImageFetcher("http://127.0.0.1:1").fetch("s3://bucket/a.png")

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("file:///etc/passwd", "no address that images"),
            ("ftp://host/a.png", "no address that images"),
            ("http:///a.png", "no address that images"),
            ("http://other.example/a.png", "IMAGE_HOSTS"),
            ("//other.example/a.png", "IMAGE_HOSTS"),
            ("http://127.0.0.1:1@other.example/a.png", "IMAGE_HOSTS"),  # the part before @ is a user
            ("http://[::1/a.png", "no address"),
            ("http://127.0.0.1:99999/a.png", "no address"),
        ],
    )
    def test_what_is_not_allowed_is_not_fetched(self, url, says):
        with pytest.raises(ImageUnreachable, match=says):
            ImageFetcher("http://127.0.0.1:1").fetch(url)

    def test_a_relative_address_needs_label_studio(self):
        with pytest.raises(ImageUnreachable, match="LABEL_STUDIO_URL"):
            ImageFetcher().fetch("/data/upload/1.png")

    def test_a_name_is_looked_up_once_and_that_address_is_asked(self, serve, monkeypatch):
        """A name that changes between the check and the request (DNS rebinding) leads nowhere else."""
        studio = serve(png)
        looked_up = fake_names(monkeypatch, {"pictures.example": [["127.0.0.1"], ["10.255.255.1"]]})
        fetcher = ImageFetcher(image_hosts=["pictures.example"])
        assert fetcher.fetch(f"http://pictures.example:{studio.port}/a.png") == PNG
        assert studio.seen[0].headers["Host"] == f"pictures.example:{studio.port}"
        assert looked_up == ["pictures.example"]

    def test_the_next_address_of_a_host_is_tried(self, serve, monkeypatch):
        studio = serve(png)
        fake_names(monkeypatch, {"studio.example": [["127.0.0.2", "127.0.0.1"]]})
        assert ImageFetcher(f"http://studio.example:{studio.port}").fetch("/a.png") == PNG

    def test_a_public_name_at_a_private_address_is_refused(self, serve, monkeypatch):
        bucket, hidden = serve(redirect_to("http://rebound.example/a.png")), serve(png)
        fake_names(monkeypatch, {"rebound.example": [["93.184.216.34", "127.0.0.1"]]})
        with pytest.raises(ImageUnreachable, match=r"127\.0\.0\.1, which is not public"):
            ImageFetcher(bucket.url).fetch("/tasks/1/presign/?fileuri=eA==")
        assert hidden.seen == []


def fake_names(monkeypatch, names):
    """Names with the addresses that each look-up gives; returns the names that were looked up."""
    real, looked_up = socket.getaddrinfo, []

    def look_up(host, port, *args, **kwargs):
        if host not in names:
            return real(host, port, *args, **kwargs)
        looked_up.append(host)
        return [(2, 1, 6, "", (address, port)) for address in names[host].pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return looked_up


class TestLimits:
    def test_a_redirect_to_another_host_is_not_followed(self, serve):
        other = serve(png)
        studio = serve(redirect_to(f"http://localhost:{other.port}/a.png"))
        with pytest.raises(ImageUnreachable, match="redirects to another host"):
            ImageFetcher(studio.url).fetch("/a.png")
        assert other.seen == []

    def test_a_redirect_on_the_same_host_is_followed_but_not_forever(self, serve):
        once = serve(lambda r: (301, {"Location": "/b.png"}, b"") if r.path == "/a.png" else (200, {}, PNG))
        assert ImageFetcher(once.url).fetch("/a.png") == PNG
        endless = serve(redirect_to("/a.png"))
        with pytest.raises(ImageUnreachable, match="more than 3 times"):
            ImageFetcher(endless.url).fetch("/a.png")
        assert len(endless.seen) == 4

    def test_a_large_file_is_not_read_to_its_end(self, serve):
        sent = []

        def chunks():
            for _ in range(1000):
                sent.append(1)
                yield b"x" * 65536

        announced, endless = serve(lambda _: (200, {}, b"x" * 2000)), serve(lambda _: (200, {}, chunks()))
        for studio in (announced, endless):
            with pytest.raises(ImageUnreachable, match="MAX_IMAGE_BYTES"):
                ImageFetcher(studio.url, max_bytes=1000).fetch("/a.png")
        assert len(sent) < 1000

    def test_a_file_of_exactly_the_limit_is_read(self, serve):
        assert ImageFetcher(serve(lambda _: (200, {}, b"x" * 1000)).url, max_bytes=1000).fetch("/a") == b"x" * 1000

    def test_a_slow_file_is_given_up(self, serve):
        def drip():
            while True:
                time.sleep(0.05)
                yield b"x"

        began = time.monotonic()
        with pytest.raises(ImageUnreachable, match="FETCH_TIMEOUT"):
            ImageFetcher(serve(lambda _: (200, {}, drip())).url, timeout_s=0.4).fetch("/a.png")
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(("status", "says"), [(401, "LABEL_STUDIO_API_KEY"), (404, "does not exist"), (500, "500")])
    def test_a_bad_status_says_what_to_do(self, serve, status, says):
        with pytest.raises(ImageUnreachable, match=says):
            ImageFetcher(serve(lambda _: (status, {}, b"")).url).fetch("/data/upload/1/a.png")

    def test_a_host_that_is_down_says_so(self):
        with pytest.raises(ImageUnreachable, match="cannot be fetched"):
            ImageFetcher("http://127.0.0.1:1").fetch("/a.png")

    def test_cookies_are_not_kept(self, serve):
        studio = serve(lambda _: (200, {"Set-Cookie": "session=1; Path=/"}, PNG))
        fetcher = ImageFetcher(studio.url)
        fetcher.fetch("/a.png")
        fetcher.fetch("/b.png")
        assert "Cookie" not in studio.seen[1].headers


class TestLocalFiles:
    @pytest.fixture
    def root(self, tmp_path):
        root = tmp_path / "root"
        (root / "sub").mkdir(parents=True)
        (root / "sub" / "a b.png").write_bytes(PNG)
        (tmp_path / "secret.txt").write_bytes(b"secret")
        (root / "link.png").symlink_to(tmp_path / "secret.txt")
        return root

    def test_a_mounted_file_is_read_without_http(self, root):
        fetcher = ImageFetcher("http://127.0.0.1:1", local_files_root=root)
        assert fetcher.fetch("/data/local-files/?d=sub/a%20b.png") == PNG

    @pytest.mark.parametrize("name", ["../secret.txt", "sub/../../secret.txt", "link.png", "%2e%2e/secret.txt"])
    def test_nothing_outside_the_root_is_read(self, root, name):
        with pytest.raises(ImageUnreachable, match="outside"):
            ImageFetcher("http://127.0.0.1:1", local_files_root=root).fetch(f"/data/local-files/?d={name}")

    def test_a_leading_slash_stays_inside(self, root):
        fetcher = ImageFetcher("http://127.0.0.1:1", local_files_root=root)
        assert fetcher.fetch("/data/local-files/?d=/sub/a%20b.png") == PNG

    def test_a_file_that_is_not_mounted_is_asked_of_label_studio(self, root, serve):
        studio = serve(png)
        assert ImageFetcher(studio.url, LEGACY, local_files_root=root).fetch("/data/local-files/?d=other.png") == PNG
        assert studio.seen[0].path == "/data/local-files/?d=other.png"

    def test_the_limit_holds_for_files(self, root):
        with pytest.raises(ImageUnreachable, match="MAX_IMAGE_BYTES"):
            ImageFetcher("http://127.0.0.1:1", local_files_root=root, max_bytes=3).fetch(
                "/data/local-files/?d=sub/a b.png"
            )


class TestDataUris:
    @pytest.mark.parametrize(
        "uri", [f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "data:image/png,%89PNG not really"]
    )
    def test_both_encodings_are_read(self, uri):
        assert ImageFetcher().fetch(uri) == PNG

    @pytest.mark.parametrize(
        "uri",
        [
            "data:image/png;base64",
            "data:image/png;base64,###",
            "data:image/png;base64,abcde",
            "data:image/png;base64,ab=c",
        ],
    )
    def test_damage_is_named_without_the_data(self, uri):
        with pytest.raises(ImageUnreachable, match="data URI"):
            ImageFetcher().fetch(uri)

    def test_the_limit_holds(self):
        with pytest.raises(ImageUnreachable, match="MAX_IMAGE_BYTES"):
            ImageFetcher(max_bytes=5).fetch(f"data:image/png;base64,{base64.b64encode(PNG).decode()}")
