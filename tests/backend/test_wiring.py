import pytest

from backend import wiring
from ris_core.errors import UnknownName

pytestmark = pytest.mark.slow


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Settings of a fresh state folder; yields the function that sets one more."""
    monkeypatch.chdir(tmp_path)  # away from any .env
    monkeypatch.setenv("RIS_STATE_DIR", str(tmp_path / "state"))
    yield monkeypatch.setenv
    wiring.build_service.cache_clear()


def test_profile_that_does_not_exist_is_named(environment, tmp_path):
    environment("RIS_PROFILE", "huge")
    with pytest.raises(UnknownName, match="'huge'"):
        wiring.service()
    assert (tmp_path / "state" / "ris.sqlite3").exists()


def test_demo_service_is_built_once_with_the_settings_it_was_given(environment):
    import torch

    before = torch.get_num_threads()
    for name, value in {
        "RIS_PROFILE": "demo",
        "DEVICE": "cpu",
        "THREADS": "1",
        "RIS_TOP_K": "3",
        "MAX_IMAGE_PIXELS": "1000000",
    }.items():
        environment(name, value)
    try:
        service = wiring.service()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert wiring.service() is service
    assert (service.top_k, service.max_pixels) == (3, 1_000_000)
    assert service.model_version.startswith("demo-scenes-only.")
    service.warm_up()
