import pytest

from ris_core.errors import UnknownName
from ris_core.profiles import catalog


def test_a_components_name_is_its_files_name():
    assert "global_local" in catalog.available("methods")
    assert "clip" in catalog.available("encoders")
    assert "sam" in catalog.available("proposers")


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_every_component_has_a_documented_class(kind):
    import importlib

    for name in catalog.available(kind):
        component = importlib.import_module(f"ris_core.{kind}.{name}").Component
        assert component.__doc__, name


def test_an_unknown_component_is_named_with_those_that_exist():
    with pytest.raises(UnknownName, match=r"No method named 'x'\. Available: .*global_local"):
        catalog.build("methods", "x", {})


def test_an_unknown_setting_is_named_with_those_that_exist():
    with pytest.raises(UnknownName, match=r"'global_local' has no setting alpha\. Settings: visual_mix, text_mix"):
        catalog.build("methods", "global_local", {"alpha": 1})


def test_an_unknown_kind_is_named():
    with pytest.raises(UnknownName, match="No kind of component named 'dogs'"):
        catalog.available("dogs")


def test_a_component_gets_its_settings():
    assert catalog.build("methods", "global_local", {"visual_mix": 0.85}).settings["visual_mix"] == 0.85
