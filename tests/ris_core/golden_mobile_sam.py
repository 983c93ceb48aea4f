"""MobileSAM's recorded weights, made again (tests/data/golden/README.md, section 8)."""

import hashlib
import math
from pathlib import Path

import numpy as np
import torch

from ris_core.proposers._mobile_sam import build_mobile_sam
from ris_core.types import Image
from tests.ris_core import golden

BASE_SEED = 8101
CLASSIFIER = {
    "image_encoder.norm_head.weight": (320,),
    "image_encoder.norm_head.bias": (320,),
    "image_encoder.head.weight": (1000, 320),
    "image_encoder.head.bias": (1000,),
}
"""What the file has more than the network."""
LAYERS_2 = r"mask_decoder\.iou_prediction_head\.layers\.2"


def _relu(shape: tuple[int, ...]) -> tuple[float, float]:
    return 0, math.sqrt(2 / math.prod(shape[1:]))


def _other(shape: tuple[int, ...]) -> tuple[float, float]:
    """1-d entries, convolutions, matrices."""
    if len(shape) == 1:
        return 1, 0.1
    return _relu(shape) if len(shape) == 4 else (0, shape[1] ** -0.5)


RULES: golden.Rules = {
    r".*\.running_mean": golden.constant(0, 0.1),
    r".*\.running_var": golden.constant(1, 0.2),
    r".*\.attention_biases": golden.constant(0, 1),
    LAYERS_2 + r"\.bias": golden.constant(0.8, 0.05),
    LAYERS_2 + r"\.weight": golden.rooted(0.2, 1),
    r".*\.bias": golden.constant(0, 0.05),
    r"prompt_encoder\.pe_layer\..*": golden.constant(0, 1),
    r"prompt_encoder\.(point_embeddings\.\d|not_a_point_embed|no_mask_embed)\.weight": golden.constant(0, 0.5),
    r"mask_decoder\.(iou_token|mask_tokens)\.weight": golden.constant(0, 1),
    r"image_encoder\.layers\.0\.blocks\..*\.conv3\.bn\.weight": golden.constant(0.5, 0.05),
    r"mask_decoder\.output_upscaling\.[03]\.weight": lambda shape: (0, math.sqrt(2 / shape[0])),
    r".*\.local_conv\.c\.weight": golden.constant(0, 0.25),
    r".*\.(attn\.qkv|q_proj|k_proj)\.weight": golden.rooted(1.4, 1),
    r"mask_decoder\..*\.layers\.[01]\.weight": _relu,
    r".*": _other,
}


def state() -> dict[str, torch.Tensor]:
    """All 439 entries of a published file; the digest proves names and shapes."""
    shapes = {name: tuple(value.shape) for name, value in build_mobile_sam().state_dict().items()} | CLASSIFIER
    made = {name: golden.draw(name, shape, BASE_SEED, RULES) for name, shape in shapes.items()}
    _assert_recipe(made)
    return made


def write(file: Path) -> Path:
    """The file as MobileSAM publishes its own: a flat state dict, by `torch.save`."""
    torch.save(state(), file)
    return file


def image_a() -> Image:
    return Image.open(golden.FOLDER / "mobile_sam_image_a.png")


def _assert_recipe(made: dict[str, torch.Tensor]) -> None:
    recorded = golden.arrays("mobile_sam_a")
    hasher = hashlib.sha256()
    for name in sorted(made):
        hasher.update(name.encode() + made[name].numpy().tobytes())
    assert len(made) == 439
    if hasher.hexdigest() != recorded["weights_sha256"]:
        for name, first in zip(recorded["weights_probe_names"], recorded["weights_probe_first4"], strict=True):
            np.testing.assert_allclose(made[name].flatten()[:4], first, rtol=1e-6)
