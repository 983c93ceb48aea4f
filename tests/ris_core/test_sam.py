"""SAM as proposer: with random weights, so what it finds is arbitrary, but how it is filtered and told apart is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from segment_anything import SamAutomaticMaskGenerator

from ris_core import boxes, masks
from ris_core.errors import BadInput, UnknownName
from ris_core.proposers.sam import Component, _enlarge
from ris_core.types import Image, Proposals
from ris_core.weights import Store, Weight
from tests.ris_core.checkpoints import local_store, sha256, write_sam

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "architecture": "tiny",
    "points_per_side": 4,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "stability_score_offset": 0.01,
    "box_nms_thresh": 1.0,
    "min_area_ratio": 0.0,
    "max_mask_iou": 0.9,
}
"""Nothing is dropped for its quality, size or box: the masks of random weights are speckles all over the image."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return local_store(tiny=write_sam(tmp_path_factory.mktemp("sam") / "sam.safetensors", "tiny"))


def make(store: Store, **changes: Any) -> Component:
    return Component(store, "tiny", **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def image() -> Image:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (96, 120, 3), np.uint8)
    pixels[20:60, 15:50], pixels[50:90, 70:110] = (220, 40, 40), (40, 60, 230)
    return Image.from_array(pixels)


@pytest.fixture(scope="module")
def proposals(store: Store, image: Image) -> Proposals:
    found = make(store).propose(image)
    assert len(found) >= 3
    return found


def test_proposals_are_at_the_images_size_with_tight_boxes(proposals: Proposals, image: Image):
    assert proposals.masks.shape[1:] == image.size_hw
    np.testing.assert_array_equal(proposals.boxes_xywh, boxes.from_masks(proposals.masks))
    for values in (proposals.predicted_iou, proposals.stability):
        assert values.dtype == np.float32
        assert ((values >= 0) & (values <= 1)).all()


def test_proposals_overlap_less_than_the_limit_and_the_best_come_first(proposals: Proposals):
    overlaps = masks.iou(proposals.masks, proposals.masks) - np.eye(len(proposals))
    assert overlaps.max() <= SETTINGS["max_mask_iou"]
    assert (np.diff(proposals.predicted_iou * proposals.stability) <= 1e-6).all()


def test_a_lower_limit_on_overlap_keeps_fewer(store: Store, image: Image, proposals: Proposals):
    assert 0 < len(make(store, max_mask_iou=0.6).propose(image)) < len(proposals)


def test_proposals_are_limited_to_the_best(store: Store, image: Image, proposals: Proposals):
    best = make(store, max_proposals=2).propose(image)
    np.testing.assert_array_equal(best.masks, proposals.masks[:2])


def test_small_holes_and_islands_are_dropped(store: Store):
    whole = np.zeros((40, 50), bool)
    whole[10:30, 10:40] = True
    spotted = whole.copy()
    spotted[15:18, 15:18], spotted[2:4, 2:4] = False, True
    record = {"segmentation": spotted, "predicted_iou": 1.2, "stability_score": 0.9}
    cleaned = make(store, min_area_ratio=0.01)._clean(record)
    np.testing.assert_array_equal(cleaned["segmentation"], whole)
    assert cleaned["area"] == whole.sum()
    assert cleaned["predicted_iou"] == 1.0


def test_small_masks_are_dropped(store: Store, image: Image):
    shares = make(store, max_mask_iou=1.0).propose(image).masks.mean((1, 2))
    limit = float(np.median(shares))
    kept = make(store, max_mask_iou=1.0, min_area_ratio=limit)
    kept._clean = lambda record: {**record, "area": record["segmentation"].sum()}  # speckles would all be cleaned away
    assert len(kept.propose(image)) == (shares >= limit).sum() < len(shares)


def test_same_masks_as_the_stock_generator(store: Store, image: Image):
    """Without the filters of our own, the proposals are what `segment_anything` generates."""
    limits = {"pred_iou_thresh": 0.33, "stability_score_thresh": 0.2}
    ours = make(store, min_area_ratio=0.0, max_mask_iou=1.0, max_proposals=1000, **limits)
    asks = {name: SETTINGS[name] for name in ("points_per_side", "stability_score_offset", "box_nms_thresh")}
    stock = SamAutomaticMaskGenerator(ours.net, **asks, **limits).generate(image.pixels)
    expected = {record["segmentation"].tobytes() for record in stock}
    assert 0 < len(expected) < 3 * SETTINGS["points_per_side"] ** 2
    assert {mask.tobytes() for mask in ours.propose(image).masks} == expected


def test_nothing_good_enough_is_no_proposal(store: Store, image: Image):
    nothing = make(store, pred_iou_thresh=1.0).propose(image)
    assert nothing.masks.shape == (0, *image.size_hw)
    assert nothing.boxes_xywh.shape == (0, 4)


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),  # one pixel
        (3, 2),
        (1, 2000),  # too thin to be seen
        (300, 4),  # thin
    ],
)
@pytest.mark.parametrize("crop_n_layers", [0, 1])
def test_odd_images_are_survived(store: Store, shape: tuple[int, int], crop_n_layers: int):
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    found = make(store, points_per_side=2, crop_n_layers=crop_n_layers).propose(Image.from_array(pixels))
    assert found.masks.shape[1:] == shape


def test_large_images_are_worked_on_small(store: Store, image: Image):
    pixels = image.pixels.repeat(10, 0).repeat(10, 1)
    component = make(store, points_per_side=1)
    seen: list[tuple[int, ...]] = []
    generate = component.generator.generate
    component.generator.generate = lambda pixels: seen.append(pixels.shape) or generate(pixels)
    assert component.propose(Image.from_array(pixels)).masks.shape[1:] == (960, 1200)
    assert seen == [(819, 1024, 3)]


def test_enlarged_mask_keeps_its_share_and_place():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 15:45] = True
    large = _enlarge(mask, (400, 600))
    np.testing.assert_array_equal(boxes.from_masks(large[None])[0], [150, 100, 300, 200])


def test_proposals_repeat_exactly(store: Store, image: Image, proposals: Proposals):
    np.testing.assert_array_equal(make(store).propose(image).masks, proposals.masks)


def test_fingerprint_tells_settings_and_weights_apart_but_not_batches(store: Store, tmp_path: Path):
    same, batched = make(store), make(store, points_per_batch=3)
    assert same.fingerprint == batched.fingerprint
    assert make(store, max_mask_iou=0.5).fingerprint != same.fingerprint
    other = local_store(tiny=write_other(tmp_path / "other.safetensors"))
    assert make(other).fingerprint != same.fingerprint


def write_other(file: Path) -> Path:
    state = load_file(write_sam(file, "tiny"))
    state["mask_decoder.iou_token.weight"] += 1
    save_file(state, file)
    return file


def test_unknown_architecture_names_those_there_are(store: Store):
    with pytest.raises(UnknownName, match=r"vit_x.*vit_b"):
        make(store, architecture="vit_x")


@pytest.mark.parametrize("setting", [{"points_per_side": 0}, {"max_mask_iou": 1.5}, {"pred_iou_thresh": -1.0}])
def test_setting_out_of_range_is_named(store: Store, setting: dict[str, float]):
    with pytest.raises(BadInput, match=next(iter(setting))):
        make(store, **setting)


@pytest.fixture
def vit_b(tmp_path: Path) -> Iterator[Path]:
    file = write_sam(tmp_path / "sam_vit_b_01ec64.pth", "vit_b")
    yield file
    file.unlink()


def test_published_checkpoint_format_is_loaded(vit_b: Path):
    """SAM ViT-B's own .pth, verified by its digest, is loaded whole, and is not taken for another architecture."""
    weight = Weight("sam-vit-b", vit_b.name, sha256=sha256(vit_b), url="http://127.0.0.1:9/", profile="base")
    store = Store(vit_b.parent, offline=True, registry={weight.name: weight})
    loaded = Component(store, "sam-vit-b", **{**SETTINGS, "architecture": "vit_b"})
    expected = torch.load(vit_b, mmap=True, weights_only=True)
    state = loaded.net.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert loaded.fingerprint["digest"] == weight.sha256
    with pytest.raises(BadInput, match="not a SAM of the architecture 'tiny'"):
        Component(store, "sam-vit-b", **SETTINGS)
