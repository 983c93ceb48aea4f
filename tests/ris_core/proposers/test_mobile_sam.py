"""MobileSAM against outputs recorded from its released code (tests/data/golden/README.md, section 8), and against a naive copy.

The weights are random: this proves the arithmetic, nothing about the masks of the published weights.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from torch import Tensor

from ris_core.errors import BadInput
from ris_core.proposers import _prompting
from ris_core.proposers.sam import SamProposer
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image
from ris_core.types.prompts import Prompts
from tests.ris_core import golden, golden_mobile_sam, naive_tiny_vit
from tests.ris_core.checkpoints import local_store, sha256

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "points_per_side": 2,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "min_area_ratio": 0.0,
    "max_mask_iou": 1.0,
}
RECORDED = golden.arrays("mobile_sam_a")
HALF = 1.8e-3
"""How far rounding to float16 moves an embedding, as recorded."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = golden_mobile_sam.write(tmp_path_factory.mktemp("mobile-sam") / "mobile_sam.pt")
    yield file
    file.unlink()


@pytest.fixture(scope="module")
def store(file: Path) -> WeightStore:
    return local_store(mobile=file)


@pytest.fixture(scope="module")
def component(store: WeightStore) -> SamProposer:
    return SamProposer(store, "mobile", architecture="mobile", **SETTINGS)


@pytest.fixture(scope="module")
def seen(component: SamProposer) -> SamPredictor:
    return look(component, golden_mobile_sam.image_a())


def look(component: SamProposer, image: Image) -> SamPredictor:
    """The package's own predictor, which has encoded the image."""
    predictor = SamPredictor(component.net)
    predictor.set_image(image.pixels)
    return predictor


def test_the_embedding_is_the_recorded_one(seen: SamPredictor):
    embedding = seen.features[0].numpy()
    assert embedding.shape == (256, 64, 64)
    assert tuple(seen.input_size) == tuple(RECORDED["input_hw"])
    golden.assert_same(embedding[::4, 3::4, 3::4], RECORDED["embedding_sub4"])
    golden.assert_same(embedding[::4, 63], RECORDED["embedding_last_row"])
    golden.assert_same(embedding[::4, :, 63], RECORDED["embedding_last_col"])
    golden.assert_same(embedding.mean((1, 2)), RECORDED["embedding_mean"])
    golden.assert_same(embedding.std((1, 2), ddof=1), RECORDED["embedding_std"])


@pytest.mark.parametrize("is_vague", [True, False], ids=["multi", "single"])
@pytest.mark.parametrize("prompt", ["point", "box", "clicks"])
@torch.no_grad()
def test_masks_of_prompts_are_the_recorded_ones(seen: SamPredictor, prompt: str, is_vague: bool):
    recorded = {
        name.removeprefix(start): values
        for name, values in RECORDED.items()
        if name.startswith(start := f"{prompt}_{'multi' if is_vague else 'single'}_")
    }
    logits, iou = _prompting.decode(seen.model, seen.features, *asked(prompt), None, is_vague)
    golden.assert_close(logits[:, :, 1::4, 1::4].numpy(), recorded["low_sub4"], golden.SCORE)
    golden.assert_close(
        torch.stack([logits.mean((2, 3)), logits.std((2, 3))], -1).numpy(), recorded["low_mean_std"], 1e-4
    )
    golden.assert_close(iou.numpy(), recorded["iou"], golden.HEAT)
    large = seen.model.postprocess_masks(logits, seen.input_size, seen.original_size)
    np.testing.assert_allclose((large > 0).sum((2, 3)).numpy(), recorded["area"], atol=5)


def asked(prompt: str) -> tuple[tuple[Tensor, Tensor] | None, Tensor | None]:
    """Clicks and box of a recorded prompt, as the image encoder sees the image."""
    scale = RECORDED["input_hw"][1] / RECORDED["size_hw"][1]
    if prompt == "box":
        return None, torch.from_numpy(RECORDED["box_xyxy"] * scale).float()[None]
    if prompt == "point":
        points = torch.from_numpy(RECORDED["points_in_input_xy"])[:, None]
        return (points, torch.ones(points.shape[:2])), None
    points = torch.from_numpy(RECORDED["clicks_xy"] * scale).float()[None]
    return (points, torch.from_numpy(RECORDED["clicks_label"])[None]), None


def test_what_is_pointed_at_is_what_was_recorded_but_for_the_rounding_of_the_embedding(component: SamProposer):
    embedding = component.embed(golden_mobile_sam.image_a())
    assert (embedding.arrays["array"].shape, embedding.arrays["array"].dtype) == ((256, 64, 64), np.float16)
    found = embedding.arrays["array"][::4, 3::4, 3::4].astype(np.float32)
    np.testing.assert_allclose(found, RECORDED["embedding_sub4"], atol=HALF + 1e-4)
    nothing = Prompts(np.zeros((0, 2)), np.zeros(0, bool), RECORDED["box_xyxy"].astype(float))
    [box] = component.mask(embedding, nothing).masks
    assert box.sum() == pytest.approx(RECORDED["box_single_area"][0, 0], rel=2e-3)
    for point, areas, iou in zip(
        RECORDED["points_xy"], RECORDED["point_multi_area"], RECORDED["point_multi_iou"], strict=True
    ):
        click = component.mask(embedding, Prompts(point[None].astype(float), np.ones(1, bool)))
        order = np.argsort(-iou)
        np.testing.assert_allclose(click.masks.sum((1, 2)), areas[order], rtol=5e-3, atol=30)
        np.testing.assert_allclose(click.predicted_iou, iou[order], atol=2e-3)


@pytest.mark.parametrize("shape", [(640, 360), (20, 33)], ids=["upright", "small"])
@torch.no_grad()
def test_images_of_all_shapes_are_embedded_as_by_a_naive_copy(
    component: SamProposer, file: Path, shape: tuple[int, int]
):
    rng = np.random.default_rng(sum(shape))
    pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
    pixels[: shape[0] // 2, : shape[1] // 3] = (200, 40, 60)
    predictor = look(component, Image.from_array(pixels))
    shown = predictor.transform.apply_image(pixels)
    assert max(shown.shape) == 1024
    padded = component.net.preprocess(torch.from_numpy(shown).permute(2, 0, 1)[None].float())
    expected = naive_tiny_vit.encode(torch.load(file, weights_only=True), padded)
    golden.assert_same(predictor.features.numpy(), expected.numpy())


def test_a_published_file_loads_strictly_under_its_own_names(component: SamProposer, file: Path):
    published, loaded = torch.load(file, weights_only=True), component.net.state_dict()
    assert set(published) - set(loaded) == set(golden_mobile_sam.CLASSIFIER)
    assert set(loaded) <= set(published)
    assert all(torch.equal(loaded[name], published[name]) for name in loaded)
    assert component.fingerprint["architecture"] == "mobile"
    assert component.fingerprint["digest"] == sha256(file)


def test_its_own_state_dict_loads_again_without_the_classifier(component: SamProposer, tmp_path: Path):
    torch.save(component.net.state_dict(), tmp_path / "again.pt")
    again = SamProposer(local_store(mobile=tmp_path / "again.pt"), "mobile", architecture="mobile", **SETTINGS)
    for name, value in component.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)


@pytest.mark.parametrize("change", ["lacks", "has more"])
def test_a_file_that_lacks_an_entry_or_has_one_more_is_refused(file: Path, tmp_path: Path, change: str):
    state = torch.load(file, weights_only=True)
    if change == "lacks":
        del state["image_encoder.layers.1.blocks.0.attn.attention_biases"]
    else:
        state["image_encoder.layers.9.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(BadInput, match="not a SAM of the architecture 'mobile'"):
        SamProposer(local_store(mobile=tmp_path / "other.pt"), "mobile", architecture="mobile", **SETTINGS)


def test_weights_of_another_architecture_are_refused(store: WeightStore):
    with pytest.raises(BadInput, match=r"mobile_sam\.pt is not a SAM of the architecture 'tiny'"):
        SamProposer(store, "mobile", architecture="tiny", **SETTINGS)


@torch.no_grad()
def test_weights_loaded_after_a_look_are_used(component: SamProposer):
    """Though the encoder remembers its attention biases."""
    encoder, image = component.net.image_encoder, torch.zeros(1, 3, 1024, 1024)
    state, before = encoder.state_dict(), encoder(image)
    own = {name: value.clone() for name, value in state.items()}
    encoder.load_state_dict({name: -value if "attention_biases" in name else value for name, value in own.items()})
    turned = encoder(image)
    encoder.load_state_dict(own)
    assert (turned - before).abs().max() > 0.05
    assert torch.equal(encoder(image), before)


def test_proposals_are_made(component: SamProposer):
    found = component.propose(golden_mobile_sam.image_a())
    assert len(found) >= 1
    assert found.masks.shape[1:] == (480, 640)
