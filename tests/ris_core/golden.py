"""Outputs recorded from the published code (tests/data/golden/README.md): the weights made again, the tolerances."""

import hashlib
import json
import math
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ris_core.types import Expression, Image, Proposals
from tests.ris_core.checkpoints import clip_shapes

FOLDER = Path(__file__).parents[1] / "data" / "golden"
SEEDS = {"ViT-B-32-quickgelu": 3201, "ViT-B-16-quickgelu": 1601, "RN50-quickgelu": 5001}
SHARE, ANGLE, SCORE, HEAT = 2e-5, 1e-9, 5e-4, 1e-4
"""Tolerances for the same arithmetic: of the largest value, of 1 - cosine, of logits, of heat and what is made of it."""

PARSES = {parse["id"]: parse for parse in json.loads((FOLDER / "parses.json").read_text())}


def image_a() -> Image:
    return Image.open(FOLDER / "image_a.png")


def masks_a() -> Proposals:
    return Proposals.from_masks(arrays("masks_a")["masks"])


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as file:
        return dict(file)


def expression(name: str) -> Expression:
    """A recorded parse as the released code reads it."""
    parse = PARSES[name]
    text, read = parse["sentence"], parse["expected"]
    others, position, relation = tuple(read["other_noun_phrases"]), read["dir_flag"], read["relation_flag"]
    return Expression(text, text, read["noun_phrase"], read["head_noun"], others, position, relation, is_whole=False)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) <= SHARE * np.nanmax(np.abs(expected))


def assert_same_features(found: np.ndarray, expected: np.ndarray) -> None:
    assert_same(found, expected)
    a, b = found.astype(np.float64), expected.astype(np.float64)
    cosines = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    assert np.nanmax(1 - cosines) <= ANGLE


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """NaN where it is NaN."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0, equal_nan=True)


def assert_recipe(model: str, state: dict[str, torch.Tensor]) -> None:
    """The weights are the recorded ones; their probes, if another C library rounds a last bit otherwise."""
    expected = json.loads((FOLDER / "weights_check.json").read_text())[model]
    hasher = hashlib.sha256()
    for name in sorted(state):
        hasher.update(name.encode() + state[name].numpy().tobytes())
    assert len(state) == expected["n_tensors"]
    if hasher.hexdigest() != expected["sha256"]:
        for name, probe in expected["probes"].items():
            np.testing.assert_allclose(state[name].flatten()[:4], probe["first4"], rtol=1e-6)


def write_clip(file: Path, model: str) -> Path:
    """A file of weights by the recipe of section 1."""
    shapes = clip_shapes(model)
    with ThreadPoolExecutor() as pool:  # drawing random numbers leaves the interpreter to others
        values = pool.map(lambda name: draw(name, shapes[name], SEEDS[model], RULES), shapes)
        save_file(dict(zip(shapes, values, strict=True)), file)
    return file


Rules = dict[str, Callable[[tuple[int, ...]], tuple[float, float]]]


def draw(name: str, shape: tuple[int, ...], base_seed: int, rules: Rules) -> torch.Tensor:
    """An entry of a state dict, by the first rule whose pattern its name matches."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name == "logit_scale":
        return torch.tensor(math.log(100), dtype=torch.float32)
    offset, std = next(rule(shape) for pattern, rule in rules.items() if re.fullmatch(pattern, name))
    drawn = np.random.RandomState((zlib.crc32(name.encode()) + base_seed) % 2**32).standard_normal(size=shape)
    if name.endswith("running_var"):
        drawn = np.abs(drawn)
    return torch.from_numpy((offset + std * drawn).astype(np.float32))


def constant(offset: float, std: float) -> Callable[[tuple[int, ...]], tuple[float, float]]:
    return lambda shape: (offset, std)


def rooted(factor: float, axis: int) -> Callable[[tuple[int, ...]], tuple[float, float]]:
    return lambda shape: (0, factor * shape[axis] ** -0.5)


def _weight(shape: tuple[int, ...]) -> tuple[float, float]:
    """Norms, convolutions (patches, others), matrices."""
    if len(shape) == 1:
        return 1, 0.1
    if len(shape) == 4:
        return 0, (1 if shape[2] >= 14 else math.sqrt(2)) * math.prod(shape[1:]) ** -0.5
    return 0, shape[1] ** -0.5


RULES: Rules = {
    r"visual\.layer4\..*\.bn3\.weight": constant(0.04, 0.004),
    r"visual\.layer4\..*\.downsample\.1\.weight": constant(0.1, 0.01),
    r"visual\.layer4\..*\.(bn3|downsample\.1)\.bias": constant(0, 0.005),
    r".*\.running_mean": constant(0, 0.1),
    r".*\.running_var": constant(1, 0.2),
    r".*\.(in_proj_)?bias": constant(0, 0.05),
    r"visual\.class_embedding": constant(0, 0.5),
    r"visual\.positional_embedding": constant(0, 0.3),
    r"visual\.attnpool\.positional_embedding": rooted(1, 1),
    r"positional_embedding": constant(0, 0.06),
    r"token_embedding\.weight": constant(0, 0.5),
    r"visual\.proj|text_projection": rooted(1, 0),
    r"visual\.layer.*\.bn3\.weight": constant(0.4, 0.04),
    r"visual\..*\.in_proj_weight": rooted(1.4, 1),
    r".*\.in_proj_weight": rooted(2.8, 1),
    r"visual\.attnpool\.[qk]_proj\.weight": rooted(8, 1),
    r".*\.weight": _weight,
}
"""Offset and deviation of an entry, by the first pattern that its name matches."""
