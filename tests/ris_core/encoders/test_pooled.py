"""Towers that an attention pool reads; tiny and random, built by open_clip from its own configurations."""

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from ris_core.encoders import _open_clip, pooled
from ris_core.encoders.pooled import PooledEncoder
from ris_core.errors import BadInput
from ris_core.methods.cropping import CroppingMethod
from ris_core.methods.global_local import GlobalLocalMethod
from ris_core.methods.guided import GuidedMethod
from ris_core.methods.hybrid_gl import HybridGLMethod
from ris_core.types import EncodedImage, Expression, Proposals
from ris_core.types.components import Encoder
from tests.ris_core.checkpoints import PREPROCESSING, TINY_CLIP, local_store, write_clip_folder
from tests.ris_core.pictures import noise, rectangles, relative_error

pytestmark = pytest.mark.slow

POOLER = {"attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 8}
TEXT = TINY_CLIP["text_cfg"]
TIMM = {"timm_model_name": "test_vit3", "timm_pool": "map", "timm_proj": "none", "image_size": 160}
MULTIMODAL = {"context_length": 15, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 4}
TOWERS: dict[str, dict[str, Any]] = {
    "CLIP with an attentional pool": {**TINY_CLIP, "vision_cfg": {**TINY_CLIP["vision_cfg"], **POOLER}},
    "CLIP whose pool's queries are averaged": {
        **TINY_CLIP, "vision_cfg": {**TINY_CLIP["vision_cfg"], **POOLER, "pool_type": "avg"},
    },
    "CoCa": {
        "embed_dim": 24,
        "vision_cfg": {**TINY_CLIP["vision_cfg"], **POOLER, "output_tokens": True},
        "text_cfg": {**TEXT, "context_length": 15, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": MULTIMODAL,
        "custom_text": True,
    },
    "SigLIP": {
        "embed_dim": 96, "custom_text": True, "init_logit_bias": -10, "vision_cfg": TIMM,
        "text_cfg": {**TEXT, "no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
    "PE-Core": {
        "embed_dim": 96, "custom_text": True, "text_cfg": TEXT,
        "vision_cfg": {"image_size": 384, "timm_model_name": "vit_pe_core_tiny_patch16_384", "timm_pool": "map", "timm_proj": None},
    },
}  # fmt: skip
EXPRESSION = Expression("red dog", "red dog", "red dog", "dog", (), position="none", relation="none", is_whole=False)


@pytest.fixture(scope="module", params=list(TOWERS))
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PooledEncoder:
    return make(tmp_path_factory.mktemp("pooled"), TOWERS[request.param])


def make(folder: Path, config: dict[str, Any], **settings: Any) -> PooledEncoder:
    size = {"size": config["vision_cfg"]["image_size"], "mean": [0.5] * 3, "std": [0.5] * 3}
    return PooledEncoder(
        local_store(net=write_clip_folder(folder, config, {**PREPROCESSING, **size})), "net", **settings
    )


def encode_image(encoder: PooledEncoder, images: torch.Tensor) -> np.ndarray:
    """open_clip's own."""
    with torch.inference_mode():
        return encoder.texts.net.encode_image(images, normalize=False).numpy()


def test_it_keeps_the_promises(encoder: PooledEncoder):
    assert isinstance(encoder, Encoder)
    features = encoder.encode(noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40)))
    texts = encoder.encode_texts(["a red dog", "a cat"])
    assert {name: (array.shape, array.dtype) for name, array in features.items()} == dict.fromkeys(
        ("global", "local"), ((2, texts.shape[1]), np.float32)
    )
    assert encoder.encode_texts([]).shape == (0, texts.shape[1])
    nothing = encoder.encode(noise(20, 20), Proposals.from_masks(np.zeros((0, 20, 20), bool)))
    assert {array.shape for array in nothing.values()} == {(0, texts.shape[1])}


def test_a_mask_of_everything_gives_the_models_own_feature(encoder: PooledEncoder):
    image = noise(50, 70)
    features = encoder.encode(image, rectangles(50, 70, (0, 0, 70, 50)))
    own = encode_image(encoder, encoder.views.whole(image.pixels))
    assert relative_error(features["global"], own) < 1e-5
    assert relative_error(features["local"], own) < 1e-5


def test_patches_outside_a_mask_are_not_seen(encoder: PooledEncoder):
    """With the tokens themselves changed: in the picture, blocks would carry a change to all of them."""
    tower, side = encoder.tower, encoder.tower.grid
    tokens = tower.tokens(torch.randn(1, 3, tower.size_px, tower.size_px))
    inside = torch.zeros(1, side * side, dtype=torch.bool)
    inside[0, : side * 2] = True
    changed = tokens.detach().clone()
    changed[:, -side:] += torch.randn(tokens.shape[2])
    before, after = (pooled._pool(tower, some, inside).detach().numpy() for some in (tokens, changed))
    np.testing.assert_allclose(before, after, rtol=1e-6)
    changed[:, -side * side] += torch.randn(tokens.shape[2])
    assert relative_error(pooled._pool(tower, changed, inside).detach().numpy(), before) > 1e-5


def test_masks_tell_regions_apart_and_batches_do_not(encoder: PooledEncoder):
    image, proposals = noise(64, 64), rectangles(64, 64, (0, 0, 30, 30), (34, 34, 64, 64), (0, 34, 30, 64))
    together = encoder.encode(image, proposals)
    assert relative_error(together["global"][:1], together["global"][1:2]) > 1e-4
    encoder.batch_size = 2
    apart = encoder.encode(image, proposals)
    encoder.batch_size = 64
    for name in ("global", "local"):
        assert relative_error(apart[name], together[name]) < 1e-5


def test_a_mask_without_a_pixel_has_a_feature_of_zeros(encoder: PooledEncoder):
    features = encoder.encode(noise(40, 40), Proposals.from_masks(np.zeros((1, 40, 40), bool)))
    assert not features["global"].any()
    assert np.isfinite(features["local"]).all()


def test_the_tower_runs_once_for_all_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    encoder = make(tmp_path, TOWERS["SigLIP"], features=["global"])
    passes: list[int] = []
    tokens = encoder.tower.tokens
    monkeypatch.setattr(encoder.tower, "tokens", lambda images: passes.append(len(images)) or tokens(images))
    monkeypatch.setattr(encoder.tower, "plain", None)
    assert encoder.encode(noise(40, 40), rectangles(40, 40, *[(i, i, i + 9, i + 9) for i in range(20)]))["global"].any()
    assert passes == [1]


# Logits


@pytest.mark.parametrize("name", list(TOWERS))
def test_bf16_points_the_same_way(tmp_path: Path, name: str):
    exact, quick = (make(tmp_path / one, TOWERS[name], precision=one) for one in ("fp32", "bf16"))
    image, proposals = noise(40, 60), rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40))
    expected, found = exact.encode(image, proposals), quick.encode(image, proposals)
    for feature in ("global", "local"):
        lengths = np.linalg.norm(expected[feature], axis=1) * np.linalg.norm(found[feature], axis=1)
        assert ((expected[feature] * found[feature]).sum(1) / lengths).min() > 0.999
        assert relative_error(found[feature], expected[feature]) > 1e-6, "nothing was computed in bfloat16"
    assert quick.fingerprint["precision"] == "bf16"


def test_scale_and_bias_are_the_models_own(tmp_path: Path):
    siglip = make(tmp_path / "a", TOWERS["SigLIP"])
    assert (siglip.logit_scale, siglip.logit_bias) == (pytest.approx(1 / 0.07, rel=1e-3), -10.0)
    assert make(tmp_path / "b", TOWERS["CoCa"]).logit_bias == 0.0


@pytest.mark.parametrize(
    "method",
    [CroppingMethod(), GlobalLocalMethod(), GuidedMethod(), HybridGLMethod(guided=False, fusion="token_masking")],
    ids=lambda method: type(method).__name__,
)
def test_a_bias_moves_logits_and_no_share(tmp_path: Path, method: Any):
    """What methods compare are shares, so a sigmoid model's scores mean what those of a softmax mean."""
    encoder = make(tmp_path, TOWERS["SigLIP"])
    proposals = rectangles(40, 60, (0, 0, 30, 20), (10, 10, 50, 40), (40, 0, 60, 9))
    features = encoder.encode(noise(40, 60), proposals)
    features["hybrid_token_masking"] = features["global"]
    encoded = EncodedImage("sha", (40, 60), proposals, features, "fp")
    texts = {key: encoder.encode_texts([text])[0] for key, text in method.texts(EXPRESSION).items()}
    without = method.score(encoded, EXPRESSION, texts, encoder.logit_scale, 0.0)
    biased = method.score(encoded, EXPRESSION, texts, encoder.logit_scale, encoder.logit_bias)
    np.testing.assert_allclose(biased.values, without.values, rtol=1e-4)
    if "logit" in without.parts:
        np.testing.assert_allclose(biased.parts["logit"], without.parts["logit"] - 10, rtol=1e-5)


def test_the_logit_of_a_region_is_the_models_own(tmp_path: Path):
    encoder = make(tmp_path, TOWERS["SigLIP"])
    image, net = noise(40, 60), encoder.texts.net
    proposals = rectangles(40, 60, (0, 0, 60, 40))
    encoded = EncodedImage("sha", (40, 60), proposals, encoder.encode(image, proposals), "fp")
    with torch.inference_mode():
        own, _ = net.get_logits(encoder.views.whole(image.pixels), encoder.texts.tokenizer(["a dog"]))
    text = encoder.encode_texts(["a dog"])[0]
    texts = {"sentence": text, "noun_phrase": text}
    scores = CroppingMethod().score(encoded, EXPRESSION, texts, encoder.logit_scale, encoder.logit_bias)
    assert scores.parts["logit"][0] == pytest.approx(own.item(), rel=1e-4)


# What is refused


def test_a_tower_of_the_class_token_belongs_to_another_encoder(tmp_path: Path):
    with pytest.raises(BadInput, match=r"gives its class token.*reads an attention pool\. Use the encoder 'clip'\."):
        make(tmp_path, TINY_CLIP)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"features": ["heat"]}, r"no features heat\. Available: global, local"), ({"context_margin": -1.0}, "give 0 or more")],
)  # fmt: skip
def test_settings_out_of_range_are_named(tmp_path: Path, settings: dict[str, Any], says: str):
    with pytest.raises(BadInput, match=says):
        make(tmp_path, TOWERS["SigLIP"], **settings)


def test_a_file_of_weights_is_normalised_as_its_model_was_trained():
    """The file does not say, and open_clip's default is CLIP's."""
    half = (0.5, 0.5, 0.5)
    assert pooled._published_preprocessing("ViT-B-16-SigLIP2") == {
        "mean": half,
        "std": half,
        "interpolation": "bicubic",
    }
    assert pooled._published_preprocessing("PE-Core-B-16")["interpolation"] == "bilinear"
    assert pooled._published_preprocessing("") == {}


def test_every_pooled_name_has_one_preprocessing():
    names = {name for name, _ in open_clip.list_pretrained()}
    read = [n for n in names if _open_clip._pool_of(open_clip.get_model_config(n)["vision_cfg"])[0] == "attention pool"]
    assert len(read) == 35
    assert all(pooled._published_preprocessing(name) for name in read)
