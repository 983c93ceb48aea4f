"""A GPU and a CPU find the same things; runs where there is one: `pytest -m gpu`."""

import numpy as np
import pytest
import torch

from benchmarks.speed import make_image, make_proposals, measure
from ris_core.geometry import masks
from ris_core.profiles import catalog, read_profile
from ris_core.runtime import weights

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]


def build(kind: str, device: str, **settings: object) -> object:
    section = read_profile("demo")[kind]
    given = {**section["settings"], **settings, "store": weights.WeightStore(), "device": device}
    return catalog.build(f"{kind}s", section["name"], given)


@pytest.mark.parametrize("filter_logits", [False, True])
def test_proposals_are_the_same_things(filter_logits: bool):
    on_cpu, on_gpu = (
        build("proposer", device, filter_logits=filter_logits).propose(make_image()) for device in ("cpu", "cuda")
    )
    overlaps = masks.iou(on_cpu.masks, on_gpu.masks)
    assert abs(len(on_cpu) - len(on_gpu)) <= 1  # one may lie at a threshold
    assert np.median(overlaps.max(1)) > 0.99
    assert (overlaps.max(1) > 0.9).mean() > 0.9


@pytest.mark.parametrize("features", [["global", "local"], ["hybrid_G2L", "heat"]], ids=["global_local", "hybrid_gl"])
def test_features_point_the_same_way(features: list[str]):
    on_cpu, on_gpu = (
        build("encoder", device, features=features).encode(make_image(), make_proposals()) for device in ("cpu", "cuda")
    )
    for name in features:
        one, other = on_cpu[name], on_gpu[name]
        cosines = (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)
        assert cosines.min() > 0.999, name  # convolutions may use TF32


def test_texts_point_the_same_way():
    one, other = (build("encoder", device).encode_texts(["the red apple"])[0] for device in ("cpu", "cuda"))
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.9999


def test_the_benchmark_reports_the_memory_of_the_gpu():
    report = measure("demo", "cuda", repeats=1)
    assert report.peak_gpu_bytes > 0
    assert all(stage.median_s > 0 for stage in report.stages)
