"""Referring expressions for scenes, each with its exact targets.

An expression is only made where it is unambiguous: under every colour name an object may be called by, and with clear
margins in the geometry, so that no reader would point at another object.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from demo.captions import PLURAL_ONLY, plural
from demo.scenes import Scene, SceneObject
from demo.sprites import vocabulary

MOST_PER_KIND = 2
"""Expressions of one kind per scene."""
CLEARLY_LARGER = 1.4
"""Least ratio of areas, by mask and by box, from which one object is the larger."""
CLEARLY_APART = 0.08
"""Least distance of two centres along an axis, in sides, for one to come before the other."""
CLEARLY_BESIDE = 0.1
"""Least distance from an object, in sides, to stand left or right of it, above or below."""
NOT_BESIDE = 0.03
"""From this far on the other side, in sides, an object clearly does not."""
TOUCHING, AWAY = 0.06, 0.2
"""Gaps between boxes, in sides: at most the first is next to, from the second on it is not."""
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
ORDINALS = ("first", "second", "third", "fourth")
SIDE_WORDINGS = {
    "left": ("{} on the left", "left {}", "{} on the left side"),
    "right": ("{} on the right", "right {}", "{} on the right side"),
    "top": ("{} at the top", "top {}"),
    "bottom": ("{} at the bottom", "bottom {}"),
    "middle": ("{} in the middle", "{} in the center"),
    "top left": ("{} in the top left corner", "top left {}"),
    "top right": ("{} in the top right corner", "top right {}"),
    "bottom left": ("{} in the bottom left corner", "bottom left {}"),
    "bottom right": ("{} in the bottom right corner", "bottom right {}"),
}
BESIDE_WORDINGS = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Unit vector (x, y) of each direction; y points down."""
EXTREMES = {"leftmost": (-1, 0), "rightmost": (1, 0), "topmost": (0, -1), "bottommost": (0, 1)}


@dataclass(frozen=True)
class SceneExpression:
    """A text about a scene.

    Attributes:
        kind: One of `KINDS`.
        targets: Ascending indices into the scene's objects; empty if nothing is meant.
    """

    text: str
    kind: str
    targets: tuple[int, ...]


Found = Iterator[tuple[str, tuple[int, ...]]]


def make_expressions(scene: Scene, kinds: Sequence[str] | None = None) -> list[SceneExpression]:
    """Write up to `MOST_PER_KIND` expressions of each kind that the scene allows, the same for the same seed.

    Args:
        kinds: Some of `KINDS`; all of them if not given. Leaving some out does not change the others.

    Raises:
        ValueError: If a kind is unknown.
    """
    unknown = sorted(set(kinds or ()) - set(KINDS))
    if unknown:
        raise ValueError(f"No expression kind named {unknown[0]!r}. Available: {', '.join(KINDS)}.")
    expressions = []
    for number, (kind, find) in enumerate(_FINDERS.items()):
        if kinds is not None and kind not in kinds:
            continue
        rng = np.random.default_rng([scene.seed, 3, number])
        found = list(find(scene, rng))
        for k in rng.permutation(len(found))[:MOST_PER_KIND]:
            text, targets = found[k]
            article = "the " if rng.random() < 0.6 and kind != "plural" else ""
            expressions.append(SceneExpression(article + text, kind, tuple(sorted(targets))))
    return expressions


def _find_nouns(scene: Scene, rng: np.random.Generator) -> Found:
    for noun, group in group_by_noun(scene).items():
        if len(group) == 1:
            yield noun, (group[0],)


def _find_attributes(scene: Scene, rng: np.random.Generator) -> Found:
    for i, item in enumerate(scene.objects):
        if item.colour and _may_be_called(scene, item.noun, item.colour) == [i]:
            yield f"{item.colour} {item.noun}", (i,)


def _find_positions(scene: Scene, rng: np.random.Generator) -> Found:
    """One of several objects of a noun is clearly in a part of the picture, and all the others clearly are not."""
    for noun, group in _repeated(scene):
        for part, wordings in SIDE_WORDINGS.items():
            inside = [i for i in group if _depth(scene, i, part) >= 0.1]
            outside = [i for i in group if _depth(scene, i, part) <= 0]
            if len(inside) == 1 and len(outside) == len(group) - 1:
                yield _pick(rng, wordings).format(noun), (inside[0],)


def _find_relations(scene: Scene, rng: np.random.Generator) -> Found:
    """One of several objects of a noun clearly stands in a relation to an object of another noun; the others do not."""
    for noun, group in _repeated(scene):
        for anchor, name in find_anchors(scene, noun):
            for direction, wordings in BESIDE_WORDINGS.items():
                beside = [i for i in group if _is_beside(scene, i, anchor, direction)]
                never = [i for i in group if _along(scene, i, anchor, direction) <= -NOT_BESIDE]
                if len(beside) == 1 and len(never) == len(group) - 1:
                    yield f"{noun} {_pick(rng, wordings)} the {name}", (beside[0],)
            touching = [i for i in group if _gap(scene, i, anchor) <= TOUCHING]
            away = [i for i in group if _gap(scene, i, anchor) >= AWAY]
            if len(touching) == 1 and len(away) == len(group) - 1:
                yield f"{noun} {_pick(rng, ('next to', 'beside'))} the {name}", (touching[0],)


def _find_between(scene: Scene, rng: np.random.Generator) -> Found:
    for noun, group in group_by_noun(scene).items():
        anchors = find_anchors(scene, noun)
        for k, (first, first_name) in enumerate(anchors):
            for second, second_name in anchors[k + 1 :]:
                inside = [i for i in group if _is_between(scene, i, first, second, 0.25, 0.2)]
                perhaps = [i for i in group if _is_between(scene, i, first, second, 0.0, 0.45)]
                if len(inside) == 1 and perhaps == inside:
                    a, b = (first_name, second_name) if rng.random() < 0.5 else (second_name, first_name)
                    yield f"{noun} between the {a} and the {b}", (inside[0],)


def _find_superlatives(scene: Scene, rng: np.random.Generator) -> Found:
    for noun, group in _repeated(scene):
        by_area = sorted(group, key=lambda i: int(scene.objects[i].mask.sum()))
        if _is_larger(scene.objects[by_area[-1]], [scene.objects[i] for i in by_area[:-1]]):
            yield f"{_pick(rng, ('largest', 'biggest'))} {noun}", (by_area[-1],)
        if all(_is_larger(scene.objects[i], [scene.objects[by_area[0]]]) for i in by_area[1:]):
            yield f"smallest {noun}", (by_area[0],)
        for word, (x, y) in EXTREMES.items():
            order = sorted(group, key=lambda i: float(centre_of(scene, i) @ (x, y)))
            if float((centre_of(scene, order[-1]) - centre_of(scene, order[-2])) @ (x, y)) >= CLEARLY_APART:
                yield f"{word} {noun}", (order[-1],)
        for anchor, name in find_anchors(scene, noun):
            centres = sorted((float(np.linalg.norm(centre_of(scene, i) - centre_of(scene, anchor))), i) for i in group)
            gaps = sorted((_gap(scene, i, anchor), i) for i in group)
            same_by_both = centres[0][1] == gaps[0][1] and gaps[1][0] - gaps[0][0] >= CLEARLY_APART
            if same_by_both and centres[1][0] >= 1.3 * centres[0][0]:
                yield f"{noun} closest to the {name}", (centres[0][1],)


def _find_ordinals(scene: Scene, rng: np.random.Generator) -> Found:
    for noun, group in _repeated(scene):
        order = sorted(group, key=lambda i: float(centre_of(scene, i)[0]))
        gaps = np.diff([centre_of(scene, i)[0] for i in order])
        if noun in PLURAL_ONLY or gaps.min() < CLEARLY_APART:
            continue
        for side, ranked in (("left", order), ("right", order[::-1])):
            for word, i in zip(ORDINALS, ranked, strict=False):
                yield f"{word} {noun} from the {side}", (i,)


def _find_plurals(scene: Scene, rng: np.random.Generator) -> Found:
    for noun, group in _repeated(scene):
        if noun in PLURAL_ONLY:
            continue
        yield f"{_pick(rng, (f'the {NUMBERS[len(group)]}', 'all', 'all the'))} {plural(noun)}", tuple(group)
        for colour in {scene.objects[i].colour: None for i in group}:
            if colour is None:
                continue
            called = _may_be_called(scene, noun, colour)
            if len(called) >= 2 and all(scene.objects[i].colour == colour for i in called):
                yield f"{_pick(rng, (f'the {NUMBERS[len(called)]}', 'all'))} {colour} {plural(noun)}", tuple(called)


def _find_negations(scene: Scene, rng: np.random.Generator) -> Found:
    for noun, group in _repeated(scene):
        for colour in {scene.objects[i].colour: None for i in group}:
            if colour is None:
                continue
            plainly = [i for i in group if scene.objects[i].colour == colour]
            never = [i for i in group if colour not in scene.objects[i].colours]
            if len(never) == 1 and len(plainly) == len(group) - 1:
                verb = "are" if noun in PLURAL_ONLY else "is"
                yield f"{noun} that {verb} not {colour}", (never[0],)


def _find_absent(scene: Scene, rng: np.random.Generator) -> Found:
    """A noun the scene does not have, and a noun it has in a colour that nobody would give it."""
    groups, colours = group_by_noun(scene), list(vocabulary()["tints"])
    absent = [noun for noun in vocabulary()["classes"] if noun not in groups]
    noun = _pick(rng, absent)
    yield (noun if rng.random() < 0.5 else f"{_pick(rng, colours)} {noun}"), ()
    present = _pick(rng, list(groups))
    never = [colour for colour in colours if not _may_be_called(scene, present, colour)]
    if never:
        yield f"{_pick(rng, never)} {present}", ()


_FINDERS: dict[str, Callable[[Scene, np.random.Generator], Found]] = {
    "noun": _find_nouns,
    "attribute": _find_attributes,
    "position": _find_positions,
    "relation": _find_relations,
    "between": _find_between,
    "superlative": _find_superlatives,
    "ordinal": _find_ordinals,
    "plural": _find_plurals,
    "negation": _find_negations,
    "no_target": _find_absent,
}
KINDS = tuple(_FINDERS)
"""Kinds of expressions, in the order `make_expressions` returns them."""


def group_by_noun(scene: Scene) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for i, item in enumerate(scene.objects):
        groups.setdefault(item.noun, []).append(i)
    return groups


def _repeated(scene: Scene) -> list[tuple[str, list[int]]]:
    """Nouns with at least two objects: where the noun alone does not tell."""
    return [(noun, group) for noun, group in group_by_noun(scene).items() if 2 <= len(group) <= max(NUMBERS)]


def _may_be_called(scene: Scene, noun: str, colour: str) -> list[int]:
    return [i for i, item in enumerate(scene.objects) if item.noun == noun and colour in item.colours]


def find_anchors(scene: Scene, besides: str) -> list[tuple[int, str]]:
    """Objects of other nouns with a name that no second object may have: noun, or colour and noun."""
    named = []
    for noun, group in group_by_noun(scene).items():
        if noun == besides:
            continue
        if len(group) == 1:
            named.append((group[0], noun))
            continue
        for i in group:
            colour = scene.objects[i].colour
            if colour and _may_be_called(scene, noun, colour) == [i]:
                named.append((i, f"{colour} {noun}"))
    return named


def _side_px(scene: Scene) -> float:
    """Side of the square with the picture's area: the unit of distances."""
    h, w = scene.image.shape[:2]
    return float((h * w) ** 0.5)


def centre_of(scene: Scene, i: int) -> np.ndarray:
    """Centre (x, y) of an object's box, in sides."""
    return np.array(scene.objects[i].centre_xy) / _side_px(scene)


def _depth(scene: Scene, i: int, part: str) -> float:
    """How deep an object's centre lies in a part of the picture, as a share of the picture; negative outside."""
    h, w = scene.image.shape[:2]
    x, y = scene.objects[i].centre_xy
    depths = {"left": 0.5 - x / w, "right": x / w - 0.5, "top": 0.5 - y / h, "bottom": y / h - 0.5}
    if part == "middle":
        return 0.25 - max(abs(x / w - 0.5), abs(y / h - 0.5))
    return min(depths[word] for word in part.split())


def _along(scene: Scene, i: int, anchor: int, direction: str) -> float:
    """How far an object lies from the anchor in a direction, between centres, in sides."""
    return float((centre_of(scene, i) - centre_of(scene, anchor)) @ DIRECTIONS[direction])


def _is_beside(scene: Scene, i: int, anchor: int, direction: str) -> bool:
    """Far enough in the direction, and more so than across it."""
    along = _along(scene, i, anchor, direction)
    across = abs(float((centre_of(scene, i) - centre_of(scene, anchor)) @ DIRECTIONS[direction][::-1]))
    return along >= CLEARLY_BESIDE and along >= across


def _gap(scene: Scene, i: int, j: int) -> float:
    """Distance between two boxes, in sides; 0 where they touch."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = scene.objects[i].box_xywh, scene.objects[j].box_xywh
    dx = max(0, bx - ax - aw, ax - bx - bw)
    dy = max(0, by - ay - ah, ay - by - bh)
    return float(np.hypot(dx, dy)) / _side_px(scene)


def _is_between(scene: Scene, i: int, first: int, second: int, margin: float, width: float) -> bool:
    """Is the centre on the middle of the line between two others: past `margin` of it, at most `width` of it aside?"""
    start, end, at = centre_of(scene, first), centre_of(scene, second), centre_of(scene, i)
    line = end - start
    length = float(np.linalg.norm(line))
    if length == 0:
        return False
    share = float((at - start) @ line) / length**2
    aside = float(np.linalg.norm(at - start - share * line)) / length
    return margin <= share <= 1 - margin and aside <= width


def _is_larger(item: SceneObject, others: Sequence[SceneObject]) -> bool:
    """By mask and by box, clearly larger than each of the others."""
    return all(
        item.mask.sum() >= CLEARLY_LARGER * other.mask.sum() and _box_px(item) >= CLEARLY_LARGER * _box_px(other)
        for other in others
    )


def _box_px(item: SceneObject) -> int:
    return item.box_xywh[2] * item.box_xywh[3]


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]
