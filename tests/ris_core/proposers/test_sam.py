"""SAM as proposer, and asked at clicks and boxes: with random weights, so what it finds is arbitrary, but how it is asked,
filtered and told apart is not; and with the demo's weights where it must be right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling.image_encoder import Attention as SamAttention

from demo.scenes import make_scene
from ris_core.errors import BadInput, UnknownName
from ris_core.geometry import boxes, masks
from ris_core.profiles import read_profile
from ris_core.proposers._filters import _enlarge, clean
from ris_core.proposers._image_attention import ImageAttention
from ris_core.proposers._tiny_sam import TinyImageEncoder
from ris_core.proposers.sam import QUIRKS, SamProposer
from ris_core.runtime.devices import computing_in
from ris_core.runtime.registry import Weight
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals
from ris_core.types.components import Batched
from ris_core.types.prompts import PromptEmbedding, Prompts
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
def store(tmp_path_factory: pytest.TempPathFactory) -> WeightStore:
    return local_store(tiny=write_sam(tmp_path_factory.mktemp("sam") / "sam.safetensors", "tiny"))


def make(store: WeightStore, **changes: Any) -> SamProposer:
    return SamProposer(store, "tiny", **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def image() -> Image:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, (96, 120, 3), np.uint8)
    pixels[20:60, 15:50], pixels[50:90, 70:110] = (220, 40, 40), (40, 60, 230)
    return Image.from_array(pixels)


@pytest.fixture(scope="module")
def proposals(store: WeightStore, image: Image) -> Proposals:
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
    assert overlap(proposals) <= SETTINGS["max_mask_iou"]
    assert (np.diff(proposals.predicted_iou * proposals.stability) <= 1e-6).all()


def test_a_lower_limit_on_overlap_keeps_fewer(store: WeightStore, image: Image, proposals: Proposals):
    assert 0 < len(make(store, max_mask_iou=0.6).propose(image)) < len(proposals)


def test_proposals_are_limited_to_the_best(store: WeightStore, image: Image, proposals: Proposals):
    best = make(store, max_proposals=2).propose(image)
    np.testing.assert_array_equal(best.masks, proposals.masks[:2])


def test_small_holes_and_islands_are_dropped():
    whole = np.zeros((40, 50), bool)
    whole[10:30, 10:40] = True
    spotted = whole.copy()
    spotted[15:18, 15:18], spotted[2:4, 2:4] = False, True
    record = {"segmentation": spotted, "predicted_iou": 1.2, "stability_score": 0.9}
    cleaned = clean(record, 20.0)
    np.testing.assert_array_equal(cleaned["segmentation"], whole)
    assert cleaned["area"] == whole.sum()
    assert cleaned["predicted_iou"] == pytest.approx(1)
    assert cleaned["predicted_iou"] <= 1


def test_small_masks_are_dropped(store: WeightStore, image: Image, monkeypatch: pytest.MonkeyPatch):
    shares = make(store, max_mask_iou=1.0).propose(image).masks.mean((1, 2))
    limit = float(np.unique(shares)[:2].mean())  # between two, so that no rounding decides
    monkeypatch.setattr("ris_core.proposers._filters.remove_small_regions", lambda mask, *args, **kwargs: (mask, False))
    kept = make(store, max_mask_iou=1.0, min_area_ratio=limit).propose(image)
    assert len(kept) == (shares >= limit).sum() < len(shares)


def test_same_masks_as_the_stock_generator(store: WeightStore, image: Image):
    """Without the filters of our own, the proposals are what `segment_anything` generates."""
    limits = {"pred_iou_thresh": 0.33, "stability_score_thresh": 0.2}
    ours = make(store, min_area_ratio=0.0, max_mask_iou=1.0, max_proposals=1000, **limits)
    asks = {name: SETTINGS[name] for name in ("points_per_side", "stability_score_offset", "box_nms_thresh")}
    stock = SamAutomaticMaskGenerator(ours.net, **asks, **limits).generate(image.pixels)
    expected = np.stack([record["segmentation"] for record in stock])
    assert 0 < len(expected) < 3 * SETTINGS["points_per_side"] ** 2
    found = ours.propose(image).masks
    likeness = masks.iou(found, expected)
    assert len(found) == len(expected)
    assert min(likeness.max(0).min(), likeness.max(1).min()) > 0.99


def assert_same_masks(found: np.ndarray, expected: Any) -> None:
    """Another order of computing may turn a pixel that lies on the edge."""
    assert found.shape == np.shape(expected)
    assert (found != np.asarray(expected)).mean((1, 2)).max(initial=0) < 1e-3


class TestPublished:
    """Proposals as the published methods take them from the stock generator; on a scene and with the demo's weights."""

    ASKS: ClassVar[dict[str, Any]] = {
        "points_per_side": 8,
        "pred_iou_thresh": 0.3,
        "stability_score_thresh": 0.4,
        "box_nms_thresh": 0.7,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
    }
    PIXELS = make_scene(38).image

    def propose(self, *quirks: str, pixels: np.ndarray = PIXELS, **changes: Any) -> Proposals:
        settings = {**read_profile("demo")["proposer"]["settings"], **self.ASKS, "max_proposals": 1000, **changes}
        return SamProposer(WeightStore(), quirks=quirks, **settings).propose(Image.from_array(pixels))

    @pytest.mark.parametrize("area", [0, 100, 800])
    def test_both_quirks_give_the_stock_generators_list(self, area: int):
        net = SamProposer(WeightStore(), **read_profile("demo")["proposer"]["settings"]).net
        stock = SamAutomaticMaskGenerator(net, min_mask_region_area=area, **self.ASKS).generate(self.PIXELS)
        found = self.propose(*QUIRKS, min_mask_region_area=area)
        assert_same_masks(found.masks, [record["segmentation"] for record in stock])
        np.testing.assert_allclose(found.boxes_xywh - (0, 0, 1, 1), [record["bbox"] for record in stock], atol=1)
        np.testing.assert_allclose(found.stability, [record["stability_score"] for record in stock], atol=1e-2)

    def test_the_least_area_of_regions_is_measured_in_pixels_of_the_image(self):
        """Quirk Q-MINAREA: also where a smaller copy of it is worked on."""
        pixels = np.kron(self.PIXELS, np.ones((2, 2, 1), np.uint8))
        small = self.propose(*QUIRKS)
        large = self.propose(*QUIRKS, pixels=pixels, work_px=320, min_mask_region_area=4 * 800)
        assert_same_masks(large.masks[:, ::2, ::2], small.masks)

    def test_each_quirk_by_itself_changes_what_is_proposed(self):
        digests = {self.propose(*quirks).digest() for quirks in [(), ("Q-NMS",), ("Q-MINAREA",), tuple(QUIRKS)]}
        assert len(digests) == 4

    def test_masks_are_not_compared(self):
        """Quirk Q-NMS"""
        asked = {"crop_n_layers": 0, "box_nms_thresh": 0.9, "max_mask_iou": 0.3}
        assert overlap(self.propose(**asked)) <= 0.3 < overlap(self.propose("Q-NMS", **asked))

    def test_masks_without_a_large_part_keep_their_largest_one(self):
        """Quirk Q-MINAREA: nothing is dropped for being small."""
        asked = {"min_area_ratio": 0.2, "min_mask_region_area": 320 * 320 // 5}
        ours, released = self.propose(**asked), self.propose("Q-MINAREA", **asked)
        assert ours.masks.mean((1, 2)).min(initial=1) >= 0.2
        assert released.masks.mean((1, 2)).min() < 0.2
        assert {count_parts(mask) for mask in released.masks} == {1}

    def test_an_unknown_quirk_is_named(self):
        with pytest.raises(UnknownName, match=r"no quirk Q-NORM\. Available: Q-NMS, Q-MINAREA"):
            self.propose("Q-NORM")


def overlap(found: Proposals) -> float:
    return float((masks.iou(found.masks, found.masks) - np.eye(len(found))).max())


@pytest.mark.parametrize("quirks", [(), tuple(QUIRKS)])
def test_nothing_good_enough_is_no_proposal(store: WeightStore, image: Image, quirks: tuple[str, ...]):
    nothing = make(store, pred_iou_thresh=1.0, quirks=quirks).propose(image)
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
@pytest.mark.parametrize("quirks", [(), tuple(QUIRKS)])
def test_odd_images_are_survived(
    store: WeightStore, shape: tuple[int, int], crop_n_layers: int, quirks: tuple[str, ...]
):
    pixels = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    component = make(store, points_per_side=2, crop_n_layers=crop_n_layers, quirks=quirks)
    found = component.propose(Image.from_array(pixels))
    assert found.masks.shape[1:] == shape


def test_large_images_are_worked_on_small(store: WeightStore, image: Image):
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


def test_proposals_repeat_exactly(store: WeightStore, image: Image, proposals: Proposals):
    np.testing.assert_array_equal(make(store).propose(image).masks, proposals.masks)


def test_batch_size_is_that_of_the_generator(store: WeightStore, image: Image, proposals: Proposals):
    batched = make(store, points_per_batch=8)
    assert isinstance(batched, Batched)
    assert batched.batch_size == 8
    batched.batch_size = 4
    assert batched.generator.points_per_batch == 4
    np.testing.assert_array_equal(batched.propose(image).masks, proposals.masks)


def test_fingerprint_tells_settings_and_weights_apart_but_not_batches(store: WeightStore, tmp_path: Path):
    same, batched = make(store), make(store, points_per_batch=3)
    assert same.fingerprint == batched.fingerprint
    assert make(store, max_mask_iou=0.5).fingerprint != same.fingerprint
    other = local_store(tiny=write_other(tmp_path / "other.safetensors"))
    assert make(other).fingerprint != same.fingerprint


def test_embedding_is_the_same_for_all_settings_but_not_for_other_weights(store: WeightStore, tmp_path: Path):
    other = local_store(tiny=write_other(tmp_path / "other.safetensors"))
    assert make(store).embed_fp == make(store, max_mask_iou=0.5).embed_fp != make(other).embed_fp


def write_other(file: Path) -> Path:
    state = load_file(write_sam(file, "tiny"))
    state["mask_decoder.iou_token.weight"] += 1
    save_file(state, file)
    return file


def test_bf16_proposes_the_same_things(demo: SamProposer):
    quick = SamProposer(WeightStore(), **{**read_profile("demo")["proposer"]["settings"], "precision": "bf16"})
    scene = Image.from_array(make_scene(43).image)
    exact, found = demo.propose(scene), quick.propose(scene)
    assert len(found) == len(exact)
    assert (masks.iou(exact.masks, found.masks).max(1) > 0.95).all()
    arrays = [proposer.embed(scene).arrays["array"].astype(np.float32).ravel() for proposer in (demo, quick)]
    assert not np.array_equal(*arrays)
    assert arrays[0] @ arrays[1] > 0.999 * np.linalg.norm(arrays[0]) * np.linalg.norm(arrays[1])


def test_bf16_has_encodings_of_its_own(store: WeightStore):
    exact, quick = make(store), make(store, precision="bf16")
    assert quick.fingerprint == {**exact.fingerprint, "precision": "bf16"}
    assert quick.embed_fp != exact.embed_fp
    with pytest.raises(BadInput, match="precision is 'fp16'; give fp32 or bf16"):
        make(store, precision="fp16")


def test_attention_with_positions_computes_in_bf16():
    stock = SamAttention(dim=64, num_heads=2, use_rel_pos=True, input_size=(6, 6)).eval()
    torch.nn.init.normal_(stock.rel_pos_h)
    torch.nn.init.normal_(stock.rel_pos_w)
    tokens = torch.randn(1, 6, 6, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = ImageAttention(stock)(tokens)
        with computing_in("bf16", torch.device("cpu")):
            quick = ImageAttention(stock)(tokens)
    assert quick.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(exact.flatten(), quick.float().flatten(), 0) > 0.999


def test_unknown_architecture_names_those_there_are(store: WeightStore):
    with pytest.raises(UnknownName, match=r"vit_x.*vit_b"):
        make(store, architecture="vit_x")


@pytest.mark.parametrize(
    "setting",
    [
        {"points_per_side": 0},
        {"max_mask_iou": 1.5},
        {"pred_iou_thresh": -1.0},
        {"min_mask_region_area": -1},
        {"work_px": 0},
        {"crop_n_points_downscale_factor": 3, "points_per_side": 2, "crop_n_layers": 1},
    ],
)
def test_setting_out_of_range_is_named(store: WeightStore, setting: dict[str, float]):
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
    store = WeightStore(vit_b.parent, offline=True, registry={weight.name: weight})
    loaded = SamProposer(store, "sam-vit-b", **{**SETTINGS, "architecture": "vit_b"})
    expected = torch.load(vit_b, mmap=True, weights_only=True)
    state = loaded.net.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert loaded.fingerprint["digest"] == weight.sha256
    with pytest.raises(BadInput, match="not a SAM of the architecture 'tiny'"):
        SamProposer(store, "sam-vit-b", **SETTINGS)


# Clicks and boxes

CLICK, OTHER_CLICK, BOX = (30.0, 40.0), (90.0, 70.0), (14.0, 18.0, 52.0, 61.0)


def prompt(*clicks: tuple[float, float], beside: tuple[int, ...] = (), box: tuple[float, ...] | None = None) -> Prompts:
    """Clicks, of which those of the indices `beside` are negative; and a box."""
    signs = np.array([i not in beside for i in range(len(clicks))], bool)
    return Prompts(np.array(clicks, float).reshape(-1, 2), signs, None if box is None else np.array(box))


def pick(found: Proposals) -> np.ndarray:
    return found.masks[0]


@pytest.fixture
def encoder_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of pictures whenever one of the tiny image encoders runs."""
    calls: list[int] = []
    forward = TinyImageEncoder.forward
    monkeypatch.setattr(TinyImageEncoder, "forward", lambda self, x: calls.append(len(x)) or forward(self, x))
    return calls


@pytest.fixture(scope="module")
def uncleaned(store: WeightStore) -> SamProposer:
    return make(store, max_mask_iou=1.0)


ASKED = {
    "a click": (prompt(CLICK), [(1, None)]),
    "a box": (prompt(box=BOX), [(0, BOX)]),
    "a click that corrects another": (prompt(CLICK, OTHER_CLICK, beside=(1,)), [(1, None), (2, None)]),
    "a click that corrects a box": (prompt(CLICK, box=BOX), [(0, BOX), (1, BOX)]),
    "a first click that takes away": (prompt(OTHER_CLICK, CLICK, beside=(0,)), [(2, None)]),
}


@pytest.mark.parametrize(("prompts", "rounds"), ASKED.values(), ids=ASKED)
def test_same_masks_as_the_stock_predictor(uncleaned: SamProposer, image: Image, prompts: Prompts, rounds: list[Any]):
    """Asked once for each prompt, with the best mask of before: three masks for a single click, else one."""
    stock, best = SamPredictor(uncleaned.net), None
    stock.set_image(image.pixels)
    stock.features = stock.features.half().float()
    for n, box in rounds:
        clicks = (prompts.points_xy[:n], prompts.is_positive[:n].astype(int)) if n else (None, None)
        is_vague = (n, box) == (1, None)
        expected, iou, logits = stock.predict(*clicks, None if box is None else np.array(box), best, is_vague)
        best = logits[[iou.argmax()]]
    order = [i for i in np.argsort(-iou, kind="stable") if expected[i].any()]
    found = uncleaned.mask(uncleaned.embed(image), prompts)
    assert_same_masks(found.masks, expected[order].astype(bool))
    np.testing.assert_allclose(found.predicted_iou, iou[order].clip(0, 1), rtol=1e-5)


def test_candidates_of_a_click_are_told_apart_like_proposals(store: WeightStore, image: Image):
    component = make(store, max_mask_iou=0.3)
    found = component.mask(component.embed(image), prompt(CLICK))
    assert 1 <= len(found) <= 3
    assert found.masks.shape[1:] == image.size_hw
    np.testing.assert_array_equal(found.boxes_xywh, boxes.from_masks(found.masks))
    assert overlap(found) <= 0.3


def test_specks_of_what_is_pointed_at_are_dropped(store: WeightStore, image: Image):
    raw, clean = make(store), make(store, min_area_ratio=0.1)
    raw_mask, clean_mask = (pick(c.mask(c.embed(image), prompt(box=BOX))) for c in (raw, clean))
    assert count_parts(raw_mask) > count_parts(clean_mask) == 1


def count_parts(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


@pytest.mark.parametrize("crop_n_layers", [0, 1])
def test_embedding_of_an_image_that_was_proposed_costs_nothing(
    store: WeightStore, image: Image, encoder_calls: list[int], crop_n_layers: int
):
    component, crops = make(store, crop_n_layers=crop_n_layers, points_per_side=2), 4 * crop_n_layers
    proposals = component.propose(image)
    embedding = component.embed(image)
    assert encoder_calls == [1] * (1 + crops)
    component.embed(Image.from_array(image.pixels[::-1]))
    fresh = component.embed(image)
    assert len(encoder_calls) == 3 + crops
    np.testing.assert_array_equal(component.propose(image).masks, proposals.masks)
    assert len(encoder_calls) == 3 + 2 * crops  # nor does the other way around
    assert embedding.arrays["array"].dtype == fresh.arrays["array"].dtype
    np.testing.assert_allclose(embedding.arrays["array"], fresh.arrays["array"], rtol=1e-2, atol=1e-3)  # float16


def test_clicks_on_an_embedded_image_run_no_image_encoder(store: WeightStore, image: Image, encoder_calls: list[int]):
    component = make(store)
    embedding = component.embed(image)
    for prompts in (prompt(CLICK), prompt(CLICK, OTHER_CLICK), prompt(box=BOX)):
        component.mask(embedding, prompts)
    assert encoder_calls == [1]


def test_embedding_of_other_weights_is_refused(store: WeightStore, image: Image):
    embedding = PromptEmbedding(image.sha256, image.size_hw, {"array": np.zeros((128, 16, 16), np.float16)}, "other")
    with pytest.raises(BadInput, match=r"embedded as other.*Embed it"):
        make(store).mask(embedding, prompt(CLICK))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 2000), (300, 4)])
def test_odd_images_can_be_clicked_on(store: WeightStore, shape: tuple[int, int]):
    component = make(store)
    embedding = component.embed(Image.from_array(np.full((*shape, 3), 127, np.uint8)))
    assert embedding.arrays["array"].shape == (128, 16, 16)
    assert component.mask(embedding, prompt((0.5, 0.5))).masks.shape[1:] == shape


@pytest.fixture(scope="module")
def demo() -> SamProposer:
    return SamProposer(WeightStore(), **read_profile("demo")["proposer"]["settings"])


def things(seed: int) -> Iterator[tuple[np.ndarray, tuple[float, float], tuple[float, ...]]]:
    """True mask, innermost point and tight box of each object of a scene."""
    for thing in make_scene(seed).objects:
        depth = cv2.distanceTransform(np.pad(thing.mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        left, upper, width, height = boxes.from_masks(thing.mask[None])[0].tolist()
        yield thing.mask, (x + 0.5, y + 0.5), (left, upper, left + width, upper + height)


def test_what_is_pointed_at_is_found(demo: SamProposer):
    by_click, by_box = [], []
    for seed in (32, 38, 24):
        embedding = demo.embed(Image.from_array(make_scene(seed).image))
        for truth, inside, box in things(seed):
            by_click.append(measure(demo.mask(embedding, prompt(inside)), truth))
            by_box.append(measure(demo.mask(embedding, prompt(box=box)), truth))
    assert np.mean(by_click) >= 0.75
    assert np.mean(by_box) >= 0.75


def measure(found: Proposals, truth: np.ndarray) -> float:
    return float(masks.iou(found.masks[:1], truth[None])[0, 0])


def test_clicks_at_a_larger_picture_are_at_its_pixels(demo: SamProposer):
    scene, (_, (x, y), _) = make_scene(32).image, next(things(32))
    small = pick(demo.mask(demo.embed(Image.from_array(scene)), prompt((x, y))))
    large = Image.from_array(scene.repeat(5, 0).repeat(5, 1))
    found = pick(demo.mask(demo.embed(large), prompt((5 * x, 5 * y))))
    assert found.shape == large.size_hw
    assert masks.iou(found[None, 2::5, 2::5], small[None])[0, 0] >= 0.9


def test_second_click_adds_a_thing_and_a_negative_one_takes_it_away(demo: SamProposer):
    (two, inside_two, _), (one, inside_one, _) = list(things(38))[:2]
    embedding = demo.embed(Image.from_array(make_scene(38).image))
    joined = pick(demo.mask(embedding, prompt(inside_one, inside_two)))
    parted = pick(demo.mask(embedding, prompt(inside_one, inside_two, beside=(1,))))
    assert min(joined[one].mean(), joined[two].mean()) > 0.8
    assert parted[one].mean() > 0.6
    assert parted[two].mean() < 0.1
