"""Scenes by another hand than `demo.scenes`: other drawings, layouts, backgrounds and shapes of the picture.

Three worlds share the code and no drawing: "second" is measured, "practice" may be fitted on, "held" is kept back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from demo.other_backdrops import draw_backdrop, draw_clutter
from demo.other_drawings import name_colours, other_drawings
from demo.scenes import Scene, SceneObject
from demo.sprites import Sprite
from ris_core.arrays import Array

MIN_SIDE = 20
"""Least shorter side of an object's visible box, in pixels."""
MIN_UNCOVERED = 0.6
"""Least share of an object in the picture that others leave visible."""
MIN_INSIDE = 0.55
"""Least share of an object that the picture's edge leaves visible."""
GREY = 0.1
"""Share of the scenes without colour."""
MIN_CONTRAST = 16
"""Least mean difference in brightness, of 255, from what an object stands before."""
THIN = 0.1
"""Share of the objects that are squeezed along one side."""


@dataclass(frozen=True)
class ObjectSlot:
    """Where a thing may stand.

    Attributes:
        x: Of its middle.
        y: Of its foot if `stands`, else of its middle.
        longest: Its longer side.
    """

    x: float
    y: float
    longest: float
    stands: bool


@dataclass(frozen=True)
class SceneWorld:
    """What scenes are made of.

    Attributes:
        key: Part of every random seed.
        sets: Of `demo.other_drawings.SETS`.
        sizes_hw: Canvas sizes drawn from.
        layouts: Names of the layouts drawn from.
    """

    key: int
    sets: tuple[str, ...]
    sizes_hw: tuple[tuple[int, int], ...]
    layouts: tuple[str, ...]


WORLDS = {
    "second": SceneWorld(
        2,
        ("twemoji", "fluent-emoji-flat"),
        ((360, 640), (640, 480), (480, 640), (256, 256), (320, 426), (270, 480)),
        ("row", "cluster", "ground", "giant", "scatter", "rows"),
    ),
    "practice": SceneWorld(
        3,
        ("emojione",),
        ((338, 600), (560, 420), (450, 600), (288, 288), (384, 512), (300, 533)),
        ("row", "cluster", "ground", "giant", "scatter"),
    ),
    "held": SceneWorld(4, ("fxemoji",), ((420, 560), (560, 420), (350, 350), (315, 560)), ("grid", "ring", "slope")),
}
BACKDROPS = {
    "row": ("room", "planks"), "rows": ("shelf",), "cluster": ("planks", "blobs", "paper"), "ground": ("sky", "sky", "room"),
    "giant": ("sky", "room", "paper"), "scatter": ("blobs", "paper", "planks"), "grid": ("shelf",),
    "ring": ("planks", "paper"), "slope": ("sky", "blobs"),
}  # fmt: skip
"""Backgrounds that go with a layout."""


def make_other_scene(world: str, seed: int) -> Scene:
    """Draw the scene of a seed: the same bytes for the same seed.

    Args:
        world: A name of `WORLDS`.
        seed: Any non-negative integer.
    """
    attempt = 0
    while True:
        scene = _try_scene(WORLDS[world], seed, np.random.default_rng([seed, WORLDS[world].key, attempt]))
        if len(scene.objects) >= 3:
            return scene
        attempt += 1


def _try_scene(world: SceneWorld, seed: int, rng: np.random.Generator) -> Scene:
    h, w = world.sizes_hw[rng.integers(len(world.sizes_hw))]
    layout = world.layouts[rng.integers(len(world.layouts))]
    chosen = _choose(rng, world, int(rng.integers(4, 10)))
    slots, line_y = LAYOUTS[layout](rng, h, w, len(chosen))
    kinds = BACKDROPS[layout]
    canvas = draw_backdrop(rng, kinds[rng.integers(len(kinds))], h, w, line_y)
    draw_clutter(rng, canvas, int(rng.integers(0, 14)))
    placed: list[Sprite] = []
    insides: list[Array] = []
    visible: list[Array] = []
    for sprite, slot in zip(chosen, slots, strict=False):
        drawing = _pose(rng, sprite.rgba, slot.longest)
        x = round(slot.x - drawing.width / 2)
        y = round(slot.y - drawing.height * (1 if slot.stands else 0.5))
        inside = _solid(drawing, x, y, h, w)
        rest = [mask & ~inside for mask in visible]
        may_stand = _may_stand(inside, int(_opaque(drawing).sum()), rest, insides)
        if not may_stand or _contrast(canvas, drawing, x, y) < MIN_CONTRAST:
            continue
        _paste(canvas, drawing, x, y, slot.stands)
        placed.append(sprite)
        insides.append(inside)
        visible = [*rest, inside]
    image = _expose(rng, canvas)
    objects = (_describe(sprite, mask, image) for sprite, mask in zip(placed, visible, strict=True))
    return Scene(seed=seed, image=image, objects=tuple(objects))


def _choose(rng: np.random.Generator, world: SceneWorld, wanted: int) -> list[Sprite]:
    """Drawings of some nouns, often several of one, in any order."""
    by_noun: dict[str, list[Sprite]] = {}
    for name in world.sets:
        for noun, drawings in other_drawings(name).items():
            by_noun.setdefault(noun, []).extend(drawings)
    nouns = [list(by_noun)[i] for i in rng.permutation(len(by_noun))]
    counts = [int(rng.choice([2, 3, 3, 4])) if rng.random() < 0.85 else 1, int(rng.random() < 0.4) + 1]
    wished = [noun for i, noun in enumerate(nouns) for _ in range(counts[i] if i < 2 else 1)][:wanted]
    chosen = []
    for noun in wished:
        drawings = by_noun[noun]
        one = drawings[0] if rng.random() < 0.3 else drawings[rng.integers(len(drawings))]
        chosen.append(Sprite(one.name, noun, _paint(rng, one.rgba), frozenset(), None, held_out=False))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def _paint(rng: np.random.Generator, rgba: Array) -> Array:
    """Turn the hues, or lay one colour over the drawing, or leave it."""
    draw = rng.random()
    if draw < 0.4:
        return rgba
    out = rgba.copy()
    if draw < 0.65:
        hsv = np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV")).copy()
        hsv[..., 0] = hsv[..., 0] + np.uint8(rng.integers(30, 226))  # wraps around, as hues do
        out[..., :3] = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
        return out
    inks = (
        (225, 40, 40), (250, 140, 20), (250, 220, 40), (50, 165, 70), (45, 110, 220), (135, 70, 190), (250, 150, 195),
        (130, 80, 40), (45, 45, 48), (252, 252, 252), (150, 150, 152),
    )  # fmt: skip
    light = rgba[..., :3].astype(np.float32) @ np.array([0.3, 0.59, 0.11], np.float32) / 255
    strength = 0.55 + 0.45 * (light - light.min()) / max(0.05, float(light.max() - light.min()))
    ink = np.array(inks[rng.integers(len(inks))], np.float32)
    out[..., :3] = np.clip(strength[..., None] * ink, 0, 255).astype(np.uint8)
    return out


def _pose(rng: np.random.Generator, rgba: Array, longest: float) -> Image.Image:
    ratio = longest / max(rgba.shape[:2])
    sides = [rgba.shape[1] * ratio, rgba.shape[0] * ratio]
    if rng.random() < THIN:
        sides[int(rng.integers(2))] *= rng.uniform(0.5, 0.6)
    drawing = Image.fromarray(rgba).resize((max(4, round(sides[0])), max(4, round(sides[1]))), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        drawing = drawing.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BICUBIC, expand=True)
    return drawing.crop(drawing.getchannel("A").point(lambda a: 255 if a > 127 else 0).getbbox())


def _opaque(drawing: Image.Image) -> Array:
    return np.asarray(drawing.getchannel("A")) > 127


def _solid(drawing: Image.Image, x: int, y: int, h: int, w: int) -> Array:
    """Mask of the part of a drawing that lies inside the picture."""
    layer = Image.new("L", (w, h))
    layer.paste(drawing.getchannel("A"), (x, y))
    return np.asarray(layer) > 127


def _may_stand(inside: Array, full: int, rest: list[Array], insides: list[Array]) -> bool:
    if inside.sum() < MIN_INSIDE * full:
        return False
    if any(mask.sum() < MIN_UNCOVERED * before.sum() for mask, before in zip(rest, insides, strict=True)):
        return False
    return all(min(_box(mask)[2:]) >= MIN_SIDE for mask in [inside, *rest])


def _contrast(canvas: Image.Image, drawing: Image.Image, x: int, y: int) -> float:
    behind = canvas.crop((x, y, x + drawing.width, y + drawing.height)).convert("L")
    before = drawing.convert("RGB").convert("L")
    difference = np.abs(np.asarray(before, float) - np.asarray(behind, float))
    return float(difference[_opaque(drawing)].mean())


def _box(mask: Array) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(cols[0]), int(rows[0]), int(cols[-1] - cols[0] + 1), int(rows[-1] - rows[0] + 1)


def _paste(canvas: Image.Image, drawing: Image.Image, x: int, y: int, stands: bool) -> None:
    """With a soft shadow: at its foot if it stands, else behind it."""
    shadow = Image.new("L", canvas.size)
    dw, dh = drawing.size
    alpha = drawing.getchannel("A").point(lambda a: a * 2 // 5)
    if stands:
        alpha = alpha.resize((dw, max(2, dh // 6)))
        shadow.paste(alpha, (x, y + dh - alpha.height // 2))
    else:
        shadow.paste(alpha, (x + 4, y + 5))
    canvas.paste((20, 20, 28), (0, 0), shadow.filter(ImageFilter.GaussianBlur(4)))
    canvas.paste(drawing, (x, y), drawing)


def _expose(rng: np.random.Generator, canvas: Image.Image) -> Array:
    """Light from one side, a little noise, sometimes no colour: uint8 (H, W, 3)."""
    h, w = canvas.height, canvas.width
    fall = np.linspace(1 - rng.uniform(0, 0.08), 1 + rng.uniform(0, 0.05), w)
    pixels = np.asarray(canvas, float) * (fall if rng.random() < 0.5 else fall[::-1])[None, :, None]
    pixels = pixels + rng.normal(0, rng.uniform(0, 4), (h, w, 1))
    if rng.random() < GREY:
        pixels = np.repeat(pixels @ np.array([[0.3], [0.59], [0.11]]), 3, axis=2)
    lit: Array = np.clip(pixels, 0, 255).astype(np.uint8)
    return lit


def _describe(sprite: Sprite, mask: Array, image: Array) -> SceneObject:
    colours, colour = _call_colours(image[mask])
    return SceneObject(
        noun=sprite.noun,
        sprite=sprite.name,
        tint=None,
        colour=colour,
        colours=colours,
        mask=mask,
        box_xywh=_box(mask),
        held_out=False,
    )


def _call_colours(pixels: Array) -> tuple[frozenset[str], str | None]:
    """Names of an object's colours as different eyes and screens see them; none in a picture without colour.

    Args:
        pixels: uint8 (n, 3).
    """
    if (pixels == pixels[:, :1]).all():
        return frozenset(), None
    hsv = np.asarray(Image.fromarray(pixels[None]).convert("HSV")).astype(np.int32)
    may_be: frozenset[str] = frozenset()
    mains = set()
    for turn, gain in ((0, 1.0), (3, 1.0), (-3, 1.0), (0, 0.87), (0, 1.12)):
        seen = hsv.copy()
        seen[..., 0] = (seen[..., 0] + turn) % 256
        seen[..., 2] = np.clip(seen[..., 2] * gain, 0, 255)
        rgb = np.asarray(Image.fromarray(seen.astype(np.uint8), "HSV").convert("RGB"))
        names, main = name_colours(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]))
        may_be |= names
        mains.add(main)
    return may_be, mains.pop() if len(mains) == 1 else None


Layout = Callable[[np.random.Generator, int, int, int], tuple[list[ObjectSlot], int]]


def _row(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """On one line, such as a table's edge."""
    line_y = round(h * rng.uniform(0.5, 0.7))
    foot = line_y + h * rng.uniform(0.08, 0.2)
    xs = (np.arange(count) + 0.5 + rng.uniform(-0.2, 0.2, count)) * w / count
    return [
        ObjectSlot(x, foot + rng.uniform(-3, 3), min(h * 0.5, w / count * rng.uniform(0.7, 1.25)), True) for x in xs
    ], line_y


def _rows(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """On two or three boards."""
    boards = 2 if h < w else 3
    step = h // boards
    columns = max(3, -(-count // boards))
    slots = [
        ObjectSlot(
            (i % columns + 0.5 + rng.uniform(-0.15, 0.15)) * w / columns,
            step * (i // columns + 1),
            min(step * 0.85, w / columns) * rng.uniform(0.45, 0.95),
            True,
        )
        for i in range(boards * columns)
    ]
    return [slots[i] for i in rng.permutation(len(slots))], step


def _cluster(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """Heaps around two or three middles, close enough to cover each other."""
    middles = rng.uniform((0.2, 0.25), (0.8, 0.75), (int(rng.integers(2, 4)), 2)) * (w, h)
    spread = min(h, w) * 0.17
    slots = []
    for i in range(count):
        x, y = middles[i % len(middles)] + rng.normal(0, spread, 2)
        slots.append(ObjectSlot(x, y, min(h, w) * rng.uniform(0.14, 0.3), False))
    return slots, h // 2


def _ground(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """On a plain that goes off to the horizon: what is farther is higher and smaller."""
    line_y = round(h * rng.uniform(0.35, 0.5))
    depths = np.sort(rng.uniform(0.08, 1.02, count))
    slots = [
        ObjectSlot(
            rng.uniform(0.02, 0.98) * w,
            line_y + (h - line_y) * depth,
            min(h, w) * (0.1 + 0.33 * depth) * rng.uniform(0.8, 1.2),
            True,
        )
        for depth in depths
    ]
    return slots, line_y


def _giant(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """One big thing, and small ones around and before it."""
    line_y = round(h * 0.55)
    foot = h * rng.uniform(0.75, 0.9)
    slots = [ObjectSlot(w * rng.uniform(0.3, 0.7), foot, min(h, w) * rng.uniform(0.55, 0.7), True)]
    for _ in range(count - 1):
        slots.append(
            ObjectSlot(
                rng.uniform(0.05, 0.95) * w,
                foot + h * rng.uniform(-0.12, 0.1),
                min(h, w) * rng.uniform(0.12, 0.22),
                True,
            )
        )
    return slots, line_y


def _scatter(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """Anywhere, over the edge too."""
    slots = []
    for _ in range(count):
        x, y = rng.uniform(0.01, 0.99, 2) * (w, h)
        slots.append(ObjectSlot(x, y, min(h, w) * float(np.exp(rng.uniform(np.log(0.13), np.log(0.45)))), False))
    return slots, h // 2


def _grid(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """A bookcase of equal compartments, some of them empty."""
    boards = 3 if h >= w else 2
    columns = 3 if w <= h else 4
    step, wide = h // boards, w / columns
    slots = [
        ObjectSlot(
            (c + 0.5) * wide + rng.uniform(-6, 6),
            step * (r + 1),
            min(step * 0.8, wide * 0.9) * rng.uniform(0.4, 1),
            True,
        )
        for r in range(boards)
        for c in range(columns)
    ]
    return [slots[i] for i in rng.permutation(len(slots))], step


def _ring(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """In a circle, as on a round table, with one in its middle."""
    angles = rng.uniform(0, 2 * np.pi) + np.arange(count - 1) * 2 * np.pi / max(1, count - 1)
    around = [
        ObjectSlot(
            w * (0.5 + 0.37 * np.cos(a)), h * (0.5 + 0.36 * np.sin(a)), min(h, w) * rng.uniform(0.13, 0.27), False
        )
        for a in angles
    ]
    return [ObjectSlot(w / 2, h / 2, min(h, w) * rng.uniform(0.15, 0.35), False), *around], h // 2


def _slope(rng: np.random.Generator, h: int, w: int, count: int) -> tuple[list[ObjectSlot], int]:
    """Along a line from one corner to the other."""
    falls = rng.random() < 0.5
    slots = []
    for i in range(count):
        t = (i + 0.5 + rng.uniform(-0.3, 0.3)) / count
        y = h * (0.15 + 0.7 * (t if falls else 1 - t)) + rng.normal(0, h * 0.05)
        slots.append(ObjectSlot(w * t, y, min(h, w) * rng.uniform(0.13, 0.3), False))
    return slots, round(h * 0.6)


LAYOUTS: dict[str, Layout] = {
    "row": _row, "rows": _rows, "cluster": _cluster, "ground": _ground, "giant": _giant, "scatter": _scatter,
    "grid": _grid, "ring": _ring, "slope": _slope,
}  # fmt: skip
