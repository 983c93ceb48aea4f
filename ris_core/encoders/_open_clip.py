"""Models of the `open_clip` package from files of this machine: a folder, a state dict, or OpenAI's archives."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg

from ris_core.errors import BadInput, UnknownName

ARCHIVE_EXTRAS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Entries of OpenAI's archives that are no weights."""
HUGGING_FACE = {"hf_model_name": "text tower", "hf_tokenizer_name": "tokenizer"}
"""Entries of a text side's configuration that name what another package brings."""


def load(path: Path, model: str) -> tuple[Any, Any]:
    """The model on the CPU in float32, in evaluation, and its tokenizer.

    Args:
        path: A folder that brings its own configuration, a file of `open_clip`'s, or one of OpenAI's archives (".pt").
        model: `open_clip`'s name of the model; empty for a folder.

    Raises:
        BadInput: If a folder comes with a name, the file is not of that model, or the model is none that is read here.
        UnknownName: If there is no model of that name.
    """
    if path.is_dir():
        if model:
            raise BadInput(
                f"The weights {path.name!r} bring their own configuration; leave the model empty, not {model!r}."
            )
        check(_configuration(path)["model_cfg"], path.name)
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
        check(open_clip.get_model_config(model), model)
        net, tokenizer = _load_file(path, model), open_clip.get_tokenizer(model)
    return net.eval().requires_grad_(False), tokenizer


def check(config: Mapping[str, Any], name: str) -> None:
    """Refuse a model that is not read here, by its configuration: before its weights are read.

    Args:
        config: `open_clip`'s configuration of the model.
        name: Of the model, for messages.

    Raises:
        BadInput: With the reason; that of the image tower first.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    if network := vision.get("timm_model_name"):
        reason = f"is timm's {network!r}, and only the insides of open_clip's own towers are read here"
    elif vision.get("attentional_pool"):
        reason = "makes its vector by an attention pool over all patches, and here the class token is read"
    elif vision.get("pool_type", "tok") != "tok":
        pools = {"avg": "the mean of all patches", "none": "no one vector"}
        reason = f"gives {pools.get(vision['pool_type'], vision['pool_type'])}, and here the class token is read"
    else:
        _check_text(text, name)
        return
    raise BadInput(
        f"The image tower of {name} {reason}. Give a model whose tower is open_clip's vision transformer read by its class "
        "token, such as ViT-B-16-quickgelu, or its ResNet."
    )


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
