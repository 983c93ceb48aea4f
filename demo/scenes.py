"""Synthetic scenes with exact masks: sprites on a background, the same bytes for the same seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from demo.sprites import Sprite, sprites, vocabulary

SIZES_HW = ((320, 320), (320, 320), (320, 320), (300, 400), (400, 300), (288, 448), (360, 360))
"""Canvas sizes drawn from; square ones are the commonest."""
OBJECT_PX = (44.0, 150.0)
"""Longer side of an object on a 320 px canvas, drawn log-uniformly."""
TINTED = 0.5
"""Share of the objects that get one of the vocabulary's tints."""
REPEATED = 0.34
"""Share of the objects that repeat a noun of the scene, so that attributes and relations matter."""
MIN_VISIBLE = 0.7
"""Least share of an object that the others may leave visible."""


@dataclass(frozen=True)
class SceneObject:
    """One object of a scene.

    Attributes:
        mask: bool (H, W), the visible pixels.
        box_xywh: Tight box of the visible pixels.
        colours: Every colour name somebody may call it.
        colour: The colour it plainly has, or None.
    """

    noun: str
    sprite: str
    tint: str | None
    colour: str | None
    colours: frozenset[str]
    mask: np.ndarray
    box_xywh: tuple[int, int, int, int]
    held_out: bool

    @property
    def centre_xy(self) -> tuple[float, float]:
        """Centre of the box, in pixels."""
        x, y, w, h = self.box_xywh
        return x + w / 2, y + h / 2


@dataclass(frozen=True)
class Scene:
    """An image with its objects.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        objects: Back to front.
    """

    seed: int
    image: np.ndarray
    objects: tuple[SceneObject, ...]


def make_scene(
    seed: int,
    *,
    held_out: bool = False,
    size_hw: tuple[int, int] | None = None,
    drawings: Mapping[str, Sequence[Sprite]] | None = None,
) -> Scene:
    """Draw the scene of a seed.

    Args:
        seed: Any non-negative integer.
        held_out: Also use the sprites that training never sees.
        size_hw: Canvas size; drawn from `SIZES_HW` if not given.
        drawings: By noun, instead of the sprites.
    """
    drawings = drawings or sprites()
    rng = np.random.default_rng(seed)
    drawn_hw = SIZES_HW[rng.integers(len(SIZES_HW))]
    h, w = size_hw or drawn_hw
    canvas = _background(rng, h, w)
    wanted = int(rng.integers(3, 8))
    placed: list[tuple[Sprite, str | None]] = []
    visible: list[np.ndarray] = []
    full_px: list[int] = []
    for _ in range(wanted * 4):
        if len(placed) == wanted:
            break
        sprite, tint = _choose(rng, drawings, [sprite for sprite, _ in placed], held_out)
        drawing = _pose(rng, sprite.rgba, tint, scale=(h * w) ** 0.5 / 320)
        dh, dw = drawing.shape[:2]
        if dh >= h or dw >= w:
            continue
        y, x = int(rng.integers(0, h - dh)), int(rng.integers(0, w - dw))
        solid = np.zeros((h, w), bool)
        solid[y : y + dh, x : x + dw] = drawing[..., 3] > 127
        still_visible = [mask & ~solid for mask in visible]
        if any(mask.sum() < MIN_VISIBLE * px for mask, px in zip(still_visible, full_px, strict=True)):
            continue
        alpha = drawing[..., 3:].astype(np.float32) / 255
        patch = canvas[y : y + dh, x : x + dw]
        patch[:] = patch * (1 - alpha) + drawing[..., :3] * alpha
        placed.append((sprite, tint))
        visible = [*still_visible, solid]
        full_px.append(int(solid.sum()))
    return Scene(
        seed=seed,
        image=_jitter(rng, canvas),
        objects=tuple(_describe(s, t, mask) for (s, t), mask in zip(placed, visible, strict=True)),
    )


def _describe(sprite: Sprite, tint: str | None, mask: np.ndarray) -> SceneObject:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return SceneObject(
        noun=sprite.noun,
        sprite=sprite.name,
        tint=tint,
        colour=tint or sprite.main,
        colours=frozenset([tint]) if tint else sprite.may_be,
        mask=mask,
        box_xywh=(int(cols[0]), int(rows[0]), int(cols[-1] - cols[0] + 1), int(rows[-1] - rows[0] + 1)),
        held_out=sprite.held_out,
    )


def _choose(
    rng: np.random.Generator, drawings: Mapping[str, Sequence[Sprite]], before: list[Sprite], held_out: bool
) -> tuple[Sprite, str | None]:
    nouns = list(drawings)
    noun = (
        before[rng.integers(len(before))].noun
        if before and rng.random() < REPEATED
        else nouns[rng.integers(len(nouns))]
    )
    allowed = [sprite for sprite in drawings[noun] if held_out or not sprite.held_out]
    tints = list(vocabulary()["tints"])
    tint = tints[rng.integers(len(tints))] if rng.random() < TINTED else None
    return allowed[rng.integers(len(allowed))], tint


def _pose(rng: np.random.Generator, rgba: np.ndarray, tint: str | None, scale: float) -> np.ndarray:
    """Size, flip, turn and tint one drawing: uint8 (h, w, 4)."""
    longest = float(np.exp(rng.uniform(*np.log(OBJECT_PX)))) * scale
    ratio = longest / max(rgba.shape[:2])
    size_wh = (max(8, round(rgba.shape[1] * ratio)), max(8, round(rgba.shape[0] * ratio)))
    drawing = Image.fromarray(rgba).resize(size_wh, Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    drawing = drawing.rotate(float(rng.uniform(-22, 22)), Image.Resampling.BILINEAR, expand=True)
    box = drawing.getchannel("A").point(lambda a: 255 if a > 127 else 0).getbbox()
    pixels = np.asarray(drawing.crop(box)).copy()
    return _tint(pixels, tint) if tint else pixels


def _tint(rgba: np.ndarray, tint: str) -> np.ndarray:
    """Lay a tint over the luminance; black, white and gray become ramps so that the drawing stays readable."""
    hue, saturation, value = vocabulary()["tints"][tint]
    luminance = rgba[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255
    if saturation == 0:
        rgb = np.repeat(np.clip(value + (luminance - 0.55) * 0.35, 0.03, 1)[..., None], 3, 2)
    else:
        shade = np.clip(0.45 + 0.75 * luminance, 0, 1.1)[..., None]
        rgb = np.clip(_hsv_to_rgb(hue, saturation, value) * shade, 0, 1)
    out = rgba.copy()
    out[..., :3] = (rgb * 255).astype(np.uint8)
    return out


def _hsv_to_rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    k = (np.array([5, 3, 1], np.float32) + hue * 6) % 6
    return value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)


def _background(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    """float32 (h, w, 3), 0..255: plain, gradient, stripes, checks, smooth noise or fine noise."""
    kind = int(rng.integers(6))
    one, two = (rng.uniform(40, 240, 3).astype(np.float32) for _ in range(2))
    two = one + (two - one) * np.float32(rng.uniform(0.15, 0.8))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    mix: np.ndarray
    if kind == 0:
        mix = np.zeros((h, w), np.float32)
    elif kind == 1:
        angle = rng.uniform(0, 2 * np.pi)
        ramp = np.cos(angle) * x / w + np.sin(angle) * y / h
        mix = (ramp - ramp.min()) / (ramp.max() - ramp.min())
    elif kind == 2:
        angle, period = rng.uniform(0, np.pi), rng.uniform(14, 60)
        mix = ((np.cos(angle) * x + np.sin(angle) * y) // period % 2).astype(np.float32)
    elif kind == 3:
        side = rng.uniform(14, 60)
        mix = ((x // side + y // side) % 2).astype(np.float32)
    elif kind == 4:
        cells = int(rng.integers(3, 9))
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells)).astype(np.uint8))
        mix = np.asarray(coarse.resize((w, h), Image.Resampling.BICUBIC), np.float32) / 255
    else:
        mix = rng.random((h, w), np.float32)
    return one + (two - one) * mix[..., None]


def _jitter(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Brightness, contrast, colour cast and sensor noise, then uint8."""
    gain = rng.uniform(0.85, 1.12) * rng.uniform(0.96, 1.04, 3)
    noisy = (canvas - 128) * gain + 128 + rng.uniform(-14, 14)
    noisy += rng.normal(0, rng.uniform(0, 5), (*canvas.shape[:2], 1))
    return np.clip(noisy, 0, 255).astype(np.uint8)
