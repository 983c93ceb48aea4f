"""GEM against outputs recorded from the published code (tests/data/golden/README.md, section 5)."""

from typing import Any

import numpy as np
import pytest
import torch

from ris_core.encoders import _gem
from ris_core.encoders.clip import QUIRKS, ClipEncoder
from ris_core.geometry import spatial_guidance
from ris_core.methods._similarity import unit
from tests.ris_core import golden
from tests.ris_core.checkpoints import local_store
from tests.ris_core.golden import HEAT, assert_close, assert_same, assert_same_features

pytestmark = pytest.mark.slow

IMAGE, ARRAYS = golden.image_a(), golden.arrays("gem_vitb16_a")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
    file = golden.write_clip(tmp_path_factory.mktemp("golden") / "clip.safetensors", "ViT-B-16-quickgelu")
    clip = ClipEncoder(
        local_store(clip=file), "clip", model="ViT-B-16-quickgelu", features=["heat"], quirks=tuple(QUIRKS)
    )
    file.unlink()
    return clip


@pytest.fixture(scope="module")
def before(clip: ClipEncoder) -> list[torch.Tensor]:
    with torch.inference_mode():
        return _gem.inputs(clip.tower, clip.views.square(IMAGE.pixels, clip.grounding.px))


@pytest.fixture(scope="module")
def texts(clip: ClipEncoder) -> np.ndarray:
    return unit(clip.encode_texts([f"a photo of a {phrase}." for phrase in ARRAYS["phrases"]]))


@torch.inference_mode()
def tokens(clip: ClipEncoder, before: list[torch.Tensor], **settings: Any) -> np.ndarray:
    return _gem.ground(clip.tower, before, clip.grounding._replace(**settings)).numpy()


def likeness(patches: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """(P, 28, 28)"""
    return np.stack([(unit(patches) @ text).reshape(28, 28) for text in texts])


def assert_heat(found: np.ndarray, name: str) -> None:
    maps = np.stack([spatial_guidance.heat_map(one, (448, 448)) for one in found])
    assert_close(maps[:, 8::16, 8::16], ARRAYS[f"heat448_{name}sub16"], HEAT)


def test_the_recipe_gives_the_recorded_weights(clip: ClipEncoder):
    golden.assert_recipe("ViT-B-16-quickgelu", clip.texts.net.state_dict())


def test_settings_are_the_papers(clip: ClipEncoder):
    assert clip.grounding == (448, 6, 1, None)


def test_image(clip: ClipEncoder):
    assert_same(clip.views.square(IMAGE.pixels, 448).numpy()[:, :, ::8, ::8], ARRAYS["input_sub8"])


def test_texts(texts: np.ndarray):
    assert_same_features(texts, ARRAYS["text_embedding"])


def test_grounded_tokens_and_heat(clip: ClipEncoder, before: list[torch.Tensor], texts: np.ndarray):
    found = tokens(clip, before)
    assert_same_features(found[ARRAYS["tokens_idx"]], ARRAYS["feat_gem"])
    maps = likeness(found[1:], texts)
    assert_same(maps, ARRAYS["match_28"])
    assert_heat(maps, "")
    assert_close(
        spatial_guidance.resize(maps[0], (448, 448))[8::16, 8::16], ARRAYS["heat448_unnormalised_sub16"][0], HEAT
    )
    full = spatial_guidance.heat_map(maps[ARRAYS["heat448_full_index"]], (448, 448))
    assert_close(full, ARRAYS["heat448_full"], HEAT)
    at_size = np.stack(
        [spatial_guidance.resize(spatial_guidance.heat_map(one, (448, 448)), IMAGE.size_hw) for one in maps]
    )
    assert_close(at_size[:, ::8, ::8], ARRAYS["heat_hw_sub8"], HEAT)


def test_ordinary_tokens(clip: ClipEncoder, before: list[torch.Tensor], texts: np.ndarray):
    found = tokens(clip, before, blocks=0)
    assert_same_features(found[ARRAYS["tokens_idx"]], ARRAYS["feat_ori"])
    assert_heat(likeness(found[1:], texts), "ori_")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("depth4_", {"blocks": 3}),
        ("iter0_", {"rounds": 0}),
        ("iter2_", {"rounds": 2}),
        ("temp10_", {"temperature": 10.0}),
    ],
)
def test_other_settings(
    clip: ClipEncoder, before: list[torch.Tensor], texts: np.ndarray, name: str, settings: dict[str, Any]
):
    assert_heat(likeness(tokens(clip, before, **settings)[1:], texts), name)
