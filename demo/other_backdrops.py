"""What lies behind the things of the other worlds: skies, rooms, planks, paper, and clutter that is no object."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]


def draw_backdrop(rng: np.random.Generator, kind: str, h: int, w: int, line_y: int) -> Image.Image:
    """The picture before anything stands in it.

    Args:
        kind: One of "sky", "room", "planks", "blobs", "paper", "shelf".
        line_y: Where the ground or the floor begins.
    """
    makers = {"planks": _planks, "blobs": _blobs, "paper": _paper}
    if kind in makers:
        return makers[kind](rng, h, w)
    return {"sky": _sky, "room": _room, "shelf": _shelf}[kind](rng, h, w, line_y)


def draw_clutter(rng: np.random.Generator, canvas: Image.Image, pieces: int) -> None:
    """Pebbles, twigs, lines and bits of paper: too small and too plain for a name."""
    draw = ImageDraw.Draw(canvas)
    for _ in range(pieces):
        x, y = int(rng.integers(canvas.width)), int(rng.integers(canvas.height))
        r = int(rng.integers(2, 7))
        ink = _any_colour(rng, 40, 210)
        kind = int(rng.integers(5))
        if kind == 0:
            grey = int(rng.integers(90, 190))
            draw.ellipse((x - r, y - r // 2, x + r, y + r // 2 + 1), fill=(grey, grey - 6, grey - 14))
        elif kind == 1:
            _twig(rng, draw, x, y)
        elif kind == 2:
            far = rng.integers(-60, 61, 2)
            draw.line((x, y, x + int(far[0]), y + int(far[1])), fill=ink, width=1)
        elif kind == 3:
            draw.polygon([(x + int(a), y + int(b)) for a, b in rng.integers(-r, r + 1, (3, 2))], fill=ink)
        else:
            draw.rectangle((x, y, x + r, y + int(rng.integers(2, 7))), fill=ink)


def _twig(rng: np.random.Generator, draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    dx, dy = int(rng.integers(-26, 27)), int(rng.integers(-10, 11))
    brown = (96, 70, 46)
    draw.line((x, y, x + dx, y + dy), fill=brown, width=2)
    draw.line((x + dx // 2, y + dy // 2, x + dx // 2 + 6, y + dy // 2 - 7), fill=brown, width=1)


def _any_colour(rng: np.random.Generator, low: int, high: int) -> Colour:
    r, g, b = (int(v) for v in rng.integers(low, high, 3))
    return r, g, b


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[rng.integers(len(colours))]


def _ramp(top: Colour, bottom: Colour, h: int, w: int) -> Image.Image:
    t = np.linspace(0, 1, max(h, 1))[:, None, None]
    rows = np.array(top) * (1 - t) + np.array(bottom) * t
    return Image.fromarray(np.broadcast_to(rows, (h, w, 3)).astype(np.uint8))


def _sky(rng: np.random.Generator, h: int, w: int, line_y: int) -> Image.Image:
    skies = ((120, 175, 230), (170, 200, 225), (235, 190, 160), (70, 90, 140))
    grounds = ((110, 150, 80), (200, 185, 140), (150, 160, 165), (225, 230, 238), (140, 105, 75))
    top, ground = _pick(rng, skies), _pick(rng, grounds)
    canvas = Image.new("RGB", (w, h))
    light: Colour = (min(255, top[0] + 60), min(255, top[1] + 45), min(255, top[2] + 20))
    dark: Colour = (ground[0] * 4 // 5, ground[1] * 4 // 5, ground[2] * 4 // 5)
    canvas.paste(_ramp(top, light, line_y, w), (0, 0))
    canvas.paste(_ramp(ground, dark, h - line_y, w), (0, line_y))
    draw = ImageDraw.Draw(canvas)
    if rng.random() < 0.5:  # hills
        for x in range(-40, w, int(rng.integers(90, 180))):
            r = int(rng.integers(50, 110))
            draw.chord((x, line_y - r // 3, x + 2 * r, line_y + r // 3), 180, 360, fill=dark)
    for _ in range(int(rng.integers(0, 4))):  # clouds
        x, y = int(rng.integers(w)), int(rng.integers(max(1, line_y * 2 // 3)))
        for k in range(3):
            draw.ellipse((x + 16 * k, y - 5 * (k % 2), x + 16 * k + 30, y + 12), fill=light)
    return canvas.filter(ImageFilter.GaussianBlur(0.8))


def _room(rng: np.random.Generator, h: int, w: int, line_y: int) -> Image.Image:
    walls = ((225, 215, 195), (175, 195, 190), (205, 180, 175), (160, 170, 195), (240, 240, 235))
    floors = ((150, 110, 75), (120, 120, 125), (190, 165, 130), (95, 75, 65))
    wall, floor = _pick(rng, walls), _pick(rng, floors)
    canvas = Image.new("RGB", (w, h), wall)
    draw = ImageDraw.Draw(canvas)
    if rng.random() < 0.5:  # wallpaper
        for x in range(0, w, int(rng.integers(18, 46))):
            draw.line((x, 0, x, line_y), fill=(wall[0] - 10, wall[1] - 10, wall[2] - 10), width=3)
    draw.rectangle((0, line_y, w, h), fill=floor)
    draw.rectangle((0, line_y - 5, w, line_y), fill=(wall[0] - 40, wall[1] - 40, wall[2] - 40))
    for k in range(-8, 17):  # boards that run away from the eye
        x = w * k // 8
        draw.line((w // 2 + (x - w // 2) // 2, line_y, x, h), fill=(floor[0] - 15, floor[1] - 15, floor[2] - 15))
    return canvas


def _planks(rng: np.random.Generator, h: int, w: int) -> Image.Image:
    wood = np.array(_pick(rng, ((176, 132, 88), (205, 170, 125), (120, 90, 66), (185, 180, 170))), np.float32)
    high = int(rng.integers(36, 80))
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    plank = (y // high).astype(int)
    shade = rng.uniform(-16, 16, plank.max() + 1)[plank]
    shift = rng.uniform(0, 50, plank.max() + 1)[plank]
    grain = 6 * np.sin((y + 5 * np.sin((x + shift * 9) / 60)) / 2.6 + shift)
    pixels = wood + (shade + grain)[..., None]
    pixels[(y % high) < 2] *= 0.6
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _blobs(rng: np.random.Generator, h: int, w: int) -> Image.Image:
    canvas = Image.new("RGB", (w, h), _any_colour(rng, 60, 220))
    draw = ImageDraw.Draw(canvas)
    for _ in range(14):
        x, y, r = int(rng.integers(w)), int(rng.integers(h)), int(rng.integers(30, 110))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_any_colour(rng, 50, 230))
    return canvas.filter(ImageFilter.GaussianBlur(24))


def _paper(rng: np.random.Generator, h: int, w: int) -> Image.Image:
    canvas = Image.new("RGB", (w, h), _pick(rng, ((248, 245, 232), (238, 240, 245), (232, 222, 196))))
    draw = ImageDraw.Draw(canvas)
    step = int(rng.integers(16, 34))
    for y in range(step, h, step):
        draw.line((0, y, w, y), fill=(180, 200, 220))
    if rng.random() < 0.5:
        for x in range(step, w, step):
            draw.line((x, 0, x, h), fill=(180, 200, 220))
    else:
        draw.line((step * 2, 0, step * 2, h), fill=(220, 150, 150))
    return canvas


def _shelf(rng: np.random.Generator, h: int, w: int, line_y: int) -> Image.Image:
    """A bookcase with a board every `line_y` pixels."""
    back = _pick(rng, ((214, 200, 180), (90, 84, 80), (190, 200, 205), (150, 120, 100)))
    board: Colour = (back[0] * 3 // 5, back[1] * 3 // 5, back[2] * 3 // 5)
    canvas = _ramp(back, (back[0] - 20, back[1] - 20, back[2] - 20), h, w)
    draw = ImageDraw.Draw(canvas)
    for y in range(line_y, h + line_y, line_y):
        draw.rectangle((0, y, w, y + 8), fill=board)
        draw.rectangle((0, y + 9, w, y + 13), fill=(back[0] - 34, back[1] - 34, back[2] - 34))
    draw.rectangle((0, 0, 6, h), fill=board)
    draw.rectangle((w - 7, 0, w, h), fill=board)
    return canvas
