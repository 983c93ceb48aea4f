import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from backend.base import redaction
from backend.base.redaction import HIDDEN, Redactor, mask_url

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PASSWORD = "pä'ss \"wörd\\ & /+?=<x>"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:hunter2@host/0", "redis://:***@host/0"),
        ("postgresql://ris:hunter2@host/db?sslmode=require", "postgresql://ris:***@host/db?…"),
        ("redis://ris:hun/ter@2@host:1", "redis://ris:***@host:1"),
        ("http://hunter2@host", "http://***@host"),
        ("ris:hunter2@host:6379", "ris:***@host:6379"),
        ("unix:///run/redis.sock?password=hunter2", "unix:///run/redis.sock?…"),
        ("sqlite:////home/a@b/ris.sqlite3", "sqlite:////home/a@b/ris.sqlite3"),
    ],
)
def test_address_is_shown_without_its_password(url: str, shown: str):
    assert mask_url(url) == shown


def test_short_password_is_hidden_in_addresses_only():
    said = Redactor(["abc"]).hide("http://me:abc@host and http://abc@host fail: abc")
    assert said == f"http://me:{HIDDEN}@host and http://{HIDDEN}@host fail: abc"


def test_secret_is_blotted_out_wherever_a_message_quotes_it():
    redactor = Redactor([TOKEN], ["redis://:pa%20ssword@h", "unix:///a?password=query-secret"])
    said = f"Bearer {TOKEN}, 'pa ssword' and pa%20ssword and query-secret"
    assert redactor.hide(said) == f"Bearer {HIDDEN}, '{HIDDEN}' and {HIDDEN} and {HIDDEN}"


FORMS = {
    "as it is": lambda s: s,
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda s: repr(s.encode()),
    "repr with a line end": lambda s: repr(f"{s}\n"),
    "an error inside an error": lambda s: repr(ValueError(repr(s))),
    "JSON": json.dumps,
    "JSON of other letters": lambda s: json.dumps(s, ensure_ascii=False),
    "JSON with escaped slashes": lambda s: json.dumps(s).replace("/", "\\/"),
    "JSON inside JSON": lambda s: json.dumps({"body": json.dumps({"password": s})}),
    "HTML": html.escape,
    "percent": lambda s: f"/x?y={quote(s)}&z",
    "percent, slashes too": lambda s: quote(s, safe=""),
    "percent, small letters": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "a form's": quote_plus,
    "percent twice": lambda s: quote(quote(s, safe=""), safe=""),
    "hexadecimal": lambda s: s.encode().hex(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 without padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64 for addresses": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 of a header": lambda s: base64.b64encode(f"Token {s}".encode()).decode(),
    "base64 of basic auth": lambda s: f"Authorization: Basic {base64.b64encode(f'me:{s}'.encode()).decode()}",
    "base64 in Latin-1": lambda s: base64.b64encode(f"me:{s}".encode("latin-1")).decode(),
    "base64 in an address": lambda s: f"http://h/tasks/{base64.urlsafe_b64encode(f'x{s}y'.encode()).decode()}/x",
    "base64, percent-encoded": lambda s: quote(base64.b64encode(f"xy{s}".encode()).decode(), safe=""),
}


@pytest.mark.parametrize("write", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("secret", [TOKEN, PASSWORD, "short1"], ids=["token", "password", "short"])
def test_every_form_of_a_secret_is_hidden(write, secret):
    said = Redactor([secret]).hide(f"before {write(secret)} after")
    assert write(secret).strip("\"'") not in said
    assert HIDDEN in said
    assert said.startswith("before ")
    assert said.endswith(" after")


def test_half_a_secret_that_was_cut_off_by_base64_is_hidden_with_it():
    encoded = base64.b64encode(f"user:{TOKEN}".encode()).decode()
    assert Redactor([f"user:{TOKEN}"]).hide(f"(Basic {encoded})") == f"(Basic {HIDDEN})"


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoxfQ.c2lnbmF0dXJl1",
        "GET https://h/x?a=1&X-Amz-Signature=0a1b2c3d&b=2",
        "GET https://h/x?access_token=0a1b2c3d",
        "http://me:0a1b2c3d@h/x",
    ],
)
def test_what_looks_like_a_secret_is_hidden_though_nobody_learnt_it(said):
    shown = redaction.hide(said)
    assert HIDDEN in shown
    assert not any(part in shown for part in ("0a1b2c3d", "c2lnbmF0dXJl1"))


@pytest.mark.parametrize(
    "said",
    [
        "Label Studio at http://h:8080 does not accept the token (401 for GET /api/projects/). Set LABEL_STUDIO_API_KEY.",
        "tasks 1,5,10-20 of project 3: demo-scenes-only.guided.1d610429",
        "/home/somebody/.state/features/0123456789abcdef0123456789abcdef01234567.safetensors",
        "Basic authentication, Token authentication and Bearer authentication",
        "http://h/x?page_size=100&fields=all and 100%25 of it",
    ],
)
def test_ordinary_words_stay(said):
    assert Redactor(["another-secret", "sk-0a1b2c3d"]).hide(said) == said


def test_settings_teach_the_process_what_is_secret(monkeypatch):
    from backend.settings.environment import Settings

    Settings(
        LABEL_STUDIO_API_KEY=f"{TOKEN}\n",
        BASIC_AUTH_USER="me",
        BASIC_AUTH_PASS="pw1",
        REDIS_URL="redis://:of-redis@h/0",
    )
    login = base64.b64encode(b"me:pw1").decode()
    assert redaction.hide(f"{TOKEN} {login} of-redis") == f"{HIDDEN} {HIDDEN} {HIDDEN}"
