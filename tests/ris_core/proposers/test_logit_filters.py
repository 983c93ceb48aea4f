"""Masks filtered as logits are those filtered at the image's size; and SAM's decoder, asked at many points, is the package's.

On scenes of the demo with its SAM, whose logits have 64 px; a SAM of published size has 256 px, which finer logits stand for here.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor

from demo.scenes import make_scene
from ris_core.errors import BadInput
from ris_core.geometry import masks
from ris_core.profiles import read_profile
from ris_core.proposers import _grid_decoder, _prompting
from ris_core.proposers._filters import clean, to_proposals
from ris_core.proposers._logit_filters import Frame, Limits, find
from ris_core.proposers._mobile_sam import build_mobile_sam
from ris_core.proposers._tiny_sam import build_tiny_sam
from ris_core.proposers.sam import SamProposer
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals

pytestmark = pytest.mark.slow

SEEDS = range(20, 28)
SETTINGS = {**read_profile("demo")["proposer"]["settings"], "points_per_side": 8}


def make(**changes: Any) -> SamProposer:
    return SamProposer(WeightStore(), **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def at_size() -> SamProposer:
    return make()


@pytest.fixture(scope="module")
def as_logits() -> SamProposer:
    return make(filter_logits=True)


def share_of_same(expected: Proposals, found: Proposals) -> float:
    return float((masks.iou(expected.masks, found.masks).max(1) > 0.9).mean())


@pytest.fixture(scope="module")
def both(at_size: SamProposer, as_logits: SamProposer) -> list[tuple[int, Proposals, Proposals]]:
    images = {seed: Image.from_array(make_scene(seed).image) for seed in SEEDS}
    return [(seed, at_size.propose(image), as_logits.propose(image)) for seed, image in images.items()]


def test_both_ways_propose_the_same(both: list[tuple[int, Proposals, Proposals]]):
    likeness = [masks.iou(old.masks, new.masks) for _, old, new in both]
    assert np.mean(np.concatenate([table.max(1) for table in likeness]) > 0.9) >= 0.9
    assert np.mean(np.concatenate([table.max(0) for table in likeness]) > 0.9) >= 0.9
    assert np.median(np.concatenate([table.max(1) for table in likeness])) > 0.99


def test_both_ways_find_the_same_things(both: list[tuple[int, Proposals, Proposals]]):
    old_found, new_found = [], []
    for seed, old, new in both:
        truth = np.stack([thing.mask for thing in make_scene(seed).objects])
        old_found += (masks.iou(truth, old.masks).max(1) > 0.75).tolist()
        new_found += (masks.iou(truth, new.masks).max(1) > 0.75).tolist()
    assert sum(old_found) > 0.7 * len(old_found)
    assert new_found == old_found


def propose_finely(component: SamProposer, image: Image) -> Proposals:
    """As if the decoder's logits had 256 px."""
    net, size_hw = component.net, image.size_hw
    seen_hw = component._seen_hw(size_hw)
    side = _grid_decoder.prepare(net, component._see(image))
    points = torch.as_tensor(component.generator.point_grids[0] * seen_hw[::-1], dtype=torch.float32)
    logits, predicted_iou = _grid_decoder.decode(net, side, points, component.generator.pred_iou_thresh)
    fine = F.interpolate(logits[:, None], scale_factor=4, mode="bilinear")[:, 0]
    frame = Frame(seen_hw, (size_hw[0] / seen_hw[0], size_hw[1] / seen_hw[1]), seen_hw, size_hw)
    asks, smallest = component.generator, component._smallest_region(size_hw, size_hw)
    thresholds = asks.stability_score_thresh, asks.stability_score_offset, asks.box_nms_thresh
    limits = Limits(*thresholds, component.max_mask_iou, component.max_proposals, smallest)
    return to_proposals(find(net, [(fine, predicted_iou)], frame, limits), size_hw)


@torch.no_grad()
def test_at_256_px_nearly_all_proposals_are_the_same(
    as_logits: SamProposer, both: list[tuple[int, Proposals, Proposals]]
):
    shares = [
        share_of_same(old, propose_finely(as_logits, Image.from_array(make_scene(seed).image))) for seed, old, _ in both
    ]
    assert np.mean(shares) >= 0.97


def test_only_what_is_kept_is_enlarged(as_logits: SamProposer, monkeypatch: pytest.MonkeyPatch):
    enlarged: list[int] = []
    stock = as_logits.net.postprocess_masks
    count = lambda logits, *sizes: enlarged.append(len(logits)) or stock(logits, *sizes)  # noqa: E731
    monkeypatch.setattr(as_logits.net, "postprocess_masks", count)
    kept = as_logits.propose(Image.from_array(make_scene(21).image))
    assert sum(enlarged) == len(kept) > 0


@pytest.mark.parametrize(
    "part",
    [
        (slice(None), slice(0, 130)),  # portrait: padded at the right
        (slice(60, 180), slice(None)),  # landscape: padded below
        (slice(100, 133), slice(None)),  # a strip: five rows of logits
    ],
)
@torch.no_grad()
def test_padded_pictures_have_the_same_proposals(
    at_size: SamProposer, as_logits: SamProposer, part: tuple[slice, slice]
):
    same, same_finely = [], []
    for seed in SEEDS:
        image = Image.from_array(np.ascontiguousarray(make_scene(seed).image[part]))
        old = at_size.propose(image)
        same.append(masks.iou(old.masks, as_logits.propose(image).masks).max(1, initial=0) > 0.9)
        same_finely.append(masks.iou(old.masks, propose_finely(as_logits, image).masks).max(1, initial=0) > 0.9)
    assert np.concatenate(same).mean() >= 0.8
    assert np.concatenate(same_finely).mean() >= 0.95


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (10, 10), (300, 4), (4, 300), (1, 2000)])
def test_very_small_and_thin_pictures_are_survived(as_logits: SamProposer, shape: tuple[int, int]):
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    found = as_logits.propose(Image.from_array(pixels))
    assert found.masks.shape[1:] == shape
    assert found.masks.any((1, 2)).all()


def test_very_large_picture_has_the_proposals_of_the_small_one(as_logits: SamProposer):
    pixels = make_scene(21).image
    large = Image.from_array(cv2.resize(pixels, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC))
    small, found = as_logits.propose(Image.from_array(pixels)), as_logits.propose(large)
    assert found.masks.shape[1:] == large.size_hw
    on_small = Proposals.from_masks(found.masks[:, 4::8, 4::8])
    assert share_of_same(small, on_small) >= 0.8


@pytest.mark.parametrize("limit", [{"pred_iou_thresh": 1.0}, {"stability_score_thresh": 1.0}])
def test_nothing_good_enough_is_no_proposal(limit: dict[str, float]):
    image = Image.from_array(make_scene(20).image)
    nothing = make(filter_logits=True, points_per_side=4, **limit).propose(image)
    assert nothing.masks.shape == (0, *image.size_hw)


@pytest.mark.parametrize("size_wh", [(400, 300), (1600, 1200)])
def test_least_area_is_a_share_of_the_images_pixels(size_wh: tuple[int, int]):
    """Of masks, and of their holes and islands; larger images are worked on at 1024 px."""
    image = Image.from_array(cv2.resize(make_scene(21).image, size_wh, interpolation=cv2.INTER_NEAREST))
    component = make(filter_logits=True, min_area_ratio=0.01, work_px=2048)
    found, smallest = component.propose(image).masks, 0.01 * image.pixels.shape[0] * image.pixels.shape[1]
    assert len(found) > 0
    for mask in found:
        assert mask.sum() >= smallest
        record = {"segmentation": mask, "predicted_iou": 1.0, "stability_score": 1.0}
        np.testing.assert_array_equal(clean(record, smallest)["segmentation"], mask)


def test_batches_do_not_change_proposals(as_logits: SamProposer):
    image = Image.from_array(make_scene(22).image)
    one_by_one = make(filter_logits=True, points_per_batch=1).propose(image)
    assert share_of_same(as_logits.propose(image), one_by_one) == 1


def test_fingerprint_tells_both_ways_apart_and_that_of_the_old_way_has_not_changed(
    at_size: SamProposer, as_logits: SamProposer
):
    assert as_logits.fingerprint == {**at_size.fingerprint, "filter_logits": True}
    assert "filter_logits" not in at_size.fingerprint
    assert as_logits.embed_fp == at_size.embed_fp  # clicks do not depend on it


@pytest.mark.parametrize("setting", [{"quirks": ("Q-NMS",)}, {"crop_n_layers": 1}])
def test_quirks_and_crops_are_refused(setting: dict[str, Any]):
    with pytest.raises(BadInput, match=r"filter_logits is true.*crop_n_layers is"):
        make(filter_logits=True, **setting)


def test_profiles_of_papers_and_the_demo_filter_at_the_images_size():
    def is_on(profile: str) -> bool:
        return bool(read_profile(profile)["proposer"]["settings"].get("filter_logits", False))

    assert is_on("base")
    assert is_on("cpu")
    for profile in ("demo", "demo-paper", "paper", "paper-phrasecut", "paper-gl", "paper-gl-rn50", "paper-gl-refcocog"):
        assert not is_on(profile)


# The decoder


@pytest.fixture(scope="module", params=[build_tiny_sam, build_mobile_sam], ids=["tiny", "true size"])
def net(request: pytest.FixtureRequest) -> Sam:
    """Random weights, also of biases and norms, which are 0 and 1 when they are made."""
    torch.manual_seed(0)
    net = request.param().eval().requires_grad_(False)
    for parameter in net.mask_decoder.parameters():
        if parameter.ndim == 1:
            parameter += 0.1 * torch.randn_like(parameter)
    return net


@pytest.fixture(scope="module")
def asked(net: Sam) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Features, points, and what the package's decoder says of them."""
    with torch.no_grad():
        features = torch.randn(1, net.prompt_encoder.embed_dim, *net.prompt_encoder.image_embedding_size)
        points_xy = torch.rand(5, 2) * net.image_encoder.img_size
        yield (
            features,
            points_xy,
            *_prompting.decode(net, features, (points_xy[:, None], torch.ones(5, 1)), None, None, True),
        )


@torch.no_grad()
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_decoder_is_the_packages(net: Sam, asked: tuple[Tensor, ...], at_once: int):
    features, points_xy, logits, predicted_iou = asked
    image = _grid_decoder.prepare(net, features)
    found = [_grid_decoder.decode(net, image, points, 0.0) for points in points_xy.split(at_once)]
    scale = float(logits.abs().max())
    torch.testing.assert_close(torch.cat([part for part, _ in found]), logits.flatten(0, 1), rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(torch.cat([part for _, part in found]), predicted_iou.flatten(), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_decoder_makes_no_masks_that_predicted_iou_drops(net: Sam, asked: tuple[Tensor, ...]):
    features, points_xy, logits, predicted_iou = asked
    image = _grid_decoder.prepare(net, features)
    limit = float(predicted_iou.flatten().sort().values[10:12].mean())  # 4 of 15 are above
    good = predicted_iou > limit
    found, found_iou = _grid_decoder.decode(net, image, points_xy, limit)
    torch.testing.assert_close(found, logits[good], rtol=0, atol=1e-5 * float(logits.abs().max()))
    torch.testing.assert_close(found_iou, predicted_iou[good], rtol=1e-4, atol=1e-5)
    none, none_iou = _grid_decoder.decode(net, image, points_xy, float(predicted_iou.max()) + 1)
    assert none.shape == (0, *logits.shape[2:])
    assert none_iou.shape == (0,)
