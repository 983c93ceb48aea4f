"""Label Studio's API, against real HTTP servers on loopback."""

import json
import time

import pytest

from backend.base.errors import BadSettings, Unreachable
from backend.label_studio.client import LabelStudioClient, RequestRefused, TokenRefused
from tests.backend.fake_label_studio import FakeTokens

LEGACY = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOi.eyJ0eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"


def test_json_goes_out_and_comes_back(serve):
    studio = serve(lambda r: (201, {}, json.dumps({"path": r.path, "body": json.loads(r.body)}).encode()))
    api = LabelStudioClient(f"{studio.url}/sub/", LEGACY)
    assert api.request("POST", "/api/ml?x=1", json={"a": 1}) == {"path": "/sub/api/ml?x=1", "body": {"a": 1}}
    assert studio.seen[0].headers["Authorization"] == f"Token {LEGACY}"


def test_a_client_costs_next_to_nothing():
    """The supervisor makes one for each run every second."""
    LabelStudioClient("http://127.0.0.1:1")
    began = time.process_time()
    for _ in range(40):
        LabelStudioClient("http://127.0.0.1:1")
    assert time.process_time() - began < 0.4  # 40 sets of authorities take a second


def test_no_content_is_none(serve):
    assert LabelStudioClient(serve(lambda _: (204, {}, b"")).url).request("GET", "/x") is None


def test_a_personal_token_is_exchanged(serve):
    studio = serve(FakeTokens(PERSONAL))
    assert LabelStudioClient(studio.url, PERSONAL).request("GET", "/api/projects/7/")["id"] == 7
    assert studio.seen[1].headers["Authorization"] == "Bearer access-1"


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((401, {}, b""), BadSettings, "LABEL_STUDIO_API_KEY"),
        ((403, {}, b""), BadSettings, "LABEL_STUDIO_API_KEY"),
        ((400, {}, b'{"detail": "no such project"}'), RequestRefused, "no such project"),
        ((500, {}, b"oops"), Unreachable, "500"),
        ((302, {"Location": "http://other.example/"}, b""), Unreachable, "302"),
        ((200, {}, b"<html>"), Unreachable, "not JSON"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_failures_have_their_own_errors(serve, answer, error, says):
    with pytest.raises(error, match=says):
        LabelStudioClient(serve(lambda _: answer).url, LEGACY).request("GET", "/api/x?token=secret")


def test_a_refused_personal_token_is_a_setting_to_mend(serve):
    with pytest.raises(BadSettings, match="personal access token"):
        LabelStudioClient(serve(FakeTokens("another")).url, PERSONAL).request("GET", "/api/x")


@pytest.mark.parametrize(
    ("url", "error"),
    [("http://127.0.0.1:1", Unreachable), ("nonsense", Unreachable), ("http://host:port", BadSettings)],
)
def test_an_address_that_leads_nowhere_says_which(url, error):
    with pytest.raises(error, match="LABEL_STUDIO_URL"):
        LabelStudioClient(url).request("GET", "/api/x")


def test_https_is_named_with_its_setting_where_http_redirects_to_it(serve):
    """By the API, and by the exchange of a personal token."""
    studio = serve(lambda r: (301, {"Location": f"https://labels.example.org{r.path}"}, b""))
    for token in (LEGACY, PERSONAL):
        with pytest.raises(BadSettings) as caught:
            LabelStudioClient(studio.url, token).request("GET", "/api/projects/?page=2")
        assert caught.value.remedy == "Set LABEL_STUDIO_URL to https://labels.example.org."
        assert not isinstance(caught.value, TokenRefused)


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_fails_while_a_token_is_exchanged_refuses_no_token(serve, status):
    with pytest.raises(Unreachable, match=str(status)):
        LabelStudioClient(serve(lambda _: (status, {}, b"")).url, PERSONAL).request("GET", "/api/x")


@pytest.mark.parametrize("token", ["two words", "tök", "line\nend"])
def test_a_token_that_no_header_takes_is_not_shown(serve, token):
    with pytest.raises(TokenRefused) as caught:
        LabelStudioClient(serve(lambda _: (200, {}, b"{}")).url, token).request("GET", "/api/x")
    assert token not in str(caught.value)
