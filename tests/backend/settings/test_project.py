"""What a project sets for itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.base.errors import BadConfig
from backend.settings.project import KEYS, BadProjectSetting, ProjectSettings, read_project_settings

READ = {
    "nothing": ({}, ProjectSettings()),
    "null": (dict.fromkeys(KEYS), ProjectSettings()),
    "other keys": ({"top_k": 3, "Profile": 7}, ProjectSettings()),
    "a profile": ({"profile": " demo "}, ProjectSettings(profile="demo")),
    "a field": ({"expression_field": "caption.en"}, ProjectSettings(expression_field="caption.en")),
    "a prompt": ({"prompt": " question "}, ProjectSettings(prompt="question")),
    "a standing prompt": ({"standing": "car; person"}, ProjectSettings(standing="car; person")),
    "everything read back": ({"read_back": "always"}, ProjectSettings(read_back="always")),
    "a score": ({"min_score": 0.25}, ProjectSettings(min_score=0.25)),
    "the lowest score": ({"min_score": 0}, ProjectSettings(min_score=0.0)),
    "the highest score": ({"min_score": 1}, ProjectSettings(min_score=1.0)),
    "hosts": (
        {"image_hosts": ["Images.example.org", "10.0.0.7:8000", "[2001:db8::1]:80"]},
        ProjectSettings(image_hosts=("images.example.org", "10.0.0.7:8000", "[2001:db8::1]:80")),
    ),
    "hosts as text": (
        {"image_hosts": "a.example, b.example,,a.example"},
        ProjectSettings(image_hosts=("a.example", "b.example")),
    ),
    "no hosts": ({"image_hosts": []}, ProjectSettings()),
    "smoothing": ({"smooth_px": 2}, ProjectSettings(smooth_px=2.0)),
}


@pytest.mark.parametrize(("extra_params", "settings"), READ.values(), ids=READ)
def test_settings_are_read(extra_params, settings):
    assert read_project_settings(extra_params) == settings


BAD = {
    "profile that is no text": ("profile", 7, "7"),
    "blank profile": ("profile", " ", "' '"),
    "field that is a list": ("expression_field", ["a"], r"\['a'\]"),
    "score as text": ("min_score", "0.5", "'0.5'"),
    "score that is a truth": ("min_score", True, "True"),
    "score above one": ("min_score", 1.5, "1.5"),
    "score below zero": ("min_score", -0.1, "-0.1"),
    "score that is no number": ("min_score", float("nan"), "nan"),
    "smoothing as text": ("smooth_px", "2", "'2'"),
    "smoothing below zero": ("smooth_px", -1, "-1"),
    "smoothing of the whole thing": ("smooth_px", 21, "21"),
    "reading back as a truth": ("read_back", True, "True"),
    "reading back sometimes": ("read_back", "sometimes", "'sometimes'"),
    "blank standing prompt": ("standing", " ", "' '"),
    "hosts that are a number": ("image_hosts", 5, "5"),
    "hosts with a number": ("image_hosts", ["a", 5], "5"),
    "host with a scheme": ("image_hosts", ["https://a.example"], "https://a.example"),
    "host with a path": ("image_hosts", ["a.example/b"], "a.example/b"),
    "host with a wildcard": ("image_hosts", ["*.example"], r"\*\.example"),
}


@pytest.mark.parametrize(("key", "value", "shown"), BAD.values(), ids=BAD)
def test_a_value_that_cannot_be_used_is_named_with_its_key_and_a_remedy(key, value, shown):
    with pytest.raises(BadProjectSetting, match=f"{key} is .*{shown}.* Give .*ris connect") as caught:
        read_project_settings({key: value})
    assert caught.value.key == key
    assert isinstance(caught.value, BadConfig)


def test_a_password_in_a_value_is_not_shown_nor_is_it_endless():
    with pytest.raises(BadProjectSetting) as caught:
        read_project_settings({"image_hosts": ["https://me:geheim@a.example" + "x" * 500]})
    assert "geheim" not in str(caught.value)
    assert len(str(caught.value)) < 300


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*KEYS, "else"]), json_values))
def test_whatever_was_typed_is_read_or_refused(extra_params):
    try:
        settings = read_project_settings(extra_params)
    except BadProjectSetting:
        return
    assert settings.min_score is None or 0 <= settings.min_score <= 1
    assert all(isinstance(host, str) and host for host in settings.image_hosts)


def test_what_was_pasted_along_is_taken_off():
    read = read_project_settings({"image_hosts": '"a.example", b.example\u200b\n', "profile": "'demo'\r\n"})
    assert (read.image_hosts, read.profile) == (("a.example", "b.example"), "demo")
