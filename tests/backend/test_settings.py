import pytest

from backend.errors import BadSettings
from backend.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No setting of the machine, no .env of the folder."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        for name in field.validation_alias.choices:
            monkeypatch.delenv(name, raising=False)


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
    assert "abcdef0123" not in repr(read_settings())
