import pytest

from backend.settings.environment import read_settings
from backend.transport import worker_registry
from backend.worker import wiring
from ris_core.errors import UnknownName, WeightsMissing

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
        "ENCODE_AHEAD": "2",
    }.items():
        environment(name, value)
    try:
        service = wiring.service()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert wiring.service() is service
    assert (service.top_k, service.max_pixels, service.ahead) == (3, 1_000_000, 2)
    assert service.model_version.startswith("demo-scenes-only.")
    service.warm_up()
    assert service.make_fetcher(("images.example",)) is service.make_fetcher(("images.example",))


def test_other_profiles_are_loaded_when_asked_for_and_their_version_is_reported(environment, redis_url, tmp_path):
    environment("REDIS_URL", redis_url)
    environment("MODEL_DIR", str(tmp_path / "no weights"))
    settings = read_settings()
    version = wiring._load_other(settings, "demo").model_version
    assert version.startswith("demo-scenes-only.")
    assert worker_registry.model_version(wiring.connection(), "demo") == version
    with pytest.raises(WeightsMissing, match="ris models pull base"):  # and nothing is downloaded
        wiring._load_other(settings, "base")


def test_a_profile_is_loaded_although_its_version_cannot_be_reported(environment):
    environment("REDIS_URL", "redis://127.0.0.1:1")
    assert wiring._load_other(read_settings(), "demo").profile == "demo"
