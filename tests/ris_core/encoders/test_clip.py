"""CLIP as encoder: features by name, texts are remembered, files are loaded. Its inside: test_vit.py, test_views.py, test_gem.py."""

import copy
import gzip
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from ris_core.encoders._views import CLIP_MEAN
from ris_core.encoders.clip import FUSED, QUIRKS, VIT_FEATURES, ClipEncoder
from ris_core.errors import BadExpression, BadInput, UnknownName
from ris_core.runtime.registry import Weight
from ris_core.runtime.weights import WeightStore
from ris_core.types import Proposals
from tests.ris_core.checkpoints import (
    TINY_CLIP,
    local_store,
    write_clip_archive,
    write_clip_file,
    write_clip_folder,
    write_hub_file,
)
from tests.ris_core.encoders.test_resnet import TINY as TINY_RESNET
from tests.ris_core.pictures import noise, rectangles, relative_error

pytestmark = pytest.mark.slow


SETTINGS: dict[str, Any] = {"masked_blocks": 2, "features": VIT_FEATURES, "frame_margin": 0.2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WeightStore:
    return local_store(clip=write_clip_folder(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def clip(store: WeightStore) -> ClipEncoder:
    return ClipEncoder(store, "clip", **SETTINGS)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> WeightStore:
    folder = write_clip_folder(tmp_path_factory.mktemp("resnet"), {**TINY_CLIP, "vision_cfg": TINY_RESNET})
    return local_store(clip=folder)


# Features


def test_each_feature_is_as_long_as_a_text_and_there_is_one_a_proposal(clip: ClipEncoder):
    found = clip.encode(noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40)))
    assert set(found) == set(VIT_FEATURES)
    for name, array in found.items():
        assert array.dtype == np.float32
        assert array.shape == ((8, 8, 24) if name == "heat" else (2, 24))
    np.testing.assert_allclose(np.linalg.norm(found["heat"], axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize("name", VIT_FEATURES)
def test_only_what_is_asked_for_is_made_and_it_is_the_same(store: WeightStore, clip: ClipEncoder, name: str):
    image, proposals = noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40))
    alone = ClipEncoder(store, "clip", **{**SETTINGS, "features": [name]}).encode(image, proposals)
    assert list(alone) == [name]
    assert relative_error(alone[name], clip.encode(image, proposals)[name]) < 1e-5


def test_bf16_points_the_same_way(store: WeightStore, clip: ClipEncoder):
    image, proposals = noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40))
    quick = ClipEncoder(store, "clip", precision="bf16", **SETTINGS)
    exact, found = clip.encode(image, proposals), quick.encode(image, proposals)
    for name in VIT_FEATURES:
        assert found[name].dtype == np.float32
        products = (exact[name] * found[name]).sum(-1)
        cosines = products / np.linalg.norm(exact[name], axis=-1) / np.linalg.norm(found[name], axis=-1)
        assert cosines.min() > 0.999, name
        assert relative_error(found[name], exact[name]) > 1e-6, "nothing was computed in bfloat16"
    np.testing.assert_array_equal(quick.encode_texts(["a dog"]), clip.encode_texts(["a dog"]))
    assert quick.fingerprint == {**clip.fingerprint, "precision": "bf16"}


def test_bf16_of_a_resnet(resnet: WeightStore):
    image, proposals = noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40))
    exact, found = (ClipEncoder(resnet, "clip", precision=one).encode(image, proposals) for one in ("fp32", "bf16"))
    for name in ("global", "local"):
        products = (exact[name] * found[name]).sum(-1)
        assert (products / np.linalg.norm(exact[name], axis=-1) / np.linalg.norm(found[name], axis=-1)).min() > 0.999


def test_an_unknown_precision_is_refused(store: WeightStore):
    with pytest.raises(BadInput, match="precision is 'fp16'; give fp32 or bf16"):
        ClipEncoder(store, "clip", precision="fp16")


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_features_do_not_depend_on_the_batch(store: WeightStore, clip: ClipEncoder, batch_size: int):
    proposals = rectangles(40, 60, *[(i, i, i + 9, i + 7) for i in range(0, 30, 6)])
    together = clip.encode(noise(40, 60), proposals)
    apart = ClipEncoder(store, "clip", batch_size=batch_size, **SETTINGS).encode(noise(40, 60), proposals)
    for name in VIT_FEATURES:
        assert relative_error(apart[name], together[name]) < 1e-5


def test_no_proposals_have_no_features(clip: ClipEncoder):
    features = clip.encode(noise(20, 20), Proposals.from_masks(np.zeros((0, 20, 20), bool)))
    assert {array.shape for name, array in features.items() if name != "heat"} == {(0, 24)}


def test_the_mask_decides_every_feature_of_a_region(clip: ClipEncoder):
    features = clip.encode(noise(32, 32), rectangles(32, 32, (0, 0, 8, 8), (16, 16, 32, 32)))
    for name in set(VIT_FEATURES) - {"heat"}:
        assert relative_error(features[name][:1], features[name][1:]) > 1e-2


def test_a_mask_of_everything_gives_the_plain_feature(clip: ClipEncoder):
    """Fused features hold the other stream too, so they differ even then."""
    image = noise(50, 70)
    features = clip.encode(image, rectangles(50, 70, (0, 0, 70, 50)))
    plain = clip.tower.plain(clip.views.whole(image.pixels)).numpy()
    for name in set(VIT_FEATURES) - {"heat", *FUSED}:
        assert relative_error(features[name], plain) < 1e-5
    assert all(relative_error(features[name], plain) > 1e-3 for name in FUSED)


@pytest.mark.parametrize("quirk", sorted(set(QUIRKS) - {"Q-LONG"}))
def test_each_quirk_changes_the_features_by_itself(store: WeightStore, clip: ClipEncoder, quirk: str):
    stack = np.zeros((1, 50, 70), bool)
    stack[0, 3:18, 5:20], stack[0, 28:49, 40:52], stack[0, 20, 20:40] = True, True, True
    image, proposals = noise(50, 70), Proposals.from_masks(stack)
    released = ClipEncoder(store, "clip", quirks=[quirk], **SETTINGS).encode(image, proposals)
    mended = clip.encode(image, proposals)
    assert max(relative_error(released[name], mended[name]) for name in mended) > 1e-4


def test_released_attention_of_the_global_branch_ignores_the_mask(store: WeightStore):
    """Quirk Q-GL-ATTN."""
    image, proposals = noise(32, 32), rectangles(32, 32, (0, 0, 8, 8), (16, 16, 32, 32))
    broken = ClipEncoder(store, "clip", features=["global_attention"], quirks=["Q-GL-ATTN"])
    features = broken.encode(image, proposals)["global_attention"]
    assert relative_error(features, broken.tower.plain(broken.views.whole(image.pixels)).numpy()) < 1e-5


def test_unknown_quirk_names_those_there_are(store: WeightStore):
    with pytest.raises(UnknownName, match=r"Q-NMS.*Q-NORM"):
        ClipEncoder(store, "clip", quirks=["Q-NORM", "Q-NMS"])


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2)])
@pytest.mark.parametrize("quirks", [(), tuple(QUIRKS)], ids=["mended", "released"])
def test_odd_images_are_encoded(store: WeightStore, size: tuple[int, int], quirks: tuple[str, ...]):
    proposals = Proposals.from_masks(np.ones((1, *size), bool))
    features = ClipEncoder(store, "clip", quirks=quirks, features=VIT_FEATURES).encode(noise(*size), proposals)
    assert all(np.isfinite(array).all() for array in features.values())


# ResNets


def test_a_resnet_has_a_global_and_a_local_branch(resnet: WeightStore):
    clip = ClipEncoder(resnet, "clip")
    features = clip.encode(noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40)))
    assert {name: array.shape for name, array in features.items()} == {"global": (2, 24), "local": (2, 24)}
    assert relative_error(features["global"][:1], features["global"][1:]) > 1e-4
    assert set(clip.encode(noise(4, 4), Proposals.from_masks(np.zeros((0, 4, 4), bool)))) == {"global", "local"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"masked_blocks": 3}, "is a ResNet, and masked_blocks only mean"),
        ({"heat_px": 64, "heat_blocks": 2}, "heat_blocks, heat_px only mean .* Features of a ResNet: global, local"),
        ({"features": ["global", "hybrid_G2L", "heat"]}, "no features heat, hybrid_G2L. Available: global, local"),
    ],
)
def test_what_only_a_transformer_has_is_refused(resnet: WeightStore, settings: dict[str, Any], said: str):
    with pytest.raises(BadInput, match=said):
        ClipEncoder(resnet, "clip", **settings)


@pytest.mark.parametrize(
    ("vision", "reason"),
    [
        (
            {"image_size": 32, "timm_model_name": "resnet10t", "timm_pool": "avg", "timm_proj": "linear"},
            r"is timm's 'resnet10t' without an attention pool, .* such as ViT-B-16-quickgelu",
        ),
        (
            {**TINY_CLIP["vision_cfg"], "pool_type": "avg"},
            "gives the mean of all patches, and the encoder 'clip' reads the class token",
        ),
        (
            {**TINY_CLIP["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 3},
            "by an attention pool .* Use the encoder 'pooled'",
        ),
    ],
    ids=["timm", "mean", "attention pool"],
)
def test_another_tower_is_refused(tmp_path: Path, vision: dict[str, Any], reason: str):
    folder = write_clip_folder(tmp_path, {**TINY_CLIP, "vision_cfg": vision})
    with pytest.raises(BadInput, match=reason):
        ClipEncoder(local_store(clip=folder), "clip")


# Texts


def test_text_features_are_the_models_own(clip: ClipEncoder):
    texts = ["a red apple", "the dog", "a red apple"]
    found = clip.encode_texts(texts)
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=16)(texts)
    assert relative_error(found, clip.texts.net.encode_text(tokens).detach().numpy()) < 1e-5
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5)


def test_texts_are_encoded_once(store: WeightStore, monkeypatch: pytest.MonkeyPatch):
    clip = ClipEncoder(store, "clip")
    first = clip.encode_texts(["left", "right"])
    monkeypatch.setattr(clip.texts, "_read", lambda tokens: pytest.fail("encoded again"))
    np.testing.assert_array_equal(clip.encode_texts(["right", "left"]), first[::-1])


def test_texts_used_longest_ago_are_forgotten(store: WeightStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ris_core.encoders._texts.TEXTS_KEPT", 2)
    clip = ClipEncoder(store, "clip", batch_size=2)
    clip.encode_texts(["one", "two"])
    clip.encode_texts(["one"])
    assert clip.encode_texts(["three", "four", "five"]).shape == (3, 24)
    clip.encode_texts(["one"])
    assert list(clip.texts._remembered) == ["five", "one"]


@pytest.mark.parametrize("text", ["", "dog " * 500, "\N{RED APPLE}" * 40, "собака 狗", "a" * 3000])
def test_any_text_has_a_feature(clip: ClipEncoder, text: str):
    assert np.isfinite(clip.encode_texts([text])).all()


def test_a_long_text_keeps_its_beginning_and_its_end_token(clip: ClipEncoder):
    long = "red " * 40
    assert clip.texts.tokenizer([long])[0, -1] == clip.texts.tokenizer.eot_token_id
    one, two = clip.encode_texts([long]), clip.encode_texts([long + "apple"])
    assert relative_error(one, two) < 1e-5


def test_a_long_text_is_refused_only_as_released(store: WeightStore):
    """Quirk Q-LONG."""
    released, just, long = ClipEncoder(store, "clip", quirks=["Q-LONG"]), "red " * 14, "red " * 15
    assert relative_error(released.encode_texts([just]), ClipEncoder(store, "clip").encode_texts([just])) < 1e-5
    with pytest.raises(
        BadExpression, match=r"'red red .* more than the 16 tokens that are read. Say it in fewer words"
    ):
        released.encode_texts([just, long])


def test_a_texts_feature_does_not_depend_on_its_neighbours(store: WeightStore):
    texts = ["dog", "the red apple left of the dog", "a " * 40]
    together = ClipEncoder(store, "clip").encode_texts(texts)
    for text, feature in zip(texts, together, strict=True):
        assert relative_error(ClipEncoder(store, "clip").encode_texts([text])[0], feature) < 1e-5


def test_another_kind_of_text_tower_is_read_whole(tmp_path: Path):
    config = {**TINY_CLIP, "custom_text": True}
    clip = ClipEncoder(local_store(clip=write_clip_folder(tmp_path, config)), "clip")
    expected = clip.texts.net.encode_text(clip.texts.tokenizer(["the dog"])).numpy()
    assert relative_error(clip.encode_texts(["the dog"]), expected) < 1e-6


def test_no_texts_have_no_features(clip: ClipEncoder):
    assert clip.encode_texts([]).shape == (0, 24)


def test_tokenizers_merges_are_found_in_the_weights_folder(tmp_path: Path):
    config = copy.deepcopy(TINY_CLIP)
    config["text_cfg"] |= {"vocab_size": 512 + 2 + 2, "tokenizer_kwargs": {"bpe_path": "merges.txt.gz"}}
    (tmp_path / "merges.txt.gz").write_bytes(gzip.compress(b"#version\nd o\ndo g</w>"))
    clip = ClipEncoder(local_store(clip=write_clip_folder(tmp_path, config)), "clip")
    assert clip.texts.tokenizer.vocab_size == 516
    assert clip.texts.tokenizer.encode("dog") == [513]
    assert clip.encode_texts(["dog"]).shape == (1, 24)


# Loading


def test_logit_scale_is_the_trained_factor(clip: ClipEncoder):
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)


def test_fingerprint_tells_everything_apart_that_decides_but_not_batches(store: WeightStore, tmp_path: Path):
    settings: dict[str, Any] = {
        "features": ["heat"],
        "masked_blocks": 2,
        "context_margin": 0.1,
        "frame_margin": 0.1,
        "heat_px": 80,
        "heat_blocks": 1,
        "heat_rounds": 2,
        "heat_temperature": 10.0,
        "precision": "bf16",
        "quirks": ["Q-AA"],
    }
    own = ClipEncoder(store, "clip")
    for setting, value in settings.items():
        assert ClipEncoder(store, "clip", **{setting: value}).fingerprint != own.fingerprint, setting
    assert ClipEncoder(store, "clip", batch_size=3, device="cpu").fingerprint == own.fingerprint
    other = local_store(clip=write_clip_folder(tmp_path, {**TINY_CLIP, "quick_gelu": True}))
    assert ClipEncoder(other, "clip").fingerprint != own.fingerprint
    without = {"self", "store", "weights", "model", "device", "batch_size", "unit_map", "masked_query"}
    assert set(settings) == set(inspect.signature(ClipEncoder.__init__).parameters) - without


@pytest.mark.parametrize("setting", [{"unit_map": False}, {"masked_query": False}])
def test_fingerprint_of_a_resnet_tells_its_settings_apart(resnet: WeightStore, setting: dict[str, bool]):
    assert ClipEncoder(resnet, "clip", **setting).fingerprint != ClipEncoder(resnet, "clip").fingerprint


@pytest.mark.parametrize(
    "setting", [{"masked_blocks": 0}, {"context_margin": -0.1}, {"frame_margin": -1.0}, {"heat_px": 3}]
)
def test_setting_out_of_range_is_named(store: WeightStore, setting: dict[str, Any]):
    with pytest.raises(BadInput, match=next(iter(setting))):
        ClipEncoder(store, "clip", **setting)


def test_model_name_beside_a_folder_is_refused(store: WeightStore):
    with pytest.raises(BadInput, match="leave the model empty"):
        ClipEncoder(store, "clip", model="ViT-B-32")


def test_unknown_model_is_named(tmp_path: Path):
    (tmp_path / "clip.safetensors").write_bytes(b"")
    with pytest.raises(UnknownName, match="ViT-B-17"):
        ClipEncoder(local_store(clip=tmp_path / "clip.safetensors"), "clip", model="ViT-B-17")


def test_openais_archive_is_loaded(tmp_path: Path):
    file = write_clip_archive(tmp_path / "ViT-S-32.pt", "ViT-S-32")
    clip = ClipEncoder(local_store(clip=file), "clip", model="ViT-S-32")
    expected = torch.jit.load(file).state_dict()
    state = clip.texts.net.state_dict()
    assert all(torch.equal(state[name], expected[name].float()) for name in state)
    assert (clip.views.mean, clip.views.interpolation) == (CLIP_MEAN, "bicubic")
    with pytest.raises(BadInput, match=r"ViT-S-32\.pt is not a CLIP of the model 'ViT-S-16'"):
        ClipEncoder(local_store(clip=file), "clip", model="ViT-S-16")


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
    store = WeightStore(folder, offline=True, registry={weight.name: weight})
    clip = ClipEncoder(store, weight.name, model="ViT-B-16-quickgelu")
    assert isinstance(clip.tower.visual.transformer.resblocks[0].mlp.gelu, open_clip.transformer.QuickGELU)
    image = noise(64, 80)
    features = clip.encode(image, rectangles(64, 80, (0, 0, 80, 64), (30, 10, 50, 40)))
    plain = clip.tower.visual(clip.views.whole(image.pixels)).numpy()
    assert relative_error(features["global"][:1], plain) < 1e-5
    assert relative_error(features["local"][:1], plain) < 1e-5
    assert relative_error(features["global"][1:], plain) > 1e-2
    assert clip.fingerprint["digest"] == weight.sha256
