"""Models of the `open_clip` package from files of this machine: a folder, a state dict, or OpenAI's archives."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from open_clip.transform import PreprocessCfg

from ris_core.errors import BadInput, UnknownName

ARCHIVE_EXTRAS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Entries of OpenAI's archives that are no weights."""
HUGGING_FACE = {"hf_model_name": "text tower", "hf_tokenizer_name": "tokenizer"}
"""Entries of a text side's configuration that name what another package brings."""

Pool = Literal["class token", "attention pool", "other"]
"""What an image tower's vector is read from, and so which encoder reads it: `clip`, `pooled`, or none."""
READERS: Mapping[Pool, str] = {"class token": "clip", "attention pool": "pooled"}


def load(path: Path, model: str, reads: Pool = "class token") -> tuple[Any, Any]:
    """The model on the CPU in float32, in evaluation, and its tokenizer.

    Args:
        path: A folder that brings its own configuration, a file of `open_clip`'s, or one of OpenAI's archives (".pt").
        model: `open_clip`'s name of the model; empty for a folder.
        reads: What the caller reads of image towers.

    Raises:
        BadInput: If a folder comes with a name, the file is not of that model, or the model is none that is read here.
        UnknownName: If there is no model of that name.
    """
    if path.is_dir():
        if model:
            raise BadInput(
                f"The weights {path.name!r} bring their own configuration; leave the model empty, not {model!r}."
            )
        check(_configuration(path)["model_cfg"], path.name, reads)
        name = f"local-dir:{path}"
        net, tokenizer = (
            open_clip.create_model(name, require_pretrained=True),
            open_clip.get_tokenizer(name, **_merges(path)),
        )
    elif model not in open_clip.list_models():
        raise UnknownName(
            f"No CLIP model named {model!r}. Available: open_clip.list_models(), such as 'ViT-B-16-quickgelu'."
        )
    else:
        check(open_clip.get_model_config(model), model, reads)
        net, tokenizer = _load_file(path, model), open_clip.get_tokenizer(model)
    return net.eval().requires_grad_(False), tokenizer


def known_features(features: Sequence[str], available: Sequence[str], name: str) -> list[str]:
    """The features without repetition, sorted.

    Raises:
        BadInput: If a model has one of them not.
    """
    unknown = sorted(set(features) - set(available))
    if unknown:
        raise BadInput(f"{name} has no features {', '.join(unknown)}. Available: {', '.join(available)}.")
    return sorted(set(features))


def read_logits(net: Any) -> tuple[float, float]:
    """Scale and bias of a model's own logits: scale * cosine + bias; the bias of a model trained with a softmax is 0."""
    bias = getattr(net, "logit_bias", None)
    return net.logit_scale.exp().item(), 0.0 if bias is None else bias.item()


def check(config: Mapping[str, Any], name: str, reads: Pool = "class token") -> None:
    """Refuse a model that is not read, by its configuration: before its weights are read.

    Args:
        config: `open_clip`'s configuration of the model.
        name: Of the model, for messages.
        reads: As of `load`.

    Raises:
        BadInput: With the reason; that of the image tower first.
    """
    pool, reason = _pool_of(config["vision_cfg"])
    if pool == reads:
        _check_text(config["text_cfg"], name)
        return
    if pool in READERS:
        remedy = f"Use the encoder {READERS[pool]!r}."
    else:
        remedy = "Give a model such as ViT-B-16-quickgelu (encoder 'clip') or ViT-B-16-SigLIP2 (encoder 'pooled')."
    raise BadInput(
        f"The image tower of {name} {reason}, and the encoder {READERS[reads]!r} reads "
        f"{'the class token' if reads == 'class token' else 'an attention pool'}. {remedy}"
    )


def _pool_of(vision: Mapping[str, Any]) -> tuple[Pool, str]:
    """What a tower's vector is read from, and that in words that go on after "The image tower"."""
    attention = "makes its vector by an attention pool over all patches"
    if network := vision.get("timm_model_name"):
        if vision.get("timm_pool") == "map":
            return "attention pool", attention
        return "other", f"is timm's {network!r} without an attention pool"
    if pool := vision.get("attentional_pool"):
        if pool is True:
            return "attention pool", attention
        return "other", f"has attention pools of the kind {pool!r}, which is read by no encoder"
    if (pool_type := vision.get("pool_type", "tok")) != "tok":
        pools = {"avg": "the mean of all patches", "none": "no one vector"}
        return "other", f"gives {pools.get(pool_type, pool_type)}"
    return "class token", "gives its class token, or is a ResNet"


def _check_text(text: Mapping[str, Any], name: str) -> None:
    part, source = next(
        ((part, text[key]) for key, part in HUGGING_FACE.items() if key in text),
        ("", ""),
    )
    if source and find_spec("transformers") is None:
        raise BadInput(
            f"The {part} of {name} is {source!r} of the package transformers, which is not installed. Install it, or give a "
            "model with CLIP's own text side, such as ViT-B-16-quickgelu."
        )


def _load_file(path: Path, model: str) -> Any:
    if path.suffix != ".pt":
        return open_clip.create_model(model, pretrained=str(path), require_pretrained=True)
    net = open_clip.CLIP(**open_clip.get_model_config(model))
    net.visual.preprocess_cfg = asdict(PreprocessCfg())  # the library's defaults are OpenAI's
    state = torch.jit.load(path, map_location="cpu").state_dict()
    try:
        net.load_state_dict({name: value for name, value in state.items() if name not in ARCHIVE_EXTRAS})
    except RuntimeError as error:
        raise BadInput(f"{path.name} is not a CLIP of the model {model!r} ({error}).") from error
    return net


def _merges(folder: Path) -> dict[str, str]:
    """The tokenizer's file of merges, which the configuration names relative to its folder."""
    settings = _configuration(folder)["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
    return {"bpe_path": str(folder / settings["bpe_path"])} if "bpe_path" in settings else {}


def _configuration(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    return config
