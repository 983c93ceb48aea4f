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
    r"PE-Core.*|coca_.*|.*SigLIP.*|.*-siglip": "attention pool",
    r"EVA.*|MobileCLIP.*|ViTamin.*|convnext.*": "timm",
    r".*CLIPA.*": "mean",
    r"nllb-clip-(base|large)|(xlm-)?roberta.*": "text tower",
    r".*-worldwide.*": "tokenizer",
}
"""By the families' names; the encoder `clip` reads the others."""
POOLED_TEXTS = {r".*-siglip": "text tower", r".*SigLIP.*": "tokenizer"}
"""Of the models that the encoder `pooled` reads, what the package transformers brings."""
READS_CLASS_TOKEN = r", and the encoder 'clip' reads the class token\. "
SAID = {
    "timm": r"^The image tower of NAME is timm's '\w+' without an attention pool" + READS_CLASS_TOKEN,
    "mean": r"^The image tower of NAME gives the mean of all patches" + READS_CLASS_TOKEN,
    "attention pool": r"^The image tower of NAME makes its vector by an attention pool over all patches"
    + READS_CLASS_TOKEN
    + r"Use the encoder 'pooled'\.$",
    "text tower": r"^The text tower of NAME is '[\w/.-]+' of the package transformers, which is not installed\.",
    "tokenizer": r"^The tokenizer of NAME is '[\w/.-]+' of the package transformers, which is not installed\.",
    "class token": r"^The image tower of NAME gives its class token, or is a ResNet, and the encoder 'pooled' reads an attention "
    r"pool\. Use the encoder 'clip'\.$",
}
OF_THE_IMAGE = ("timm", "mean", "attention pool")


def family(name: str) -> str:
    return next((reason for pattern, reason in REASONS.items() if re.fullmatch(pattern, name)), "")


def is_timms(name: str) -> bool:
    return "timm_model_name" in open_clip.get_model_config(name)["vision_cfg"]


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("without_transformers")
def test_the_encoder_pooled_reads_what_an_attention_pool_makes(name: str):
    reason = family(name)
    if reason == "attention pool":
        said = next((part for pattern, part in POOLED_TEXTS.items() if re.fullmatch(pattern, name)), "")
    else:
        said = reason if reason in OF_THE_IMAGE else "class token"
    if not said:
        _open_clip.check(open_clip.get_model_config(name), name, "attention pool")
        return
    message = SAID[said].replace("NAME", re.escape(name))
    message = message.replace("'clip' reads the class token", "'pooled' reads an attention pool")
    with pytest.raises(BadInput, match=message):
        _open_clip.check(open_clip.get_model_config(name), name, "attention pool")


@pytest.mark.parametrize("name", [name for name in NAMES if family(name) == "attention pool"])
@pytest.mark.usefixtures("with_transformers")
def test_with_transformers_all_of_them_are_read(name: str):
    _open_clip.check(open_clip.get_model_config(name), name, "attention pool")


@pytest.mark.parametrize("name", [name for name in NAMES if family(name) in ("text tower", "tokenizer")])
@pytest.mark.usefixtures("with_transformers")
def test_text_sides_of_transformers_are_read_where_it_is_installed(name: str):
    _open_clip.check(open_clip.get_model_config(name), name)


def test_how_many_names_are_read():
    """Of open_clip_torch 3.3: `clip` reads 27, and 10 more with the package transformers; `pooled` 7, and 28 more with it."""
    counts = Counter(map(family, NAMES))
    assert counts == {"timm": 37, "mean": 6, "attention pool": 35, "text tower": 5, "tokenizer": 5, "": 27}
    texts = [part for n in NAMES for pattern, part in POOLED_TEXTS.items() if re.fullmatch(pattern, n)]
    assert len(texts) == 28


@pytest.mark.parametrize("name", [n for n in NAMES if not is_timms(n) and not n.startswith(("RN", "ViT-bigG"))])
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
