"""What the addresses of images mean, and that Label Studio's token goes to a task's data only."""

import base64
import contextlib
import socket
import threading
import time

import pytest

from backend.base.errors import ImageUnreachable
from backend.label_studio.image_addresses import LabelStudioSite, clean, is_data_route, resolve, shown
from backend.label_studio.images import ImageFetcher

PNG = b"\x89PNG not really"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
UPLOAD = "/data/upload/1/a.png"


def png(_request):
    return 200, {}, PNG


@pytest.fixture
def studio(serve):
    """A Label Studio that has data at its root, and nothing elsewhere."""
    return serve(lambda r: (200, {}, PNG) if is_data_route(r.path.partition("?")[0]) else (404, {}, b""))


class TestSubPaths:
    """Label Studio writes its own sub-path into uploads' addresses, and may be reached without it, or under another one."""

    @pytest.mark.parametrize(
        ("url", "hostname", "address", "path"),
        [
            pytest.param("", "https://labels.example.org/ls", "/ls/data/upload/1/a.png", UPLOAD, id="inner address"),
            pytest.param(
                "", "https://labels.example.org/ls/", "/ls/data/upload/1/a.png?x=1", f"{UPLOAD}?x=1", id="slash"
            ),
            pytest.param("", None, "/ls/data/upload/1/a.png", UPLOAD, id="its own name is not known"),
            pytest.param("", None, "/a/b/data/local-files/?d=x.png", "/data/local-files/?d=x.png", id="two deep"),
            pytest.param("", None, "/ls/tasks/5/presign/?fileuri=eA==", "/tasks/5/presign/?fileuri=eA==", id="presign"),
            pytest.param("", "https://x.org/ls", "https://x.org/ls/data/upload/1/a.png", UPLOAD, id="absolute"),
            pytest.param("", "https://x.org/ls", "https://x.org/data/upload/1/a.png", UPLOAD, id="absolute, without"),
            pytest.param("/in", "https://x.org/out", "/out/data/upload/1/a.png", f"/in{UPLOAD}", id="another one"),
            pytest.param("/in", "https://x.org/out", "/in/data/upload/1/a.png", f"/in{UPLOAD}", id="the inner one"),
            pytest.param("/in", None, "data/upload/1/a.png", f"/in{UPLOAD}", id="relative"),
            pytest.param("/in", None, "/other/data/upload/1/a.png", f"/in{UPLOAD}", id="an unknown one"),
            pytest.param(
                "/in", "https://x.org/out", "s3://b/a.png", "/in/tasks/7/presign/?fileuri=czM6Ly9iL2EucG5n", id="s3"
            ),
            pytest.param("", "https://x.org/data", "/data/data/upload/1/a.png", UPLOAD, id="one that is called data"),
        ],
    )
    def test_uploads_are_asked_where_label_studio_is(self, serve, url, hostname, address, path):
        server = serve(png)
        fetcher = ImageFetcher(server.url + url, TOKEN)
        assert fetcher.fetch(address, hostname=hostname, task_id=7) == PNG
        [seen] = server.seen
        assert (seen.path, seen.headers["Authorization"]) == (path, f"Token {TOKEN}")


class TestSchemes:
    def test_http_and_https_are_the_same_site_at_their_own_ports(self):
        site = LabelStudioSite("https://ls.example", TOKEN, True, other_url="http://outside.example")
        assert resolve("http://ls.example/data/upload/1/a.png", site) == "https://ls.example/data/upload/1/a.png"
        assert resolve("http://LS.example:80/a", site) == "https://ls.example/a"
        assert resolve("https://outside.example/a", site) == "https://ls.example/a"
        assert resolve("http://ls.example:8080/a", site) == "http://ls.example:8080/a"
        assert resolve("http://ls.example.evil.example/a", site) == "http://ls.example.evil.example/a"

    def test_label_studio_that_redirects_to_https_names_the_setting(self, serve):
        studio = serve(lambda r: (301, {"Location": f"https://127.0.0.1{r.path}"}, b""))
        with pytest.raises(ImageUnreachable, match=r"Set LABEL_STUDIO_URL to https://127\.0\.0\.1/ls\.$") as caught:
            ImageFetcher(f"{studio.url}/ls", TOKEN).fetch("/data/upload/1/a.png?x=1")
        assert (caught.value.cause, caught.value.is_own) == ("moved", True)

    def test_one_that_redirects_below_a_sub_path_names_it(self, serve):
        studio = serve(lambda r: (308, {"Location": f"/ls{r.path}"}, b""))
        with pytest.raises(ImageUnreachable, match=r"Set LABEL_STUDIO_URL to http://127\.0\.0\.1:\d+/ls\.$") as caught:
            ImageFetcher(studio.url, TOKEN).fetch(UPLOAD)
        assert caught.value.cause == "moved"

    def test_one_that_redirects_to_its_public_name_names_that_too(self, serve):
        studio = serve(lambda r: (301, {"Location": f"https://labels.example.org{r.path}"}, b""))
        with pytest.raises(ImageUnreachable, match=r"set LABEL_STUDIO_URL to https://labels\.example\.org\."):
            ImageFetcher(studio.url, TOKEN).fetch(UPLOAD)

    def test_a_login_page_of_https_is_no_host_to_be_listed(self, serve):
        studio = serve(lambda _: (302, {"Location": "https://127.0.0.1/login"}, b""))
        with pytest.raises(ImageUnreachable, match="ask for a login") as caught:
            ImageFetcher(studio.url, TOKEN).fetch(UPLOAD)
        assert "IMAGE_HOSTS" not in str(caught.value)

    def test_a_listed_host_may_redirect_to_https_of_its_own(self, serve):
        other = serve(lambda _: (301, {"Location": "https://127.0.0.1:1/a.png"}, b""))
        with pytest.raises(ImageUnreachable) as caught:  # nothing is there, but it was asked
            ImageFetcher(image_hosts=["127.0.0.1"]).fetch(f"{other.url}/a.png")
        assert caught.value.cause == "down"


class TestToken:
    @pytest.mark.parametrize(
        "address",
        [
            "/api/projects/1/",
            "/api/projects/1/export?exportType=JSON",
            "/API/projects/1/",
            "/user/account",
            "/tasks/1/annotations/",
            "/tasks/x/presign/",
            "/tasks/1/presign/../../../api/projects/",
            "/data/upload/../../api/projects/",
            "/data/upload/%2e%2e/%2E%2e/api/projects/",
            "/data/upload/%252e%252e/%252e%252e/api/projects/",
            "/data/upload/..%2f..%2fapi/projects/",
            "/data/upload/..\\..\\api\\projects/",
            "/data/upload/%5c..%5capi/",
            "/data/upload//../api/",
            "/data/upload/..;/..;/api/projects/",
            "/data/upload/1/..",
            "//data/upload/1/a.png/../../../api/",
            "/x/data/upload/../../../api/projects/",
            "/DATA/UPLOAD/1/a.png",
            "/data/uploads/1/a.png",
            "/api/data/upload",
            "/data/local-files/../../api/projects/?d=a",
            "/static/a.png",
        ],
    )
    def test_it_goes_to_no_other_page(self, serve, address):
        server = serve(png)
        fetcher = ImageFetcher(server.url, TOKEN, image_hosts=["data"])
        for asked in (address, server.url + address):
            with contextlib.suppress(ImageUnreachable):
                fetcher.fetch(asked, hostname="https://labels.example.org/ls")
        assert [r.path for r in server.seen if "Authorization" in r.headers] == []

    def test_a_page_that_wants_it_is_told_to_be_no_image(self, serve):
        studio = serve(lambda r: (200, {}, b"{}") if "Authorization" in r.headers else (401, {}, b""))
        with pytest.raises(ImageUnreachable, match="no address of a task's data") as caught:
            ImageFetcher(studio.url, TOKEN).fetch("/api/projects/1/")
        assert (caught.value.cause, caught.value.status, caught.value.is_own) == ("not_data", 401, True)

    def test_what_is_beside_label_studio_is_fetched_without_it(self, serve):
        server = serve(png)
        assert ImageFetcher(server.url, TOKEN).fetch("/static/samples/sample.jpg") == PNG
        assert "Authorization" not in server.seen[0].headers

    def test_a_data_route_that_redirects_to_the_api_does_not_take_it_along(self, serve):
        studio = serve(lambda r: (302, {"Location": "/api/projects/1/"}, b"") if r.path == UPLOAD else (200, {}, PNG))
        ImageFetcher(studio.url, TOKEN).fetch(UPLOAD)
        assert ["Authorization" in r.headers for r in studio.seen] == [True, False]

    @pytest.mark.parametrize(
        "path",
        [
            "/data/upload/1/a..b.png",
            "/data/upload/1/%D0%BA%D0%BE%D1%82 (403).png",
            "/data/upload/1/...png",
            "/data/local-files/",
            "/storage-data/uploaded/",
            "/tasks/12/presign/",
            "/projects/3/resolve/",
        ],
    )
    def test_routes_of_data_are_known(self, path):
        assert is_data_route(path)

    @pytest.mark.parametrize("token", ["two words", "tök", "new\nline", "ze\0ro"])
    def test_one_that_no_header_takes_is_not_shown(self, studio, token):
        with pytest.raises(ImageUnreachable) as caught:
            ImageFetcher(studio.url, token).fetch(UPLOAD)
        assert caught.value.cause == "token"
        assert token not in str(caught.value)
        assert studio.seen == []

    def test_blanks_around_it_are_left_away(self, studio):
        ImageFetcher(studio.url, f" {TOKEN}\r\n").fetch(UPLOAD)
        assert studio.seen[0].headers["Authorization"] == f"Token {TOKEN}"


class TestCauses:
    """Whoever reads it looks in the right place."""

    @pytest.mark.parametrize(
        ("status", "query", "cause", "says"),
        [
            (403, "?X-Amz-Signature=secret&X-Amz-Expires=60", "expired", "has expired"),
            (403, "?sig=secret&se=2026", "expired", "has expired"),
            (400, "?X-Goog-Signature=secret", "expired", "has expired"),
            (403, "", "expired", "does not let the backend in"),
            (401, "", "expired", "does not let the backend in"),
            (400, "", "refused", "400"),
            (404, "", "missing", "does not exist"),
            (410, "", "missing", "does not exist"),
            (429, "", "passing", "429"),
            (503, "", "passing", "503"),
        ],
    )
    def test_another_host_is_not_a_matter_of_the_token(self, serve, status, query, cause, says):
        bucket = serve(lambda _: (status, {}, b""))
        fetcher = ImageFetcher("http://127.0.0.1:1", TOKEN, image_hosts=[f"127.0.0.1:{bucket.port}"])
        with pytest.raises(ImageUnreachable, match=says) as caught:
            fetcher.fetch(f"{bucket.url}/IMG (403) may not be read.png{query}")
        error = caught.value
        assert (error.cause, error.status, error.is_own) == (cause, status, False)
        assert "LABEL_STUDIO_API_KEY" not in str(error)
        assert "secret" not in str(error)

    def test_a_bucket_that_refuses_what_label_studio_signed_is_not_its_token_either(self, serve):
        bucket = serve(lambda _: (403, {}, b""))
        studio = serve(lambda _: (303, {"Location": f"{bucket.url}/a.png?X-Amz-Signature=s"}, b""))
        fetcher = ImageFetcher(studio.url, TOKEN, image_hosts=[f"127.0.0.1:{bucket.port}"])
        with pytest.raises(ImageUnreachable, match="storage") as caught:
            fetcher.fetch("s3://b/a.png", task_id=1)
        assert (caught.value.cause, caught.value.is_own) == ("expired", False)

    def test_a_token_that_cannot_be_exchanged_now_is_not_a_refused_one(self, serve):
        studio = serve(lambda _: (503, {}, b""))
        with pytest.raises(ImageUnreachable) as caught:
            ImageFetcher(studio.url, "a.b.c").fetch(UPLOAD)
        assert (caught.value.cause, caught.value.is_own) == ("down", True)

    @pytest.mark.parametrize(
        "address",
        [
            "http://[::1/a.png",
            "http://h:99999/a",
            "http://a\ud800b/x",
            "http://127.0.0.1/\ud800",
            "http://ex ample/",
            "http://",
        ],
    )
    def test_what_is_no_address_is_told_as_that(self, address):
        with pytest.raises(ImageUnreachable) as caught:
            ImageFetcher(image_hosts=["127.0.0.1", "h", "ex ample"]).fetch(address)
        assert caught.value.cause in ("bad_address", "unknown_host")
        str(caught.value).encode()  # can be stored


class TestBlanks:
    @pytest.mark.parametrize("around", [" {}", "\t{}\r\n", "\ufeff{}", "\xa0{} ", "\u200b{}"])
    def test_they_are_no_part_of_an_address(self, studio, around):
        fetcher = ImageFetcher(studio.url, TOKEN)
        assert fetcher.fetch(around.format(studio.url + UPLOAD)) == PNG
        assert fetcher.fetch(around.format(UPLOAD)) == PNG

    def test_lines_are_put_together(self):
        assert clean(" http://a.example/\r\n\tb c.png\n") == "http://a.example/b c.png"

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param("data:image/png;base64,{wrapped}", id="wrapped"),
            pytest.param("  data:image/png;base64,{plain}  ", id="blanks around"),
            pytest.param("data:image/png;base64,{unpadded}", id="without padding"),
            pytest.param("data:image/png;base64,{quoted}", id="%-encoded"),
            pytest.param("DATA:image/png;BASE64,{plain}", id="upper case"),
            pytest.param("data:image/png;charset=utf-8; base64 ,{plain}", id="with a parameter"),
            pytest.param("data:;base64,{plain}", id="without a type"),
            pytest.param("data:image/png;base64,{url_safe}", id="base64 for URLs"),
            pytest.param("data:image/png;base64,{spaced}", id="blanks within"),
        ],
    )
    def test_a_data_uri_is_read_as_browsers_do(self, body):
        content = bytes(range(256)) + b"?>?>"
        plain = base64.b64encode(content).decode()
        assert plain.endswith("=")
        assert "/" in plain
        variants = {
            "plain": plain,
            "wrapped": "\r\n".join(plain[i : i + 76] for i in range(0, len(plain), 76)),
            "unpadded": plain.rstrip("="),
            "quoted": plain.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
            "url_safe": base64.urlsafe_b64encode(content).decode().rstrip("="),
            "spaced": " ".join(plain[i : i + 10] for i in range(0, len(plain), 10)),
        }
        assert ImageFetcher().fetch(body.format(**variants)) == content

    @pytest.mark.parametrize(
        "body", ["data:image/png;base64,abcde", "data:image/png;base64,a=bc", "data:image/png;base64,ab===", "data:x"]
    )
    def test_what_is_damaged_is_not_guessed(self, body):
        with pytest.raises(ImageUnreachable) as caught:
            ImageFetcher().fetch(body)
        assert caught.value.cause == "bad_data_uri"


class TestDeadline:
    """FETCH_TIMEOUT is one span of time over everything."""

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: aaaaaaaaa", id="headers"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="body"),
        ],
    )
    def test_what_drips_is_given_up(self, content):
        listener, is_over = socket.create_server(("127.0.0.1", 0)), threading.Event()

        def drip():
            conn, _ = listener.accept()
            try:
                for i in range(200):
                    conn.sendall(content[i : i + 1] or b"a")
                    if is_over.wait(0.05):
                        break
            except OSError:
                pass
            conn.close()

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(ImageUnreachable, match="FETCH_TIMEOUT") as caught:
            ImageFetcher(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN, timeout_s=0.5).fetch(UPLOAD)
        assert time.monotonic() - began < 3
        assert caught.value.cause == "too_slow"
        is_over.set()
        listener.close()

    def test_redirects_and_tokens_share_it(self, serve):
        def answer(request):
            time.sleep(0.3)
            if request.path == "/api/token/refresh/":
                return 200, {}, b'{"access": "x"}'
            return (302, {"Location": "/data/upload/2"}, b"") if request.path == UPLOAD else (200, {}, PNG)

        studio = serve(answer)
        began = time.monotonic()
        with pytest.raises(ImageUnreachable) as caught:
            ImageFetcher(studio.url, "a.b.c", timeout_s=0.5).fetch(UPLOAD)
        assert time.monotonic() - began < 2
        assert caught.value.cause == "too_slow"
        assert ImageFetcher(studio.url, "a.b.c", timeout_s=5.0).fetch(UPLOAD) == PNG


def test_what_is_shown_of_an_address_holds_no_secret_and_no_line_end():
    assert shown("http://user:pass@h/a\nb\ud800.png?token=x#y") == "http://h/a\ufffdb\ufffd.png"
    assert len(shown("http://h/" + "a" * 1000)) < 210
