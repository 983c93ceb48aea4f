"""Segmenters of other profiles."""

import threading

import pytest

from backend.inference.segmenters import Segmenters
from backend.settings.project import BadProjectSetting
from ris_core.errors import UnknownName, WeightsMissing
from tests.toy import toy_segmenter


def test_a_profile_is_loaded_once_when_it_is_first_asked_for():
    loaded = []

    def load(profile):
        loaded.append(profile)
        return toy_segmenter()

    segmenters = Segmenters(load)
    assert loaded == []
    found = {id(segmenters.get("a")), id(segmenters.get("b")), id(segmenters.get("a"))}
    assert (loaded, len(found)) == (["a", "b"], 2)


def test_threads_that_ask_at_once_load_it_once():
    loaded, together = [], threading.Barrier(4)

    def load(profile):
        loaded.append(profile)
        threading.Event().wait(0.05)
        return toy_segmenter()

    def ask():
        together.wait()
        segmenters.get("a")

    segmenters = Segmenters(load)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == ["a"]


MISSING = WeightsMissing(name="sam.pth", folder="/models", command="ris models pull base")


@pytest.mark.parametrize(
    ("error", "says"), [(UnknownName("No profile named 'x'."), "No profile named 'x'"), (MISSING, "sam.pth is missing")]
)
def test_a_profile_that_cannot_be_loaded_is_named_and_tried_again(error, says):
    outcomes = [error, toy_segmenter()]

    def load(_profile):
        if isinstance(outcome := outcomes.pop(0), Exception):
            raise outcome
        return outcome

    segmenters = Segmenters(load)
    with pytest.raises(BadProjectSetting, match=f"profile is 'x'.*{says}"):
        segmenters.get("x")
    assert segmenters.get("x").profile == "toy"


def test_a_worker_without_other_profiles_says_so():
    with pytest.raises(BadProjectSetting, match=r"profile is 'base'.*no other profile"):
        Segmenters().get("base")
