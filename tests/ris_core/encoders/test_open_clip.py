"""Which of `open_clip`'s models are read, and whether each refusal names the true reason; by configurations, without weights."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import _build_vision_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer

from ris_core.encoders import _open_clip
from ris_core.encoders._vit import VisionTower
from ris_core.encoders.clip import ClipEncoder
from ris_core.errors import BadInput
from tests.ris_core.checkpoints import local_store

NAMES = sorted({name for name, _ in open_clip.list_pretrained()})
REASONS = {
    r"EVA.*|MobileCLIP.*|PE-Core.*|.*SigLIP.*|.*-siglip|ViTamin.*|convnext.*": "timm",
    r".*CLIPA.*": "mean",
    r"coca_.*": "attention pool",
    r"nllb-clip-(base|large)|(xlm-)?roberta.*": "text tower",
    r".*-worldwide.*": "tokenizer",
}
"""By the families' names; the others are read."""
SAID = {
    "timm": r"^The image tower of NAME is timm's '\w+', and only the insides of open_clip's own towers are read here\.",
    "mean": r"^The image tower of NAME gives the mean of all patches, and here the class token is read\.",
    "attention pool": r"^The image tower of NAME makes its vector by an attention pool over all patches, and here",
    "text tower": r"^The text tower of NAME is '[\w/.-]+' of the package transformers, which is not installed\.",
    "tokenizer": r"^The tokenizer of NAME is '[\w/.-]+' of the package transformers, which is not installed\.",
}
OF_THE_IMAGE = ("timm", "mean", "attention pool")


def family(name: str) -> str:
    return next((reason for pattern, reason in REASONS.items() if re.fullmatch(pattern, name)), "")


@pytest.fixture
def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_open_clip, "find_spec", lambda name: None)


@pytest.fixture
def with_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_open_clip, "find_spec", lambda name: object())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("without_transformers")
def test_each_pretrained_name_is_read_or_refused_for_its_true_reason(name: str):
    reason = family(name)
    if not reason:
        _open_clip.check(open_clip.get_model_config(name), name)
        return
    with pytest.raises(BadInput, match=SAID[reason].replace("NAME", re.escape(name))):
        _open_clip.check(open_clip.get_model_config(name), name)


@pytest.mark.parametrize("name", [name for name in NAMES if family(name) in ("text tower", "tokenizer")])
@pytest.mark.usefixtures("with_transformers")
def test_text_sides_of_transformers_are_read_where_it_is_installed(name: str):
    _open_clip.check(open_clip.get_model_config(name), name)


def test_how_many_names_are_refused():
    """Of open_clip_torch 3.3: 78 for the image tower, 10 more without the package transformers, 27 for nothing."""
    counts = Counter(map(family, NAMES))
    assert counts == {"timm": 70, "mean": 6, "attention pool": 2, "text tower": 5, "tokenizer": 5, "": 27}


@pytest.mark.parametrize("name", [n for n in NAMES if family(n) != "timm" and not n.startswith(("RN", "ViT-bigG"))])
def test_the_towers_are_what_the_refusals_say(name: str):
    """Built without weights."""
    visual = build(name)
    assert isinstance(visual, VisionTransformer)
    assert (visual.pool_type == "avg") == (family(name) == "mean")
    assert (visual.attn_pool is not None) == (family(name) == "attention pool")
    if family(name) not in OF_THE_IMAGE:
        assert VisionTower(visual, None, name).grid >= 7


@pytest.mark.parametrize(
    "name", ["EVA02-B-16", "MobileCLIP-B", "PE-Core-T-16-384", "ViT-B-16-SigLIP2", "ViTamin-S-LTT", "convnext_base"]
)
def test_timms_towers_are_timms(name: str):
    assert isinstance(build(name), TimmModel)


def test_resnets_are_open_clips():
    assert isinstance(build("RN50"), ModifiedResNet)


def build(name: str) -> Any:
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        return _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))


@pytest.mark.parametrize("name", ["ViT-B-16-SigLIP2", "coca_ViT-B-32", "roberta-ViT-B-32", "ViT-H-14-worldwide"])
@pytest.mark.usefixtures("without_transformers")
def test_a_model_is_refused_before_its_weights_are_read(tmp_path: Path, name: str):
    (tmp_path / "clip.pt").write_bytes(b"no weights")
    with pytest.raises(BadInput, match=SAID[family(name)].replace("NAME", name)):
        ClipEncoder(local_store(clip=tmp_path / "clip.pt"), "clip", name)
