import os
import traceback

import pytest

from backend.base.errors import BadSettings
from backend.settings.environment import Settings, read_settings

pytestmark = pytest.mark.usefixtures("no_settings")


def test_hosts_are_split_at_commas(monkeypatch):
    monkeypatch.setenv("IMAGE_HOSTS", "a.example, B.example ,")
    assert read_settings().image_hosts == ("a.example", "b.example")


@pytest.mark.parametrize("name", ["LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"])
def test_old_names_are_accepted(monkeypatch, name):
    monkeypatch.setenv(name, "http://ls.example")
    assert read_settings().label_studio_url == "http://ls.example"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "many"), ("LOG_LEVEL", "LOUD"), ("RIS_TOP_K", "0"), ("PREDICT_DEADLINE", "-1")],
)
def test_a_bad_value_is_named_with_its_setting(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings) as caught:
        read_settings()
    assert name in str(caught.value)
    assert value in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "example.org", "::"])
def test_others_are_not_served_without_credentials(monkeypatch, host):
    monkeypatch.setenv("HOST", host)
    with pytest.raises(BadSettings, match=rf"HOST is {host}.*Set BASIC_AUTH_USER and BASIC_AUTH_PASS"):
        read_settings().check_host()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_credentials(monkeypatch, host):
    monkeypatch.setenv("HOST", host)
    read_settings().check_host()


def test_with_credentials_any_address_is_served(monkeypatch):
    for name, value in {"HOST": "0.0.0.0", "BASIC_AUTH_USER": "ls", "BASIC_AUTH_PASS": "secret"}.items():
        monkeypatch.setenv(name, value)
    read_settings().check_host()


def test_secrets_do_not_show(monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "abcdef0123")
    monkeypatch.setenv("REDIS_URL", "redis://:abcdef0123@h/0")
    assert "abcdef0123" not in repr(read_settings())


AROUND = {
    "line end": "{}\n",
    "line end of Windows": "{}\r\n",
    "blanks": "  {}\t ",
    "byte order mark": "\ufeff{}",
    "zero width": "\u200b{}\u2060",
    "no-break space": "\u00a0{}\u00a0",
    "quotes": '"{}"',
    "quotes and blanks": " '{} ' \n",
    "curly quotes": "“{}”",
    "quotes in quotes": "\"'{}'\"",
}
KEPT = {
    "LABEL_STUDIO_API_KEY": "0123456789abcdef",
    "WEBHOOK_SECRET": "hook/secret+=",
    "LABEL_STUDIO_URL": "http://studio.example:8080/ls",
    "REDIS_URL": "redis://:pass%2Fword@redis.example:6379/0",
    "DATABASE_URL": "postgresql+psycopg://ris:pass%2Fword@sql.example/ris",
    "IMAGE_HOSTS": "images.example:8443",
    "RIS_PROFILE": "demo",
    "HOST": "127.0.0.2",
}


def value_of(name: str) -> str:
    settings = read_settings()
    field = next(name_ for name_, field in Settings.model_fields.items() if name in field.validation_alias.choices)
    value = getattr(settings, field)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else "".join(value)


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("name", KEPT)
def test_what_was_pasted_along_is_taken_off(monkeypatch, name, around):
    monkeypatch.setenv(name, around.format(KEPT[name]))
    assert value_of(name) == KEPT[name]


@pytest.mark.parametrize("password", ['pass "word"', "a 'quoted' one", "ends with \\"])
def test_a_password_keeps_what_is_inside(monkeypatch, password):
    monkeypatch.setenv("BASIC_AUTH_USER", "ls\n")
    monkeypatch.setenv("BASIC_AUTH_PASS", f"{password}\r\n")
    assert read_settings().credentials == ("ls", password)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://studio:8080/", "http://studio:8080"),
        ("HTTPS://studio/ls///", "https://studio/ls"),
        ("http://hübsch:8080", "http://xn--hbsch-kva:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("http://my_service:8080", "http://my_service:8080"),
    ],
)
def test_address_of_label_studio_is_made_usable(monkeypatch, given, read):
    monkeypatch.setenv("LABEL_STUDIO_URL", given)
    assert read_settings().label_studio_url == read


HIDDEN_IN = "hunter2-of-mine"
REFUSED = [
    ("LABEL_STUDIO_URL", "127.0.0.1:8080", "must begin with http"),
    ("LABEL_STUDIO_URL", "localhost:8080", "must begin with http"),
    ("LABEL_STUDIO_URL", "http:///x", "must begin with http"),
    ("LABEL_STUDIO_URL", "http://stu dio", "a blank"),
    ("LABEL_STUDIO_URL", "http://stu\tdio", "does not print"),
    ("LABEL_STUDIO_URL", "http://stu\u200bdio", "does not print"),
    ("LABEL_STUDIO_URL", "http://studio:port", "host or port"),
    ("LABEL_STUDIO_URL", "http://studio:99999", "host or port"),
    ("LABEL_STUDIO_URL", "http://studio?x=1", "must end before"),
    ("LABEL_STUDIO_URL", "http://a,b", "host or port"),
    ("LABEL_STUDIO_URL", f"http://me:{HIDDEN_IN}@studio", "a user or a password"),
    ("LABEL_STUDIO_API_KEY", f"{HIDDEN_IN}ö", "character 16 is no ASCII"),
    ("LABEL_STUDIO_API_KEY", f"{HIDDEN_IN}–x", "character 16 is no ASCII"),
    ("LABEL_STUDIO_API_KEY", f"Token {HIDDEN_IN}", "character 6 is a blank"),
    ("LABEL_STUDIO_ACCESS_TOKEN", f"{HIDDEN_IN}\r\nx", "character 16 is a blank or does not print"),
    ("WEBHOOK_SECRET", f"{HIDDEN_IN}ö", "character 16 is no ASCII"),
    ("WEBHOOK_SECRET", f"{HIDDEN_IN}\x07x", "does not print"),
    ("LABEL_STUDIO_URL", "http://studio/projects/3/", 'must end before "/projects/3"'),
    ("LABEL_STUDIO_URL", "http://studio/ls/user/login", 'must end before "/user/login"'),
    ("LABEL_STUDIO_URL", f"0123456789{HIDDEN_IN}", "must begin with http"),
    ("REDIS_URL", "redis.example:6379", "must begin with redis://"),
    ("REDIS_URL", f"redis://:{HIDDEN_IN}/x@h:1", "%2F"),
    ("REDIS_URL", f"redis://:{HIDDEN_IN}@h:port", "%2F"),
    ("REDIS_URL", f"http://:{HIDDEN_IN}@h", "must begin with redis://"),
    ("DATABASE_URL", f"postgres://me:{HIDDEN_IN}@h/d", "no driver for postgres is installed"),
    ("DATABASE_URL", f"me:{HIDDEN_IN}@h/d", "must begin with sqlite"),
    ("DATABASE_URL", f"postgresql+psycopg://me:{HIDDEN_IN}@h:port/d", "%2F"),
    ("IMAGE_HOSTS", "a.example,*.example", "is no host"),
    ("IMAGE_HOSTS", f"http://me:{HIDDEN_IN}@images.example/x", "is no host"),
    ("IMAGE_HOSTS", f"me:{HIDDEN_IN}@images.example", "is no host"),
    ("IMAGE_HOSTS", f"images.example?token={HIDDEN_IN}", "is no host"),
    ("FETCH_TIMEOUT", "inf", "less than or equal"),
    ("PREDICT_DEADLINE", "1e300", "less than or equal"),
    ("HOST", "http://127.0.0.1", "an address or a name alone"),
    ("HOST", "127.0.0.1:9090", "an address or a name alone"),
    ("BASIC_AUTH_USER", "a:b", "at which a login is cut apart"),
    ("BASIC_AUTH_PASS", f"{HIDDEN_IN}\x00x", "does not print"),
    ("BASIC_AUTH_PASS", f"{HIDDEN_IN}€", "Latin-1"),
    ("BASIC_AUTH_PASS", HIDDEN_IN, "Only one of"),
]


@pytest.mark.parametrize(("name", "value", "says"), REFUSED)
def test_what_cannot_be_used_is_one_line_that_names_the_setting(monkeypatch, name, value, says):
    if name == "BASIC_AUTH_PASS" and "Only" not in says:
        monkeypatch.setenv("BASIC_AUTH_USER", "ls")
    monkeypatch.setitem(os.environ, name, value.replace("\x00", "\x01"))
    with pytest.raises(BadSettings) as caught:
        read_settings()
    said = str(caught.value)
    assert name in said
    assert says in said
    assert "\n" not in said
    shown = "".join(traceback.format_exception(caught.value))
    assert HIDDEN_IN not in shown, "also not in what the error was made of"


def test_half_a_login_is_refused(monkeypatch):
    monkeypatch.setenv("BASIC_AUTH_USER", "ls")
    with pytest.raises(BadSettings, match=r"Only one of BASIC_AUTH_USER and BASIC_AUTH_PASS is set\. Set both"):
        read_settings()


@pytest.mark.parametrize("name", ["LABEL_STUDIO_API_KEY", "REDIS_URL", "DATABASE_URL", "LABEL_STUDIO_URL", "MODEL_DIR"])
@pytest.mark.parametrize("nothing", ["", " ", "\r\n", '""', "\ufeff"])
def test_an_empty_setting_is_not_set(monkeypatch, name, nothing):
    field = next(name_ for name_, field in Settings.model_fields.items() if name in field.validation_alias.choices)
    monkeypatch.setenv(name, nothing)
    assert getattr(read_settings(), field) is None


def test_env_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfRIS_PROFILE=large\r\n")
    assert read_settings().profile == "large"


@pytest.mark.parametrize(
    "content",
    ["RIS_PROFILE=demo\nLABEL_STUDIO_API_KEY=hünter2\n".encode("latin-1"), "RIS_PROFILE=demo".encode("utf-16")],
)
def test_env_file_in_another_encoding_is_named(tmp_path, content):
    (tmp_path / ".env").write_bytes(content)
    with pytest.raises(BadSettings, match=r"\.env is not UTF-8 \(line \d\)\. Save it as UTF-8"):
        read_settings()


def test_env_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("PORT=1")

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dotenv.main.DotEnv._get_stream", refuse)
    with pytest.raises(BadSettings, match=r"\.env cannot be read .*Permission denied"):
        read_settings()
