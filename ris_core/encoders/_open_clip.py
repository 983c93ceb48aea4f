"""Models of the `open_clip` package from files of this machine: a folder, a state dict, or OpenAI's archives."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg

from ris_core.errors import BadInput, UnknownName

ARCHIVE_EXTRAS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Entries of OpenAI's archives that are no weights."""


def load(path: Path, model: str) -> tuple[Any, Any]:
    """The model on the CPU in float32, in evaluation, and its tokenizer.

    Args:
        path: A folder that brings its own configuration, a file of `open_clip`'s, or one of OpenAI's archives (".pt").
        model: `open_clip`'s name of the model; empty for a folder.

    Raises:
        BadInput: If a folder comes with a name, or the file is not of that model.
        UnknownName: If there is no model of that name.
    """
    if path.is_dir():
        if model:
            raise BadInput(
                f"The weights {path.name!r} bring their own configuration; leave the model empty, not {model!r}."
            )
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
        net, tokenizer = _load_file(path, model), open_clip.get_tokenizer(model)
    return net.eval().requires_grad_(False), tokenizer


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
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    settings = config["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {})
    return {"bpe_path": str(folder / settings["bpe_path"])} if "bpe_path" in settings else {}
