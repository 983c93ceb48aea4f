import pytest

from ris_core import load_segmenter
from ris_core.errors import UnknownName, WeightsMissing
from ris_core.profiles import profile_names, profile_weights, read_profile
from ris_core.weights import REGISTRY, Store

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_says_what_it_is_and_names_weights_that_exist(name):
    sections = read_profile(name)
    assert sections["about"]
    assert set(profile_weights(name)) <= set(REGISTRY)


def test_an_unknown_profile_is_named_with_those_that_exist():
    with pytest.raises(UnknownName, match=r"No profile named 'huge'\. Available: base, demo"):
        load_segmenter("huge")


def test_an_unknown_override_is_named():
    with pytest.raises(UnknownName, match="Nothing named colour to override"):
        load_segmenter("demo", colour="red")


def test_the_demo_says_that_it_is_one():
    demo = read_profile("demo")
    assert demo["version_prefix"] == "demo-scenes-only"
    assert "only its own synthetic scenes" in demo["warning"]


def test_missing_weights_are_never_replaced(tmp_path):
    with pytest.raises(WeightsMissing) as caught:
        load_segmenter("base", store=Store(tmp_path, offline=True))
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "sam_vit_b_01ec64.pth" in message
    assert str(tmp_path) in message
    assert "ris models pull base" in message


@pytest.fixture(scope="module")
def demo():
    return load_segmenter("demo")


def test_overrides_replace_settings_of_a_component(demo):
    other = load_segmenter("demo", proposer={"points_per_side": 4}, method={"visual_mix": 0.1})
    assert other.proposer.fingerprint["points_per_side"] == 4
    assert other.method.settings["visual_mix"] == 0.1
    assert other.encode_fp != demo.encode_fp


def test_another_method_by_name_keeps_what_is_encoded(demo):
    assert load_segmenter("demo", method="global_local").encode_fp == demo.encode_fp
