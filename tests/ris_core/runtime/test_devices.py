import pytest
import torch

from ris_core.errors import BadInput
from ris_core.runtime.devices import pick_device


@pytest.mark.parametrize(("has_gpu", "picked"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_gpu_if_there_is_one(monkeypatch, has_gpu, picked):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert pick_device("auto") == torch.device(picked)


def test_a_device_is_taken_by_its_name():
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99"])
def test_a_device_that_cannot_be_used_is_refused_with_what_to_give(name):
    with pytest.raises(BadInput, match=rf"The device '{name}' cannot be used here \(.+\)\. Give \"cpu\", \"cuda\""):
        pick_device(name)
