"""Checkpoint files in their true formats, with random weights: SAM's .pth, open_clip's folder, the hub's layout."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry

from ris_core.proposers._tiny_sam import build_tiny_sam
from ris_core.runtime.registry import Weight
from ris_core.runtime.weights import WeightStore

REVISION = "0123456789abcdef0123456789abcdef01234567"
TINY_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 48, "layers": 4, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
PREPROCESSING = {
    "size": 32,
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def local_store(**paths: Path) -> WeightStore:
    """A store whose weights are the files given."""
    return WeightStore(offline=True, registry={name: Weight(name=name, path=str(path)) for name, path in paths.items()})


def write_clip_folder(
    folder: Path, model_cfg: dict[str, Any] = TINY_CLIP, preprocess_cfg: dict[str, Any] = PREPROCESSING
) -> Path:
    """A folder as open_clip's `local-dir:` reads it, half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    net = open_clip.create_model(f"local-dir:{folder}")
    half = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    save_file(half, folder / "open_clip_model.safetensors")
    return folder


def write_clip_file(file: Path, model: str) -> Path:
    """A file as published CLIPs have them: open_clip's names, single precision."""
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(shape, generator=generator) for name, shape in clip_shapes(model).items()}
    save_file({name: 0.03 * value + float(value.ndim == 1) for name, value in state.items()}, file)
    return file


def write_clip_archive(file: Path, model: str) -> Path:
    """A file as OpenAI publishes its CLIPs: a TorchScript archive, half precision, with three entries that are no weights."""
    root = torch.nn.Module()
    for name, shape in clip_shapes(model).items():
        *path, last = name.split(".")
        holder = root
        for part in path:
            if not hasattr(holder, part):
                holder.add_module(part, torch.nn.Module())
            holder = getattr(holder, part)
        holder.register_buffer(last, torch.full(shape, 0.01, dtype=torch.half))
    for name in ("input_resolution", "context_length", "vocab_size"):
        root.register_buffer(name, torch.tensor(77))
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # the library means to give TorchScript up
        torch.jit.save(torch.jit.script(root), file)
    return file


def write_sam(file: Path, architecture: str) -> Path:
    """SAM's own format: the state dict, by `torch.save`; SAM-tiny's: safetensors in half precision."""
    torch.manual_seed(0)
    if architecture == "tiny":
        state = {name: value.half().contiguous() for name, value in build_tiny_sam().state_dict().items()}
        save_file(state, file)
    else:
        torch.save(sam_model_registry[architecture]().state_dict(), file)
    return file


def write_hub_file(cache: Path, repo: str, file: Path) -> Path:
    """Put a file into the model hub's cache layout: blobs/<sha256>, refs/main, snapshots/<commit>/<name>."""
    root = cache / f"models--{repo.replace('/', '--')}"
    blob, snapshot = root / "blobs" / sha256(file), root / "snapshots" / REVISION
    for folder in (blob.parent, snapshot, root / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (root / "refs" / "main").write_text(REVISION)
    file.rename(blob)
    (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot / file.name


def clip_shapes(model: str) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        net = open_clip.CLIP(**open_clip.get_model_config(model))
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}
