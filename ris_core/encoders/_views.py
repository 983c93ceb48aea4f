"""What a vision tower is shown: the whole image, and each proposal cut out; each as the released code did it or mended.

Source: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023. Section
3.2 describes the views; the quirks are what its released code does and its text does not ask for.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from PIL import Image as Pil
from torch import Tensor

from ris_core import boxes, masks

QUIRKS = {
    "Q-NORM": "normalise with ImageNet's mean and deviation, not the model's own",
    "Q-AA": "shrink bilinearly without anti-aliasing, not with it",
    "Q-FILL": "fill around a cut-out with a warm grey, not the mean colour",
    "Q-ROUNDTRIP": "view the image scaled to a short side of 800 px (and back, for the cut-outs), not its own pixels",
    "Q-FSBOX": "box a mask by its centre of mass and extent, cut down to integers, not tightly",
    "Q-VANISH": "sample a mask at the centres of the grid's cells, not average it over them",
}
"""Behaviours of the released code that can be switched on, and what is done otherwise."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
ROUNDTRIP_PX = 800
"""Short side of the image in quirk Q-ROUNDTRIP."""
ROUNDTRIP_LIMIT_PX = 8000
"""Long side that is not exceeded for it, however thin the image."""


@dataclass(frozen=True)
class Views:
    """How images become a model's input.

    Attributes:
        size_px: Side of the model's square input; the aspect ratio is not kept.
        grid: Patches per side.
        mean, std: The model's own normalisation, per channel of RGB in [0, 1].
        interpolation: The model's own, "bicubic" or "bilinear".
        context_margin: How much larger a cut-out's box is on each side, as a share of the box's side.
        quirks: Keys of `QUIRKS`.
    """

    size_px: int
    grid: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    context_margin: float = 0.0
    quirks: frozenset[str] = frozenset()

    def whole(self, pixels: UInt8[ndarray, "h w 3"]) -> Float[Tensor, "1 3 size size"]:
        """The whole image, normalised."""
        return self._resize(self._source(pixels), (self.size_px, self.size_px))

    def cut_outs(
        self, pixels: UInt8[ndarray, "h w 3"], stack: Bool[ndarray, "n h w"]
    ) -> Iterator[Float[Tensor, "3 size size"]]:
        """For each mask its box, filled around the mask, normalised."""
        source = self._source(pixels)
        if "Q-ROUNDTRIP" in self.quirks:
            source = self._resize(source, pixels.shape[:2])
        fill = torch.tensor(IMAGENET_MEAN if "Q-FILL" in self.quirks else (0.0, 0.0, 0.0))[:, None, None]
        for mask, (left, top, right, bottom) in zip(stack, self.boxes_xyxy(stack), strict=True):
            inside = torch.from_numpy(mask[top:bottom, left:right].astype(np.float32))
            part = source[:, :, top:bottom, left:right] * inside + fill * (1 - inside)
            yield self._resize(part, (self.size_px, self.size_px))[0]

    def grids(self, stack: Bool[ndarray, "n h w"]) -> Float[Tensor, "n cells"]:
        """Each mask on the model's patches, in [0, 1], row by row."""
        if "Q-VANISH" not in self.quirks:
            return torch.from_numpy(masks.to_grid(stack, self.grid)).flatten(1)
        sampled = [
            _sample(torch.from_numpy(mask)[None, None].float(), (self.grid, self.grid)).flatten() for mask in stack
        ]
        return torch.stack(sampled) if sampled else torch.zeros(0, self.grid**2)

    def boxes_xyxy(self, stack: Bool[ndarray, "n h w"]) -> list[tuple[int, int, int, int]]:
        """The box of each cut-out in whole pixels, half-open, within the image, at least one pixel large."""
        height, width = stack.shape[1:]
        found = [_mass_box(mask) for mask in stack] if "Q-FSBOX" in self.quirks else boxes.from_masks(stack)
        return [self._fit(box, width, height) for box in found]

    def _fit(self, box_xywh: Float[ndarray, "4"], width: int, height: int) -> tuple[int, int, int, int]:
        x, y, w, h = (float(value) for value in box_xywh)
        margin_x, margin_y = self.context_margin * w, self.context_margin * h
        left, top = (min(max(int(low), 0), side - 1) for low, side in ((x - margin_x, width), (y - margin_y, height)))
        right = min(max(int(x + w + margin_x), left + 1), width)
        bottom = min(max(int(y + h + margin_y), top + 1), height)
        return left, top, right, bottom

    def _source(self, pixels: UInt8[ndarray, "h w 3"]) -> Float[Tensor, "1 3 y x"]:
        if "Q-ROUNDTRIP" in self.quirks:
            size_wh = _roundtrip_size(*pixels.shape[1::-1])
            pixels = np.asarray(Pil.fromarray(pixels).resize(size_wh, Pil.Resampling.BILINEAR))
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if "Q-NORM" in self.quirks else (self.mean, self.std)
        values = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))[None] / 255
        return (values - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]

    def _resize(self, values: Float[Tensor, "b 3 h w"], size_hw: tuple[int, int]) -> Float[Tensor, "b 3 y x"]:
        if "Q-AA" in self.quirks:
            return _sample(values, size_hw)
        return F.interpolate(values, size_hw, mode=self.interpolation, align_corners=False, antialias=True)


def _roundtrip_size(width: int, height: int) -> tuple[int, int]:
    """Width and height with a short side of 800; less if the image is so thin that it would become huge."""
    short, long = ROUNDTRIP_PX, int(ROUNDTRIP_PX * max(width, height) / min(width, height))
    if long > ROUNDTRIP_LIMIT_PX:
        short, long = max(1, short * ROUNDTRIP_LIMIT_PX // long), ROUNDTRIP_LIMIT_PX
    return (long, short) if width > height else (short, long)


def _sample(values: Float[Tensor, "b c h w"], size_hw: tuple[int, int]) -> Float[Tensor, "b c y x"]:
    """Bilinear at the centres of the new pixels, without anti-aliasing."""
    return F.interpolate(values, size_hw, mode="bilinear", align_corners=False)


def _mass_box(mask: Bool[ndarray, "h w"]) -> Float[ndarray, "4"]:
    """XYWH: per axis the mean index of the columns (rows) that hold a pixel, and how many such columns (rows) there are."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return np.zeros(4)
    width, height = len(columns), len(rows)
    return np.array([columns.mean() - width / 2, rows.mean() - height / 2, width, height])
