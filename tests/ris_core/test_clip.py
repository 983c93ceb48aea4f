"""CLIP as encoder: masking masks, views are what they say, texts are remembered."""

import copy
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from ris_core.encoders._views import QUIRKS, Views
from ris_core.encoders.clip import Component
from ris_core.errors import BadInput, UnknownName
from ris_core.types import Image, Proposals
from ris_core.weights import Store, Weight
from tests.ris_core.checkpoints import (
    PREPROCESSING,
    TINY_CLIP,
    local_store,
    write_clip_file,
    write_clip_folder,
    write_hub_file,
)

pytestmark = pytest.mark.slow

SIDE, CELL, DEPTH = 32, 8, 4
"""Of the tiny CLIP, and of the test image: an image of the model's size is not resampled."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return local_store(clip=write_clip_folder(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def clip(store: Store) -> Component:
    return Component(store, "clip", masked_blocks=2)


def noise(height: int, width: int, seed: int = 0) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8))


def rectangles(height: int, width: int, *boxes_xyxy: tuple[int, int, int, int]) -> Proposals:
    stack = np.zeros((len(boxes_xyxy), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(stack, boxes_xyxy, strict=True):
        mask[y1:y2, x1:x2] = True
    return Proposals.from_masks(stack)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# Token masking


@pytest.mark.parametrize("masked_blocks", [1, 3, DEPTH])
@pytest.mark.parametrize(
    "vision",
    [
        TINY_CLIP["vision_cfg"],
        {"image_size": 36, "patch_size": 12, "width": 32, "layers": 6, "head_width": 8},
        {"image_size": 28, "patch_size": 14, "width": 64, "layers": 4, "head_width": 32},
    ],
    ids=["32px/8", "36px/12", "28px/14"],
)
def test_a_mask_of_everything_gives_the_plain_feature(tmp_path: Path, vision: dict[str, int], masked_blocks: int):
    clip = Component(
        local_store(clip=write_clip_folder(tmp_path, {**TINY_CLIP, "vision_cfg": vision})),
        "clip",
        masked_blocks=masked_blocks,
    )
    image = noise(50, 70)
    found = clip.encode(image, rectangles(50, 70, (0, 0, 70, 50), (0, 0, 70, 50)))["global"]
    expected = clip.net.encode_image(clip.views.whole(image.pixels)).detach().numpy()
    assert relative_error(found, np.repeat(expected, 2, 0)) < 1e-5


def test_masked_patches_are_not_seen_where_all_blocks_are_masked(store: Store):
    """Before the first block a token is its patch alone: what is masked there cannot be seen at all."""
    inside = rectangles(SIDE, SIDE, (CELL, CELL, 3 * CELL, 2 * CELL))
    one, two = noise(SIDE, SIDE, 1).pixels, noise(SIDE, SIDE, 2).pixels
    two = np.where(inside.masks[0][..., None], one, two)
    everywhere, late = (Component(store, "clip", masked_blocks=count) for count in (DEPTH, 1))
    first, second = (everywhere.encode(Image.from_array(pixels), inside)["global"] for pixels in (one, two))
    np.testing.assert_array_equal(first, second)
    first, second = (late.encode(Image.from_array(pixels), inside)["global"] for pixels in (one, two))
    assert relative_error(first, second) > 1e-2  # the first blocks carry the surroundings into the region


def test_the_mask_decides_the_feature(clip: Component):
    features = clip.encode(noise(SIDE, SIDE), rectangles(SIDE, SIDE, (0, 0, 8, 8), (16, 16, 32, 32)))["global"]
    assert relative_error(features[:1], features[1:]) > 1e-2


def test_tokens_are_masked_again_before_each_block(clip: Component):
    """Straight from the definition: multiply, block, multiply, block."""
    image, proposals = noise(40, 40), rectangles(40, 40, (3, 5, 21, 33))
    visual = clip.visual
    with torch.no_grad():
        tokens = visual._embeds(clip.views.whole(image.pixels))
        for number, block in enumerate(visual.transformer.resblocks):
            if number >= DEPTH - 2:
                tokens[:, 1:] *= clip.views.grids(proposals.masks)[:, :, None]
            tokens = block(tokens)
        expected = visual.ln_post(tokens[:, 0]) @ visual.proj
    assert relative_error(clip.encode(image, proposals)["global"], expected.numpy()) < 1e-5


def test_features_do_not_depend_on_the_batch(store: Store, clip: Component):
    proposals = rectangles(40, 60, *[(i, i, i + 9, i + 7) for i in range(0, 30, 6)])
    together = clip.encode(noise(40, 60), proposals)
    apart = Component(store, "clip", masked_blocks=2, batch_size=2).encode(noise(40, 60), proposals)
    for name in ("global", "local"):
        assert together[name].dtype == np.float32
        assert together[name].shape == (5, TINY_CLIP["embed_dim"])
        assert relative_error(apart[name], together[name]) < 1e-5


def test_no_proposals_have_no_features(clip: Component):
    features = clip.encode(noise(20, 20), Proposals.from_masks(np.zeros((0, 20, 20), bool)))
    assert {name: array.shape for name, array in features.items()} == {"global": (0, 24), "local": (0, 24)}


def test_a_boolean_mask_handed_to_the_librarys_block_masks_nothing(clip: Component):
    """Why blocks must be given additive masks: open_clip casts True to 1.0, which only nudges the attention."""
    block = clip.visual.transformer.resblocks[0]
    tokens = torch.randn(1, 5, clip.visual.transformer.width, generator=torch.Generator().manual_seed(0))
    changed = tokens.clone()
    changed[:, 4] *= -3
    forbidden = torch.zeros(5, 5, dtype=torch.bool)
    forbidden[0, 4] = True  # the class token is not to see the last patch
    additive = torch.zeros(5, 5).masked_fill(forbidden, float("-inf"))
    with torch.no_grad():
        leak = (block(tokens, attn_mask=forbidden) - block(changed, attn_mask=forbidden))[0, 0].abs().max()
        sealed = (block(tokens, attn_mask=additive) - block(changed, attn_mask=additive))[0, 0].abs().max()
    assert leak > 1e-3
    assert sealed == 0


# Views


def views(**changes: Any) -> Views:
    own = {name: tuple(PREPROCESSING[name]) for name in ("mean", "std")}
    return Views(**{"size_px": SIDE, "grid": 4, "interpolation": "bicubic", **own, **changes})


def test_a_cut_out_shows_the_region_and_the_mean_colour_around_it():
    image, stack = noise(SIDE, SIDE), np.zeros((1, SIDE, SIDE), bool)
    stack[0, 0], stack[0, :, 0], stack[0, -1, -1] = True, True, True  # its box is the whole image
    [cut_out], whole = views().cut_outs(image.pixels, stack), views().whole(image.pixels)[0]
    inside = torch.from_numpy(stack[0])
    assert torch.equal(cut_out[:, inside], whole[:, inside])
    assert (cut_out[:, ~inside] == 0).all()


def test_a_cut_out_is_the_image_of_its_box():
    image, stack = noise(60, 80), rectangles(60, 80, (10, 20, 50, 44)).masks
    [cut_out] = views().cut_outs(image.pixels, stack)
    torch.testing.assert_close(cut_out, views().whole(image.pixels[20:44, 10:50])[0])


def test_context_margin_grows_the_box_within_the_image():
    stack = rectangles(60, 80, (10, 20, 50, 44)).masks
    assert views(context_margin=0.5).boxes_xyxy(stack) == [(0, 8, 70, 56)]
    assert views(context_margin=9.0).boxes_xyxy(stack) == [(0, 0, 80, 60)]


def test_boxes_are_tight_and_hold_at_least_a_pixel():
    stack = rectangles(6, 8, (7, 5, 8, 6), (0, 0, 1, 1), (0, 0, 0, 0)).masks
    assert views().boxes_xyxy(stack) == [(7, 5, 8, 6), (0, 0, 1, 1), (0, 0, 1, 1)]


def test_released_box_lies_around_the_centre_of_mass():
    stack = np.zeros((2, 10, 40), bool)
    stack[0, 2:6, 0:4], stack[0, 2:6, 30:34] = True, True  # 8 columns, their mean index 16.5
    stack[1, 0, 0] = True
    released = views(quirks=frozenset({"Q-FSBOX"}))
    assert released.boxes_xyxy(stack) == [(12, 1, 20, 5), (0, 0, 1, 1)]
    assert views().boxes_xyxy(stack)[0] == (0, 2, 34, 6)


def test_small_masks_vanish_from_the_grid_only_as_released():
    stack = rectangles(64, 64, (16, 16, 19, 19)).masks
    assert views(quirks=frozenset({"Q-VANISH"})).grids(stack).sum() == 0
    assert views().grids(stack).sum() > 0


@pytest.mark.parametrize("quirk", sorted(QUIRKS))
def test_each_quirk_changes_the_features_by_itself(store: Store, clip: Component, quirk: str):
    stack = np.zeros((1, 50, 70), bool)
    stack[0, 3:20, 5:20], stack[0, 28:49, 40:52] = True, True
    image, proposals = noise(50, 70), Proposals.from_masks(stack)
    released = Component(store, "clip", masked_blocks=2, quirks=[quirk]).encode(image, proposals)
    mended = clip.encode(image, proposals)
    assert max(relative_error(released[name], mended[name]) for name in mended) > 1e-4


def test_unknown_quirk_names_those_there_are(store: Store):
    with pytest.raises(UnknownName, match=r"Q-NMS.*Q-NORM"):
        Component(store, "clip", quirks=["Q-NORM", "Q-NMS"])


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2)])
@pytest.mark.parametrize("quirks", [(), tuple(QUIRKS)], ids=["mended", "released"])
def test_odd_images_are_encoded(store: Store, size: tuple[int, int], quirks: tuple[str, ...]):
    proposals = Proposals.from_masks(np.ones((1, *size), bool))
    features = Component(store, "clip", quirks=quirks).encode(noise(*size), proposals)
    assert all(np.isfinite(array).all() for array in features.values())


# Texts


def test_text_features_are_the_models_own(clip: Component):
    texts = ["a red apple", "the dog", "a red apple"]
    found = clip.encode_texts(texts)
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=16)(texts)
    assert relative_error(found, clip.net.encode_text(tokens).detach().numpy()) < 1e-5
    np.testing.assert_array_equal(found[0], found[2])


def test_texts_are_encoded_once(store: Store, monkeypatch: pytest.MonkeyPatch):
    clip = Component(store, "clip")
    first = clip.encode_texts(["left", "right"])
    monkeypatch.setattr(clip.net, "encode_text", lambda tokens: pytest.fail("encoded again"))
    np.testing.assert_array_equal(clip.encode_texts(["right", "left"]), first[::-1])


def test_texts_used_longest_ago_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ris_core.encoders.clip.TEXTS_KEPT", 2)
    clip = Component(store, "clip", batch_size=2)
    clip.encode_texts(["one", "two"])
    clip.encode_texts(["one"])
    assert clip.encode_texts(["three", "four", "five"]).shape == (3, 24)
    clip.encode_texts(["one"])
    assert list(clip._remembered) == ["five", "one"]


@pytest.mark.parametrize("text", ["", "dog " * 500, "\N{RED APPLE}" * 40, "собака 狗", "a" * 3000])
def test_any_text_has_a_feature(clip: Component, text: str):
    assert np.isfinite(clip.encode_texts([text])).all()


def test_a_long_text_keeps_its_beginning_and_its_end_token(clip: Component):
    long = "red " * 40
    assert clip.tokenizer([long])[0, -1] == clip.tokenizer.eot_token_id
    np.testing.assert_array_equal(clip.encode_texts([long]), clip.encode_texts([long + "apple"]))


def test_no_texts_have_no_features(clip: Component):
    assert clip.encode_texts([]).shape == (0, 24)


def test_tokenizers_merges_are_found_in_the_weights_folder(tmp_path: Path):
    config = copy.deepcopy(TINY_CLIP)
    config["text_cfg"] |= {"vocab_size": 512 + 2 + 2, "tokenizer_kwargs": {"bpe_path": "merges.txt.gz"}}
    (tmp_path / "merges.txt.gz").write_bytes(gzip.compress(b"#version\nd o\ndo g</w>"))
    clip = Component(local_store(clip=write_clip_folder(tmp_path, config)), "clip")
    assert clip.tokenizer.vocab_size == 516
    assert clip.tokenizer.encode("dog") == [513]
    assert clip.encode_texts(["dog"]).shape == (1, 24)


# Loading


def test_logit_scale_is_the_trained_factor(clip: Component):
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_fingerprint_tells_settings_and_weights_apart_but_not_batches(store: Store, clip: Component, tmp_path: Path):
    assert Component(store, "clip", masked_blocks=2, batch_size=3).fingerprint == clip.fingerprint
    others = [
        Component(store, "clip", masked_blocks=3),
        Component(store, "clip", masked_blocks=2, context_margin=0.1),
        Component(store, "clip", masked_blocks=2, quirks=["Q-AA"]),
        Component(
            local_store(clip=write_clip_folder(tmp_path, {**TINY_CLIP, "quick_gelu": True})), "clip", masked_blocks=2
        ),
    ]
    assert all(other.fingerprint != clip.fingerprint for other in others)


@pytest.mark.parametrize(
    "vision",
    [
        {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},  # a ResNet
        {**TINY_CLIP["vision_cfg"], "pool_type": "avg"},
    ],
    ids=["resnet", "average"],
)
def test_tower_without_a_class_token_is_refused(tmp_path: Path, vision: dict[str, Any]):
    folder = write_clip_folder(tmp_path, {**TINY_CLIP, "vision_cfg": vision})
    with pytest.raises(BadInput, match="needs a vision transformer"):
        Component(local_store(clip=folder), "clip")


@pytest.mark.parametrize("setting", [{"masked_blocks": 0}, {"masked_blocks": 5}, {"context_margin": -0.1}])
def test_setting_out_of_range_is_named(store: Store, setting: dict[str, Any]):
    with pytest.raises(BadInput, match=next(iter(setting))):
        Component(store, "clip", **setting)


def test_model_name_beside_a_folder_is_refused(store: Store):
    with pytest.raises(BadInput, match="leave the model empty"):
        Component(store, "clip", model="ViT-B-32")


def test_unknown_model_is_named(tmp_path: Path):
    (tmp_path / "clip.safetensors").write_bytes(b"")
    with pytest.raises(UnknownName, match="ViT-B-17"):
        Component(local_store(clip=tmp_path / "clip.safetensors"), "clip", model="ViT-B-17")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Path, Weight]]:
    file = write_clip_file(tmp_path / "open_clip_model.safetensors", "ViT-B-16-quickgelu")
    repo = "timm/vit_base_patch16_clip_224.openai"
    snapshot = write_hub_file(tmp_path / "hub", repo, file)
    digest = snapshot.resolve().name
    yield tmp_path, Weight("clip-vit-b-16", f"clip-vit-b-16/{file.name}", sha256=digest, hub_repo=repo, profile="base")
    snapshot.resolve().unlink()


def test_published_model_is_loaded_from_the_hubs_layout(hub: tuple[Path, Weight]):
    """CLIP ViT-B/16 with QuickGELU, offline: two given masks on a small photograph."""
    folder, weight = hub
    store = Store(folder, offline=True, registry={weight.name: weight})
    clip = Component(store, weight.name, model="ViT-B-16-quickgelu")
    assert isinstance(clip.visual.transformer.resblocks[0].mlp.gelu, open_clip.transformer.QuickGELU)
    image = noise(64, 80)
    features = clip.encode(image, rectangles(64, 80, (0, 0, 80, 64), (30, 10, 50, 40)))
    plain = clip.net.encode_image(clip.views.whole(image.pixels)).numpy()
    assert relative_error(features["global"][:1], plain) < 1e-5
    assert relative_error(features["local"][:1], plain) < 1e-5
    assert relative_error(features["global"][1:], plain) > 1e-2
    assert clip.fingerprint["digest"] == weight.sha256
