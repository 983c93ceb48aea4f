"""MobileSAM's image encoder once more, naively: from a published state dict, window by window, without `timm`.

Written from the facts of tests/data/golden/README.md, section 8.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
HEADS, WINDOWS = (2, 4, 5, 10), (7, 7, 14, 7)
STRIDES = (2, 2, 1)
"""Of the mergings after the first three stages."""


def encode(state: State, image: Tensor) -> Tensor:
    """Normalised, padded images (1, 3, 1024, 1024) -> (1, 256, 64, 64)."""
    part = {name.removeprefix("image_encoder."): value for name, value in state.items()}
    x = F.gelu(_convolve(part, "patch_embed.seq.0", image, 2))
    x = _convolve(part, "patch_embed.seq.2", x, 2)
    for stage in range(4):
        block = 0
        while any(name.startswith(at := f"layers.{stage}.blocks.{block}.") for name in part):
            x = _inverted_bottleneck(part, at, x) if stage == 0 else _transform(part, at, x, stage)
            block += 1
        if stage < 3:
            at = f"layers.{stage}.downsample."
            x = F.gelu(_convolve(part, at + "conv1", x))
            x = F.gelu(_convolve(part, at + "conv2", x, STRIDES[stage]))
            x = _convolve(part, at + "conv3", x)
    x = _normalise_channels(part, "neck.1", F.conv2d(x, part["neck.0.weight"]))
    return _normalise_channels(part, "neck.3", F.conv2d(x, part["neck.2.weight"], padding=1))


def _convolve(part: State, at: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution, depthwise if its weights are, and its normalisation by what was seen in training."""
    weight = part[f"{at}.c.weight"]
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=x.shape[1] // weight.shape[1])
    mean, variance, scale, shift = (
        part[f"{at}.bn.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def _inverted_bottleneck(part: State, at: str, x: Tensor) -> Tensor:
    inner = F.gelu(_convolve(part, at + "conv1", x))
    inner = F.gelu(_convolve(part, at + "conv2", inner))
    return F.gelu(x + _convolve(part, at + "conv3", inner))


def _transform(part: State, at: str, x: Tensor, stage: int) -> Tensor:
    """Attention in windows, a depthwise convolution, an MLP."""
    x = x + _attend_in_windows(part, at + "attn.", x, HEADS[stage], WINDOWS[stage])
    x = _convolve(part, at + "local_conv", x)
    cells = x.permute(0, 2, 3, 1)
    cells = F.gelu(_linear(part, at + "mlp.fc1", _normalise(part, at + "mlp.norm", cells)))
    return x + _linear(part, at + "mlp.fc2", cells).permute(0, 3, 1, 2)


def _attend_in_windows(part: State, at: str, x: Tensor, heads: int, side: int) -> Tensor:
    """Each window by itself; the last ones are filled up with zeros, which are attended to as well."""
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % side, 0, -height % side))
    out = torch.zeros_like(padded)
    bias = _biases(part[at + "attention_biases"], side)
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = padded[0, :, top : top + side, left : left + side].flatten(1).T
            attended = _attend(part, at, window, heads, bias)
            out[0, :, top : top + side, left : left + side] = attended.T.unflatten(1, (side, side))
    return out[:, :, :height, :width]


def _attend(part: State, at: str, tokens: Tensor, heads: int, bias: Tensor) -> Tensor:
    """Tokens (n, width); a head's queries, keys and values lie side by side."""
    triples = _linear(part, at + "qkv", _normalise(part, at + "norm", tokens)).unflatten(1, (heads, 3, -1))
    query, key, value = triples.permute(2, 1, 0, 3)
    weights = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5 + bias).softmax(-1)
    return _linear(part, at + "proj", (weights @ value).transpose(0, 1).flatten(1))


def _biases(own: Tensor, side: int) -> Tensor:
    """(heads, side * side) by distance down and across -> (heads, n, n)."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    down, across = ((place.flatten()[:, None] - place.flatten()[None]).abs() for place in (row, column))
    return own[:, down * side + across]


def _linear(part: State, at: str, x: Tensor) -> Tensor:
    return x @ part[f"{at}.weight"].T + part[f"{at}.bias"]


def _normalise(part: State, at: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * part[f"{at}.weight"] + part[f"{at}.bias"]


def _normalise_channels(part: State, at: str, x: Tensor) -> Tensor:
    centred = x - x.mean(1, keepdim=True)
    scale, shift = (part[f"{at}.{name}"][:, None, None] for name in ("weight", "bias"))
    return centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt() * scale + shift
