"""SAM 2 as proposer, tiny and with random weights: how it is asked, filtered and enlarged; compared with transformers' own way."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ris_core.errors import BadInput
from ris_core.geometry import boxes, masks
from ris_core.proposers.sam2 import Sam2Proposer, _enlarge
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals
from ris_core.types.components import Batched, Promptable, Proposer
from ris_core.types.prompts import PromptEmbedding, Prompts

transformers = pytest.importorskip("transformers", reason="the extra sam2 is not installed")
pytestmark = pytest.mark.slow

PX, WIDTH = 128, 32
OFFSET = 1e-3
"""The logits of random weights are small."""
SETTINGS: dict[str, Any] = {
    "points_per_side": 4,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "stability_score_offset": OFFSET,
    "min_area_ratio": 0.0,
    "max_mask_iou": 0.9,
}


def tiny_config() -> Any:
    grid = PX // 16
    backbone = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [PX, PX], "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8], "blocks_per_stage": [1, 1, 2, 1], "global_attention_blocks": [3],
        "window_size_per_stage": [4, 2, 4, 2],
    }  # fmt: skip
    vision = {
        "backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": WIDTH,
        "backbone_feature_sizes": [[4 * grid] * 2, [2 * grid] * 2, [grid] * 2],
    }  # fmt: skip
    decoder = {"hidden_size": WIDTH, "mlp_dim": 64, "num_attention_heads": 4, "iou_head_hidden_dim": 32}
    return transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": PX},
        mask_decoder_config=decoder,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = transformers.Sam2Model(tiny_config())
    with torch.no_grad():  # freshly made, all masks are alike
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    folder = tmp_path_factory.mktemp("sam2")
    net.save_pretrained(folder)
    return folder


def make(folder: Path, **changes: Any) -> Sam2Proposer:
    return Sam2Proposer(WeightStore(offline=True), str(folder), **{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def proposer(folder: Path) -> Sam2Proposer:
    return make(folder)


@pytest.fixture(scope="module")
def image() -> Image:
    pixels = np.random.default_rng(0).integers(0, 60, (96, 150, 3), np.uint8)
    pixels[20:60, 15:50], pixels[50:90, 70:110] = (220, 40, 40), (40, 60, 230)
    return Image.from_array(pixels)


@pytest.fixture(scope="module")
def proposals(proposer: Sam2Proposer, image: Image) -> Proposals:
    found = proposer.propose(image)
    assert len(found) >= 3
    return found


def click(x: float, y: float, sign: bool = True) -> Prompts:
    return Prompts(np.array([[x, y]]), np.array([sign]))


# As transformers does it


def reference(folder: Path, image: Image, **prompts: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the image's size and predicted IoU, by the package's own processor."""
    net = transformers.Sam2Model.from_pretrained(folder, local_files_only=True).eval()
    from transformers.models.sam2.image_processing_sam2 import Sam2ImageProcessor

    own = Sam2ImageProcessor(size={"height": PX, "width": PX}, mask_size={"height": PX // 4, "width": PX // 4})
    processor = transformers.Sam2Processor(own, target_size=PX)
    inputs = processor(images=image.pixels, return_tensors="pt", **prompts)
    sizes = inputs.pop("original_sizes")
    with torch.no_grad():
        answer = net(**inputs, multimask_output="input_boxes" not in prompts)
    return own.post_process_masks(answer.pred_masks, sizes, binarize=False)[0][0], answer.iou_scores[0, 0]


def test_a_click_is_answered_as_transformers_answers_it(folder: Path, proposer: Sam2Proposer, image: Image):
    found = proposer.mask(proposer.embed(image), click(90.0, 70.0))
    logits, iou = reference(folder, image, input_points=[[[[90.0, 70.0]]]], input_labels=[[[1]]])
    order = iou.argsort(descending=True).tolist()[: len(found)]
    np.testing.assert_allclose(found.predicted_iou, iou[order], atol=5e-3)
    assert found.masks.shape[1:] == image.size_hw
    assert (found.masks[0] == (logits[order[0]] > 0).numpy()).mean() > 0.99


def test_a_box_is_answered_as_transformers_answers_it(folder: Path, proposer: Sam2Proposer, image: Image):
    box = [70.0, 50.0, 110.0, 90.0]
    found = proposer.mask(proposer.embed(image), Prompts(np.zeros((0, 2)), np.zeros(0, bool), np.array(box)))
    logits, iou = reference(folder, image, input_boxes=[[box]])
    assert len(found) == 1
    assert found.predicted_iou[0] == pytest.approx(iou.item(), abs=5e-3)
    assert (found.masks[0] == (logits[0] > 0).numpy()).mean() > 0.99


def test_the_grid_asks_each_point_by_itself(folder: Path, image: Image):
    """Also with several points at once, and in the pixels of the picture: each axis by itself."""
    together = make(folder, max_mask_iou=1.0, max_proposals=1000).propose(image)
    apart = make(folder, max_mask_iou=1.0, max_proposals=1000, batch_size=3).propose(image)
    np.testing.assert_allclose(apart.predicted_iou, together.predicted_iou, atol=1e-4)
    x, y = (0.5 + np.array([1, 2])) / 4 * image.size_hw[::-1]
    _, iou = reference(folder, image, input_points=[[[[x, y]]]], input_labels=[[[1]]])
    assert all(np.abs(together.predicted_iou - one).min() < 1e-3 for one in iou.tolist())


# Promises


def test_it_keeps_the_promises(proposer: Sam2Proposer):
    assert isinstance(proposer, Proposer)
    assert isinstance(proposer, Promptable)
    assert isinstance(proposer, Batched)
    assert json.loads(json.dumps(proposer.fingerprint))["component"] == "sam2"


def test_proposals_are_distinct_and_the_best_come_first(proposals: Proposals, image: Image):
    assert proposals.masks.shape[1:] == image.size_hw
    quality = proposals.predicted_iou * proposals.stability
    assert list(quality) == sorted(quality, reverse=True)
    np.testing.assert_array_equal(proposals.boxes_xywh, boxes.from_masks(proposals.masks))
    assert (proposals.predicted_iou >= 0).all()
    assert (proposals.predicted_iou <= 1).all()
    overlaps = masks.iou(proposals.masks, proposals.masks) - np.eye(len(proposals))
    assert overlaps.max() < 0.95  # they are told apart before they are enlarged


@pytest.mark.parametrize("limit", ["pred_iou_thresh", "stability_score_thresh"])
def test_each_limit_drops_proposals(folder: Path, image: Image, limit: str):
    everything = make(folder, max_mask_iou=1.0, max_proposals=1000).propose(image)
    values = everything.predicted_iou if limit == "pred_iou_thresh" else everything.stability
    threshold = float(np.median(values))
    fewer = make(folder, max_mask_iou=1.0, max_proposals=1000, **{limit: threshold}).propose(image)
    assert 0 < len(fewer) < len(everything)
    assert ((fewer.predicted_iou if limit == "pred_iou_thresh" else fewer.stability) >= threshold - 1e-6).all()
    assert len(make(folder, max_proposals=2).propose(image)) == 2


def test_holes_islands_and_small_masks_are_gone_at_the_images_size(folder: Path):
    side = PX // 4
    logits = torch.full((2, side, side), -5.0)
    logits[0, 4:24, 4:24] = 5.0  # a square with a hole, and an island beside it
    logits[0, 10:12, 10:12], logits[0, 28:30, 28:30] = -4.0, 3.0
    logits[1, 2:5, 2:5] = 5.0  # 9 of 1024 cells
    proposer = make(folder, min_area_ratio=0.01)
    [record] = proposer._records(logits, torch.tensor([0.9, 0.8]), is_filtered=True)
    [mask] = _enlarge([record], (96, 160)).masks
    expected = np.zeros((96, 160), bool)
    expected[12:72, 20:120] = True  # three times as high, five times as wide
    assert masks.iou(mask[None], expected[None])[0, 0] > 0.97
    assert mask[30:36, 50:60].all()
    assert not mask[80:].any()
    pointed_at = list(proposer._records(logits, torch.tensor([0.9, 0.8]), is_filtered=False))
    assert len(pointed_at) == 2  # what is pointed at is never too small


def test_the_image_encoder_runs_once_for_proposals_and_embedding(
    folder: Path, image: Image, monkeypatch: pytest.MonkeyPatch
):
    proposer, runs = make(folder), []
    encode = proposer.net.get_image_embeddings
    monkeypatch.setattr(proposer.net, "get_image_embeddings", lambda pixels: runs.append(1) or encode(pixels))
    proposer.propose(image)
    proposer.embed(image)
    assert runs == [1]


@pytest.mark.parametrize("size_hw", [(1, 300), (300, 1), (7, 5)])
def test_thin_and_small_pictures_are_answered(proposer: Sam2Proposer, size_hw: tuple[int, int]):
    image = Image.from_array(np.full((*size_hw, 3), 90, np.uint8))
    assert proposer.propose(image).masks.shape[1:] == size_hw
    assert proposer.mask(proposer.embed(image), click(0.5, 0.5)).masks.shape[1:] == size_hw


# Clicks


@pytest.fixture(scope="module")
def embedding(proposer: Sam2Proposer, image: Image) -> PromptEmbedding:
    return proposer.embed(image)


def test_an_embedding_has_three_levels_of_half_precision(embedding: PromptEmbedding):
    grid = PX // 16
    assert {name: (array.shape, array.dtype) for name, array in embedding.arrays.items()} == {
        "stride_4": ((WIDTH // 8, 4 * grid, 4 * grid), np.float16),
        "stride_8": ((WIDTH // 4, 2 * grid, 2 * grid), np.float16),
        "stride_16": ((WIDTH, grid, grid), np.float16),
    }


def test_several_prompts_give_one_mask_and_each_counts(
    proposer: Sam2Proposer, embedding: PromptEmbedding, image: Image
):
    one = proposer.mask(embedding, click(30.0, 40.0))
    assert 1 <= len(one) <= 3
    both = Prompts(np.array([[30.0, 40.0], [90.0, 70.0]]), np.array([True, False]))
    more = proposer.mask(embedding, both)
    assert len(more) == 1
    before = np.zeros(image.size_hw, bool)
    before[20:60, 15:50] = True
    corrected = proposer.mask(embedding, Prompts(both.points_xy[1:], both.is_positive[1:], mask=before))
    assert len(corrected) == 1
    assert (corrected.masks[0] != more.masks[0]).any()


def test_what_does_not_belong_together_is_refused(folder: Path, proposer: Sam2Proposer, embedding: PromptEmbedding):
    other = PromptEmbedding(embedding.image_sha256, embedding.size_hw, embedding.arrays, "other")
    with pytest.raises(BadInput, match="was embedded as other"):
        proposer.mask(other, click(3.0, 3.0))
    with pytest.raises(BadInput, match=r"The mask is \(5, 9\)"):
        proposer.mask(embedding, Prompts(np.array([[3.0, 3.0]]), np.array([True]), mask=np.ones((5, 9), bool)))


# Loading


def copy(folder: Path, to: Path, **config: Any) -> Path:
    to.mkdir()
    stored = (folder / "config.json").read_text()
    (to / "config.json").write_text(json.dumps({**json.loads(stored), **config}) if config else stored)
    (to / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return to


def test_a_folder_that_is_labelled_for_videos_is_read(folder: Path, tmp_path: Path, image: Image, proposals: Proposals):
    """As the published tiny and small ones are."""
    other = make(copy(folder, tmp_path / "video", model_type="sam2_video")).propose(image)
    np.testing.assert_array_equal(other.masks, proposals.masks)


def test_other_weights_have_another_fingerprint(folder: Path, tmp_path: Path, proposer: Sam2Proposer):
    moved = make(copy(folder, tmp_path / "moved"))
    assert moved.embed_fp == proposer.embed_fp
    changed = make(copy(folder, tmp_path / "changed", unused=1))
    assert changed.embed_fp != proposer.embed_fp


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "clip"}'), "of the type 'clip'"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: drop_one(folder / "model.safetensors"), "lacks 1 weights, such as mask_decoder.iou_token.weight"),
    ],
    ids=["no configuration", "another model", "no weights", "a weight is missing"],
)  # fmt: skip
def test_what_is_no_whole_sam2_is_refused(folder: Path, tmp_path: Path, spoil: Any, says: str):
    spoiled = copy(folder, tmp_path / "spoiled")
    spoil(spoiled)
    with pytest.raises(BadInput, match=says):
        make(spoiled)


def drop_one(file: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(file)
    del state["mask_decoder.iou_token.weight"]
    save_file(state, file, {"format": "pt"})


@pytest.mark.parametrize("bad", [{"pred_iou_thresh": 1.5}, {"points_per_side": 0}, {"batch_size": 0}])
def test_settings_out_of_range_are_named(folder: Path, bad: dict[str, Any]):
    [name] = bad
    with pytest.raises(BadInput, match=f"{name} is"):
        make(folder, **bad)
