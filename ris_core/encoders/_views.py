"""What an image tower is shown: the whole image, each proposal cut out, each proposal in its frame; as released or mended.

Sources: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023, Section 3.2;
[1] Liu and Li, "Hybrid Global-Local Representation with Augmented Spatial Guidance", CVPR 2025, Section 3.2. The quirks
are what their released code does and their text does not ask for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from PIL import Image as Pil
from torch import Tensor

from ris_core.arrays import Array
from ris_core.geometry import boxes, masks

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
ROUNDTRIP_PX = 800
"""Short side of the image in quirk Q-ROUNDTRIP."""
ROUNDTRIP_LIMIT_PX = 40_000
"""Long side that is not exceeded for it, for the memory: reached by images fifty times as long as short."""
BLUR_PX = 15
"""Side of the Gaussian kernel around a proposal in [1]; its deviation, 2.6 px, follows from it."""
INSIDE_SHARE = 0.25
"""A patch is inside a mask if the mask covers at least this share of what it covers of its fullest patch."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels, half-open."""
Picture = TypeVar("Picture", Array, Tensor)


@dataclass(frozen=True)
class Views:
    """How images become a model's input.

    Attributes:
        size_px: Side of the model's square input; the aspect ratio is not kept.
        grid: Patches per side.
        mean, std: The model's own normalisation, per channel of RGB in [0, 1].
        interpolation: The model's own, "bicubic" or "bilinear".
        context_margin: How much larger a cut-out's box is on each side, as a share of the box's side.
        frame_margin: The same of the frame in which [1] shows a proposal.
        quirks: Identifiers of released behaviours, see `ris_core.encoders.clip.QUIRKS`.
        device: Where the pictures are made.
    """

    size_px: int
    grid: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    context_margin: float = 0.0
    frame_margin: float = 1.0
    quirks: frozenset[str] = frozenset()
    device: str = "cpu"

    def whole(self, pixels: UInt8[Array, "h w 3"]) -> Float[Tensor, "1 3 size size"]:
        """The whole image, normalised."""
        return self._resize(self._normalise(_unit(self._enlarged(pixels), self.device)))

    def cut_outs(
        self, pixels: UInt8[Array, "h w 3"], stack: Bool[Array, "n h w"]
    ) -> Iterator[Float[Tensor, "3 size size"]]:
        """[0]'s local images: for each mask its box, filled around the mask, normalised."""
        source = self._normalise(_unit(self._enlarged(pixels), self.device))
        if "Q-ROUNDTRIP" in self.quirks:
            source = self._resize(source, pixels.shape[:2])
        room = torch.empty_like(source)
        for mask, box in zip(stack, self.boxes_xyxy(stack), strict=True):
            yield self._resize(self._fill(source, mask, box, IMAGENET_MEAN, room))[0]

    def framed(
        self, pixels: UInt8[Array, "h w 3"], stack: Bool[Array, "n h w"]
    ) -> Iterator[Float[Tensor, "3 size size"]]:
        """[1]'s local images: for each mask its frame, filled around the mask, normalised."""
        source = self._normalise(_unit(pixels, self.device))
        room = torch.empty_like(source)
        for mask, frame in zip(stack, self.frames_xyxy(stack), strict=True):
            yield self._resize(self._fill(source, mask, frame, CLIP_MEAN, room))[0]

    def blurred(
        self, pixels: UInt8[Array, "h w 3"], stack: Bool[Array, "n h w"]
    ) -> Iterator[Float[Tensor, "3 size size"]]:
        """[1]'s global images: for each mask its frame, blurred around the mask, normalised."""
        sharp = _unit(pixels, self.device)
        soft = _unit(cv2.GaussianBlur(np.ascontiguousarray(pixels), (BLUR_PX, BLUR_PX), 0), self.device)
        for mask, frame in zip(stack, self.frames_xyxy(stack), strict=True):
            inside = torch.from_numpy(_cut(mask, frame)).to(self.device)
            composite = torch.where(inside, _cut(sharp, frame), _cut(soft, frame))
            yield self._normalise(self._resize(composite))[0]

    def square(self, pixels: UInt8[Array, "h w 3"], size_px: int) -> Float[Tensor, "1 3 size size"]:
        """The whole image at another size, resampled as pictures are (bicubic, anti-aliased), with the model's own mean."""
        resized = Pil.fromarray(pixels).resize((size_px, size_px), Pil.Resampling.BICUBIC)
        return self._scale(_unit(np.asarray(resized), self.device), self.mean, self.std)

    def grids(self, stack: Bool[Array, "n h w"]) -> Float[Tensor, "n cells"]:
        """Each mask on the patches of the whole image, in [0, 1], row by row."""
        return self._to_grid(stack)

    def framed_grids(self, stack: Bool[Array, "n h w"]) -> Float[Tensor, "n cells"]:
        """Each mask on the patches of its frame, in [0, 1], row by row."""
        parts = [
            self._to_grid(_cut(mask, frame)[None]) for mask, frame in zip(stack, self.frames_xyxy(stack), strict=True)
        ]
        return torch.cat(parts) if parts else self._to_grid(stack)

    def inside(self, grids: Float[Tensor, "n cells"]) -> Bool[Tensor, "n cells"]:
        """The patches that count as inside a mask where it is yes or no."""
        if "Q-NONZERO" in self.quirks:
            return grids != 0
        return (grids >= INSIDE_SHARE * grids.amax(1, keepdim=True)) & (grids > 0)

    def boxes_xyxy(self, stack: Bool[Array, "n h w"]) -> list[Box]:
        """The box of each cut-out, within the image, at least one pixel large."""
        boxes_xywh = [_mass_box(mask) for mask in stack] if "Q-FSBOX" in self.quirks else boxes.from_masks(stack)
        return [_fit(box, self.context_margin, stack.shape[1:]) for box in boxes_xywh]

    def frames_xyxy(self, stack: Bool[Array, "n h w"]) -> list[Box]:
        """The frame of each mask, within the image."""
        height, width = stack.shape[1:]
        if "Q-NOCROP" in self.quirks:
            return [(0, 0, width, height)] * len(stack)
        return [_fit(box, self.frame_margin, (height, width)) for box in boxes.from_masks(stack)]

    def _enlarged(self, pixels: UInt8[Array, "h w 3"]) -> UInt8[Array, "y x 3"]:
        if "Q-ROUNDTRIP" not in self.quirks:
            return pixels
        size_wh = _roundtrip_size(*pixels.shape[1::-1])
        return np.asarray(Pil.fromarray(pixels).resize(size_wh, Pil.Resampling.BILINEAR))

    def _normalise(self, values: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if "Q-NORM" in self.quirks else (self.mean, self.std)
        return self._scale(values, mean, std)

    def _scale(
        self, values: Float[Tensor, "1 3 h w"], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> Float[Tensor, "1 3 h w"]:
        """In place: a large photograph has 150 MB."""
        return values.sub_(values.new_tensor(mean)[:, None, None]).div_(values.new_tensor(std)[:, None, None])

    def _fill(
        self,
        source: Float[Tensor, "1 3 h w"],
        mask: Bool[Array, "h w"],
        box: Box,
        grey: tuple[float, ...],
        room: Float[Tensor, "1 3 h w"],
    ) -> Float[Tensor, "1 3 y x"]:
        """A box of a normalised image; around the mask the mean colour, which is 0, or, as released, a warm grey.

        It lies in `room`, whatever was there: new memory for each box of a large photograph takes longer than filling it.
        """
        part = _cut(source, box)
        inside = torch.from_numpy(_cut(mask, box)).to(self.device)
        fill = source.new_tensor(grey if "Q-FILL" in self.quirks else (0.0, 0.0, 0.0))[:, None, None]
        return torch.where(inside, part, fill, out=room.flatten()[: part.numel()].view(part.shape))

    def _resize(
        self, values: Float[Tensor, "1 3 h w"], size_hw: tuple[int, ...] | None = None
    ) -> Float[Tensor, "1 3 y x"]:
        size_hw = size_hw or (self.size_px, self.size_px)
        if "Q-AA" in self.quirks:
            return _sample(values, size_hw)
        return F.interpolate(values, size_hw, mode=self.interpolation, align_corners=False, antialias=True)

    def _to_grid(self, stack: Bool[Array, "n h w"]) -> Float[Tensor, "n cells"]:
        if "Q-VANISH" not in self.quirks:
            return torch.from_numpy(masks.to_grid(stack, self.grid)).flatten(1).to(self.device)
        sides = self.grid, self.grid
        sampled = [
            _sample(torch.from_numpy(mask)[None, None].float(), sides).flatten().clamp(0, 1)  # weights may sum to more
            for mask in stack
        ]
        return (torch.stack(sampled) if sampled else torch.zeros(0, self.grid**2)).to(self.device)


def stacks(images: Iterator[Float[Tensor, "3 size size"]], size: int) -> Iterator[Float[Tensor, "b 3 size size"]]:
    """Collect images into batches."""
    while batch := list(islice(images, size)):
        yield torch.stack(batch)


def _unit(pixels: UInt8[Array, "h w 3"], device: str) -> Float[Tensor, "1 3 h w"]:
    """RGB in [0, 1]."""
    values = torch.from_numpy(np.array(pixels.transpose(2, 0, 1), np.float32, order="C"))[None].to(device)
    return values.div_(255)


def _cut(values: Picture, box: Box) -> Picture:
    left, top, right, bottom = box
    return values[..., top:bottom, left:right]


def _sample(values: Float[Tensor, "b c h w"], size_hw: tuple[int, ...]) -> Float[Tensor, "b c y x"]:
    """Bilinear at the centres of the new pixels, without anti-aliasing."""
    return F.interpolate(values, size_hw, mode="bilinear", align_corners=False)


def _fit(box_xywh: Float[Array, "4"], margin: float, size_hw: tuple[int, ...]) -> Box:
    """A box grown by its margin on each side, cut to the image and to integers, at least one pixel large."""
    (x, y, w, h), (height, width) = (float(value) for value in box_xywh), size_hw
    left, top = (min(max(int(low), 0), side - 1) for low, side in ((x - margin * w, width), (y - margin * h, height)))
    right = min(max(int(x + w + margin * w), left + 1), width)
    bottom = min(max(int(y + h + margin * h), top + 1), height)
    return left, top, right, bottom


def _roundtrip_size(width: int, height: int) -> tuple[int, int]:
    """Width and height with a short side of 800; less if the image is so thin that it would become huge."""
    short, long = ROUNDTRIP_PX, int(ROUNDTRIP_PX * max(width, height) / min(width, height))
    if long > ROUNDTRIP_LIMIT_PX:
        short, long = max(1, short * ROUNDTRIP_LIMIT_PX // long), ROUNDTRIP_LIMIT_PX
    return (long, short) if width > height else (short, long)


def _mass_box(mask: Bool[Array, "h w"]) -> Float[Array, "4"]:
    """XYWH: per axis the mean index of the columns (rows) that hold a pixel, and how many such columns (rows) there are."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not len(columns):
        return np.zeros(4)
    width, height = len(columns), len(rows)
    return np.array([columns.mean() - width / 2, rows.mean() - height / 2, width, height])
