"""What CLIP-tiny sees: for every scene, the crops, in-place composites and masked frames that the methods feed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from demo.captions import OPPOSITE, Caption, describe, describe_pair, name_class
from demo.scenes import Scene, SceneObject, make_scene
from demo.sprites import vocabulary

IMAGE_PX = 96
GRID = 8
"""Patches per side."""
MEAN_RGB = np.array([123, 117, 104], np.uint8)
"""CLIP's mean colour: 0 in normalised space, up to rounding."""
BLUR_SIGMA = 2.6
"""Of the Gaussian over the background of in-place views, in pixels."""
CELL_PX = 5
"""Cells of SAM-tiny's mask logits on a 320 px scene; noisy masks get edges of this coarseness."""
FEW = 0.02
"""Where no grid cell is covered more than this, the best one is kept."""
NOUNS = {noun: i for i, noun in enumerate(vocabulary()["classes"])}
COLOURS = {colour: i for i, colour in enumerate(vocabulary()["tints"])}
AXES = {"left": 0, "above": 1, "near": 2}
"""Relations of two-object views; "right" and "below" are these two with the objects swapped."""


@dataclass
class Labels:
    """What V views show or T captions say, as index arrays; -1 is nothing.

    Attributes:
        noun, colour, other, axis: int64 (N,).
        may_be: bool (N, 11), every colour the object may be called. All False for captions.
        near: bool (N,), whether the two objects of a view are next to each other.
    """

    noun: Tensor
    colour: Tensor
    other: Tensor
    axis: Tensor
    may_be: Tensor
    near: Tensor


@dataclass
class Batch:
    """Views and captions of a few scenes; pixels are uint8, grids are float32 (N, 64) in [0, 1].

    The views' order in `labels`: crops, in-place masked, in-place blurred, the two mixed, frames by token masking (one
    per grid), frames by class-row masking (the grids of `row_grids`).
    """

    crops: Tensor  # (C, 3, 96, 96)
    masked: Tensor  # (P, 3, 96, 96)
    blurred: Tensor  # (P, 3, 96, 96)
    pair_grids: Tensor  # (P, 64)
    frames: Tensor  # (S, 3, 96, 96)
    frame_of: Tensor  # (M,)
    grids: Tensor  # (M, 64)
    row_of: Tensor  # (R,) indices into the M grids
    owners: Tensor  # (S, 64) noun of the object that covers the patch, -1 none, -2 unclear
    labels: Labels
    captions: list[Caption]
    said: Labels

    def to(self, device: str) -> "Batch":
        """The same batch on a device."""
        return _to(self, device)


def make_batch(scene_seeds: Sequence[int]) -> Batch:
    """Draw the scenes and cut their views; the first 60 captions name the vocabulary's nouns in order."""
    rng = np.random.default_rng([scene_seeds[0], 2])
    crops = list[np.ndarray]()
    masked, blurred, pair_grids = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    frames, owners, grids = list[np.ndarray](), list[np.ndarray](), list[np.ndarray]()
    frame_of, row_of = list[int](), list[int]()
    crop_labels, pair_labels, frame_labels = list[tuple](), list[tuple](), list[tuple]()
    captions = {caption.text: caption for caption in (name_class(rng, noun) for noun in NOUNS)}
    for s, seed in enumerate(scene_seeds):
        scene = make_scene(seed)
        soft_background = np.asarray(Image.fromarray(scene.image).filter(ImageFilter.GaussianBlur(BLUR_SIGMA)))
        frames.append(squash(scene.image))
        owners.append(own_patches(scene))
        in_place = set(rng.permutation(len(scene.objects))[:2])
        for i, item in enumerate(scene.objects):
            proposal = propose(rng, scene, i) if rng.random() < 0.6 else item.mask
            label = (NOUNS[item.noun], COLOURS.get(item.colour or "", -1), -1, -1, may_be(item), False)
            crops.append(cut(rng, scene.image, proposal, fill=True))
            crop_labels.append(label)
            if i in in_place:
                crops.append(cut(rng, scene.image, proposal, fill=False))
                crop_labels.append(label)
                masked.append(squash(np.where(proposal[..., None], scene.image, MEAN_RGB)))
                blurred.append(squash(np.where(proposal[..., None], scene.image, soft_background)))
                pair_grids.append(to_grid(rng, proposal))
                pair_labels.append(label)
            if rng.random() < 0.5:
                row_of.append(len(grids))
            frame_of.append(s)
            grids.append(to_grid(rng, proposal))
            frame_labels.append(label)
            for caption in _say(rng, scene, item):
                captions.setdefault(caption.text, caption)
        pair = _window(rng, scene)
        if pair:
            pixels, label, said = pair
            crops.append(pixels)
            crop_labels.append(label)
            for caption in said:
                captions.setdefault(caption.text, caption)
    object_labels = [*crop_labels, *pair_labels, *pair_labels, *pair_labels, *frame_labels]
    texts = list(captions.values())
    return Batch(
        crops=_pixels(crops),
        masked=_pixels(masked),
        blurred=_pixels(blurred),
        pair_grids=torch.from_numpy(np.stack(pair_grids)),
        frames=_pixels(frames),
        frame_of=torch.tensor(frame_of),
        grids=torch.from_numpy(np.stack(grids)),
        row_of=torch.tensor(row_of, dtype=torch.int64),
        owners=torch.from_numpy(np.stack(owners)),
        labels=_labels([*object_labels, *(frame_labels[i] for i in row_of)]),
        captions=texts,
        said=_labels([_meaning(caption) for caption in texts]),
    )


def match(seen: Labels, said: Labels) -> tuple[Tensor, Tensor]:
    """Which captions are true and which are false of which views: two bool (V, T); what is unclear is in neither."""
    noun, other, axis = seen.noun[:, None], seen.other[:, None], seen.axis[:, None]
    any_noun = said.noun < 0
    view_is_pair, text_is_pair = axis >= 0, (said.axis >= 0)[None]
    same_noun = (noun == said.noun) | any_noun
    no_colour = (said.colour < 0)[None]
    plainly = no_colour | (seen.colour[:, None] == said.colour)
    perhaps = plainly | seen.may_be[:, said.colour.clamp(min=0)]
    one_of_two = (noun == said.noun) | (noun == said.other) | (other == said.noun) | (other == said.other) | any_noun
    straight = (noun == said.noun) & (other == said.other)
    swapped = (noun == said.other) & (other == said.noun)
    says_near = (said.axis == AXES["near"])[None]
    related = torch.where(says_near, (straight | swapped) & seen.near[:, None], straight & (axis == said.axis))
    contrary = swapped & (axis == said.axis)
    single = ~view_is_pair & ~text_is_pair
    double = view_is_pair & text_is_pair
    true = torch.where(single, same_noun & plainly, double & related)
    false_of_pair = torch.where(double, ~(straight | swapped) | contrary, ~one_of_two)
    false = torch.where(single, ~(same_noun & perhaps), false_of_pair)
    return true, false & ~true


def propose(rng: np.random.Generator, scene: Scene, index: int) -> np.ndarray:
    """A mask as a small model would propose it: coarse, too large or small, at times with a part of a neighbour."""
    mask = scene.objects[index].mask
    h, w = mask.shape
    x, y, bw, bh = scene.objects[index].box_xywh
    margin = 3 * CELL_PX
    top, left, bottom, right = max(0, y - margin), max(0, x - margin), min(h, y + bh + margin), min(w, x + bw + margin)
    part = mask[top:bottom, left:right].astype(np.float32)
    if rng.random() < 0.3:
        for i, neighbour in enumerate(scene.objects):
            if i != index:
                part += neighbour.mask[top:bottom, left:right] * np.float32(rng.random() < 0.5)
    cells_wh = (max(2, round(part.shape[1] / CELL_PX)), max(2, round(part.shape[0] / CELL_PX)))
    coarse = np.asarray(Image.fromarray(part.clip(0, 1)).resize(cells_wh, Image.Resampling.BOX))
    coarse = coarse + rng.normal(0, rng.uniform(0, 0.25), coarse.shape).astype(np.float32)
    smooth = np.asarray(Image.fromarray(coarse).resize((part.shape[1], part.shape[0]), Image.Resampling.BILINEAR))
    noisy = np.zeros_like(mask)
    noisy[top:bottom, left:right] = smooth > rng.uniform(0.3, 0.7)
    return noisy if (noisy & mask).sum() >= 0.4 * mask.sum() else mask


def cut(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, fill: bool) -> np.ndarray:
    """The mask's box, squashed to a square: mean colour outside the mask with `fill`, else a little context around."""
    h, w = mask.shape
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    if not fill or rng.random() < 0.2:
        grow_y, grow_x = (int((b - a) * rng.uniform(0, 0.15)) for a, b in ((top, bottom), (left, right)))
        top, bottom = max(0, top - grow_y), min(h, bottom + grow_y)
        left, right = max(0, left - grow_x), min(w, right + grow_x)
    part = image[top:bottom, left:right]
    if fill:
        part = np.where(mask[top:bottom, left:right, None], part, MEAN_RGB)
    return squash(part)


def squash(image: np.ndarray) -> np.ndarray:
    """Anti-aliased bilinear resize to the model's square, aspect ignored: uint8 (96, 96, 3)."""
    return np.asarray(Image.fromarray(image).resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BILINEAR))


def to_grid(rng: np.random.Generator | None, mask: np.ndarray) -> np.ndarray:
    """Share of each patch that the mask covers, float32 (64,); with a generator, at times only well-covered patches."""
    share = np.asarray(Image.fromarray(mask.astype(np.float32)).resize((GRID, GRID), Image.Resampling.BOX)).ravel()
    floor = FEW if rng is None or rng.random() < 0.6 else 0.25 * share.max()
    kept = np.where((share > floor) | (share == share.max()), share, np.float32(0))
    return kept.astype(np.float32)


def own_patches(scene: Scene) -> np.ndarray:
    """int64 (64,): the noun that covers at least half of the patch, -1 for background, -2 for what is between."""
    shares = np.stack([to_grid(None, item.mask) for item in scene.objects])
    best = shares.argmax(0)
    nouns = np.array([NOUNS[item.noun] for item in scene.objects])
    return np.where(shares.max(0) >= 0.5, nouns[best], np.where(shares.sum(0) < 0.05, -1, -2))


def may_be(item: SceneObject) -> tuple[bool, ...]:
    """For each colour of the vocabulary: may the object be called by it?"""
    return tuple(colour in item.colours for colour in COLOURS)


def _say(rng: np.random.Generator, scene: Scene, item: SceneObject) -> list[Caption]:
    """A caption of the object and one that is wrong: another colour, another noun, or subject and object exchanged."""
    others = tuple(o.noun for o in scene.objects if o.noun != item.noun)
    colour = item.colour if rng.random() < 0.7 else None
    right = describe(rng, item.noun, colour, others)
    draw = rng.random()
    if item.colour and draw < 0.5:
        wrong_colours = [name for name in COLOURS if name not in item.colours]
        return [right, describe(rng, item.noun, wrong_colours[rng.integers(len(wrong_colours))], others)]
    nouns = others if others and draw < 0.75 else tuple(NOUNS)
    return [right, describe(rng, nouns[rng.integers(len(nouns))], item.colour, (item.noun,))]


def _window(rng: np.random.Generator, scene: Scene) -> tuple[np.ndarray, tuple, list[Caption]] | None:
    """Two objects with a clear relation in one crop that shows little of any third."""
    items = scene.objects
    order = [(i, j) for i in range(len(items)) for j in range(len(items)) if i != j and items[i].noun != items[j].noun]
    for k in rng.permutation(len(order))[:12]:
        a, b = (items[i] for i in order[k])
        (ax, ay), (bx, by) = a.centre_xy, b.centre_xy
        dx, dy = bx - ax, by - ay
        axis = "left" if dx > 2 * abs(dy) else "above" if dy > 2 * abs(dx) else None
        if axis is None:
            continue
        x0, y0 = (min(a.box_xywh[d], b.box_xywh[d]) for d in (0, 1))
        x1, y1 = (max(a.box_xywh[d] + a.box_xywh[d + 2], b.box_xywh[d] + b.box_xywh[d + 2]) for d in (0, 1))
        third = sum(o.mask[y0:y1, x0:x1].sum() for o in items if o is not a and o is not b)
        if third > 0.08 * (x1 - x0) * (y1 - y0):
            continue
        d = 0 if axis == "left" else 1
        near = abs((bx, by)[d] - (ax, ay)[d]) < 0.75 * (a.box_xywh[2 + d] + b.box_xywh[2 + d])
        label = (NOUNS[a.noun], -1, NOUNS[b.noun], AXES[axis], (False,) * len(COLOURS), near)
        first, second, said = (a.noun, b.noun, axis) if rng.random() < 0.5 else (b.noun, a.noun, OPPOSITE[axis])
        captions = [describe_pair(rng, first, said, second), describe_pair(rng, second, said, first)]
        if near:
            captions.append(describe_pair(rng, first, "near", second))
        return squash(scene.image[y0:y1, x0:x1]), label, captions
    return None


def _meaning(caption: Caption) -> tuple:
    noun = NOUNS[caption.noun] if caption.noun else -1
    colour = COLOURS[caption.colour] if caption.colour else -1
    nothing = (False,) * len(COLOURS)
    if not caption.relation or not caption.other:
        return noun, colour, -1, -1, nothing, False
    other = NOUNS[caption.other]
    if caption.relation in ("right", "below"):
        noun, other = other, noun
    axis = AXES[OPPOSITE[caption.relation] if caption.relation in ("right", "below") else caption.relation]
    return noun, colour, other, axis, nothing, caption.relation == "near"


def _to(record: Any, device: str) -> Any:
    """A copy of a dataclass whose tensors, also those within its dataclasses, are on a device."""
    moved = {
        name: value.to(device) if isinstance(value, Tensor) else _to(value, device)
        for name, value in vars(record).items()
        if isinstance(value, Tensor | Labels)
    }
    return replace(record, **moved)


def _labels(rows: list[tuple]) -> Labels:
    noun, colour, other, axis, may, near = (torch.tensor(column) for column in zip(*rows, strict=True))
    return Labels(noun, colour, other, axis, may, near)


def _pixels(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
