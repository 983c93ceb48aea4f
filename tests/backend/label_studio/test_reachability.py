"""Against real servers on loopback."""

import json
from base64 import b64decode
from types import SimpleNamespace

import pytest

from backend.base.errors import BadSettings, Unreachable
from backend.label_studio.reachability import ask_backend, clean_url, how_to_be_reached, look_at_backend

CREDENTIALS = ("user", "päss")
NOBODY = "http://127.0.0.1:9"
UNKNOWN = "http://ris.invalid:9090"


def answer(request: SimpleNamespace) -> tuple[int, dict, bytes]:
    """As the backend does, with credentials set."""
    if request.path == "/health":
        return 200, {}, b'{"status": "UP"}'
    scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Basic" or b64decode(pair).decode() != ":".join(CREDENTIALS):
        return 401, {}, b"{}"
    return 200, {}, json.dumps({"model_version": "demo-1"}).encode()


@pytest.fixture
def backend(serve) -> str:
    return serve(answer).url


def test_version_is_what_the_backend_reports(backend: str):
    assert ask_backend(backend, CREDENTIALS) == "demo-1"


@pytest.mark.parametrize("credentials", [None, ("user", "wrong")], ids=["none", "wrong"])
def test_credentials_that_are_not_accepted_are_said(backend: str, credentials):
    with pytest.raises(BadSettings, match="BASIC_AUTH_USER"):
        ask_backend(backend, credentials)


def test_nobody_is_told_from_somebody_else(serve):
    with pytest.raises(Unreachable, match=r"Nothing answers.*`ris up`"):
        ask_backend(NOBODY, None)
    with pytest.raises(Unreachable, match=r"Something else.*404 for /setup"):
        ask_backend(serve(lambda request: (200 if request.path == "/health" else 404, {}, b"<html>")).url, None)


@pytest.mark.parametrize(
    ("url", "local_url", "credentials", "is_connected", "expected"),
    [
        pytest.param("BACKEND", NOBODY, CREDENTIALS, False, ("ok", "answers as demo-1"), id="runs"),
        pytest.param("BACKEND", NOBODY, None, True, ("problem", "does not accept"), id="credentials"),
        pytest.param(NOBODY, NOBODY, CREDENTIALS, False, ("problem", "Nothing answers"), id="does not run"),
        pytest.param(UNKNOWN, "BACKEND", CREDENTIALS, False, ("ok", "runs at http://127"), id="a container's name"),
        pytest.param(UNKNOWN, "BACKEND", None, False, ("problem", "does not accept"), id="its credentials"),
        pytest.param(UNKNOWN, NOBODY, CREDENTIALS, True, ("ok", "Label Studio reaches"), id="on another network"),
        pytest.param(UNKNOWN, NOBODY, CREDENTIALS, False, ("change", "Label Studio will try"), id="nobody knows"),
    ],
)
def test_look_tells_what_this_machine_knows(backend: str, url, local_url, credentials, is_connected, expected):
    urls = [backend if address == "BACKEND" else address for address in (url, local_url)]
    point = look_at_backend(urls[0], credentials, urls[1], is_connected)
    assert point.state == expected[0]
    assert expected[1] in point.detail
    assert bool(point.remedy) == (point.state == "problem")


@pytest.mark.parametrize("url", ["localhost:9090", "", "ftp://host", "http://", "http://host:99999", "http://[::1"])
def test_what_is_no_address_is_refused(url: str):
    with pytest.raises(BadSettings, match=r"is none\. Write --url"):
        clean_url(url)


@pytest.mark.parametrize(
    "url", [" http://host:9090/ \n", '"http://host:9090"', "HTTP://host:9090//", "\ufeffhttp://host:9090"]
)
def test_what_was_pasted_along_is_taken_off(url: str):
    assert clean_url(url) == "http://host:9090"


@pytest.mark.parametrize(
    "url", ["http://me:hunter2@host:x", "me:hunter2@host", "ftp://me:hunter2@host", "http://ho st?hunter2"]
)
def test_a_password_is_not_repeated_though_the_rest_is_wrong_too(url: str):
    with pytest.raises(BadSettings) as raised:
        clean_url(url)
    assert "hunter2" not in str(raised.value)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(BadSettings, match="has a user in it") as raised:
        clean_url("http://me:hunter2@host:9090")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("http://localhost:9090", "http://host.docker.internal:9090", id="loopback by name"),
        pytest.param("http://[::1]:9090/ris", "host.docker.internal", id="loopback, IPv6"),
        pytest.param("https://ris.example.org", "curl https://ris.example.org/health", id="a name"),
        pytest.param("http://10.0.0.7:9090", "ML_BLOCK_LOCAL_IP=false", id="a private address"),
    ],
)
def test_remedies_fit_the_address(url: str, says: str):
    assert says in how_to_be_reached(url)


def test_a_backend_that_is_elsewhere_is_named_with_its_address(serve):
    url = serve(lambda r: (301, {"Location": f"https://ris.example.org{r.path}"}, b"")).url
    with pytest.raises(BadSettings, match=r"Give --url https://ris\.example\.org\.$"):
        ask_backend(url, None)
