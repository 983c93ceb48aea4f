"""What people would call the things of a scene, and what they would not say; written before any answering code was read.

How people use the words, as far as this file goes:

- A word of place picks one out of the things of its name. With two cups, "the left cup" is the one farther left, wherever
  in the picture both stand. With three or more, "the cup on the left" needs a lead: the others stand together elsewhere,
  or beyond the middle; "the leftmost cup" only needs that no other is about as far left. With one tree, "the tree on the
  left" says where it is: in the left third, never at the right. A corner is a third from both sides.
- "In the middle" is the second of three in a row, if it is also the one nearest to the middle of the picture.
- "Left of the tree" is beside it, at about its height, or lower and higher by less than it is aside; far away is allowed.
  A thing diagonally up and left is neither plainly left of nor plainly above; one whose middle is on the other side is
  plainly not. What overlaps the tree sideways by more than a bit is not plainly left of it. Up and down go the same way.
- "Next to", "by" and "near" are about the gap between outlines, against the size of the two: a cup by a house may be
  farther off than a cup by a key. Another cup that is not plainly far makes it unsaid. "Closest to" compares gaps; where
  the middles say otherwise people would disagree.
- "Between" is on the way from one to the other, not at its ends and not far aside.
- "The biggest" is as seen: area first, and the box and the longer side must agree, as part of a thing may be hidden.
  A third more of a side's length is not argued about, a tenth more is. "The tallest" is from foot to head.
- "Second from the left" counts the things of that name by where they are from left to right; two that stand one above the
  other cannot be counted. It is said of things in a row, wider than high; from the top, in a column.
- "Behind" is covered in part by something that stands lower or level; "in front of" is the other way round. In a picture
  people also call "behind" what stands close and farther up: that makes it disputed, so it is not asked.
- A colour is said of what is plainly of that colour; what may be called red is not "the fish that is not red" either.
- Nobody would say of one of two things that is left of the other by a hair that it is the left one; nobody counts to the
  fourth of nine overlapping things; nobody says "the bigger" of two where a ruler is needed.

So an expression is made if one thing is plainly meant and every other thing of the name is plainly not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from demo.captions import OPPOSITE, PLURAL_ONLY, plural
from demo.other_geometry import SIDES, SceneMeasures
from demo.other_wordings import CLOSE_COLOURS, LOOKALIKES, NUMBERS, PICTURED, WORDINGS
from demo.scenes import Scene
from demo.sprites import vocabulary

MOST = {"position": 3, "relation": 3, "no_target": 3}
"""Most expressions of a kind for a scene; two of the others."""
KINDS = (
    "noun", "attribute", "position", "relation", "between", "superlative", "ordinal", "plural", "negation", "no_target",
)  # fmt: skip


@dataclass(frozen=True)
class OtherExpression:
    """A text with what it means.

    Attributes:
        kind: One of `KINDS`.
        targets: Indices of the scene's objects; empty if it means nothing there.
    """

    text: str
    kind: str
    targets: tuple[int, ...]


@dataclass(frozen=True)
class NamedObjects:
    """Things that share a name.

    Attributes:
        noun: Their noun.
        name: What they are called: the noun, or a colour and the noun.
        several: The plural of that.
        members: Indices of the scene's objects.
    """

    noun: str
    name: str
    several: str
    members: list[int]


Fact = tuple[str, dict[str, str], tuple[int, ...]]
"""A key of the wordings, what fills their gaps, and the targets."""
Finder = Callable[[SceneMeasures, list[NamedObjects]], Iterator[Fact]]


def make_other_expressions(scene: Scene) -> list[OtherExpression]:
    """Everything that is asked about a scene, the same for the same scene."""
    rng = np.random.default_rng([scene.seed, 41])
    measures, named = SceneMeasures(scene), name_things(scene)
    made: list[OtherExpression] = []
    for kind in KINDS:
        facts = list(FINDERS[kind](measures, named))
        taken: list[str] = []
        for number in rng.permutation(len(facts)):
            key, gaps, targets = facts[number]
            if len(taken) == MOST.get(kind, 2):
                break
            if taken.count(key) >= (1 if kind in ("position", "relation", "no_target") else 2):
                continue
            text = _word(rng, key, gaps)
            if all(text != one.text for one in made):
                made.append(OtherExpression(text, kind, targets))
                taken.append(key)
    return made


def _word(rng: np.random.Generator, key: str, gaps: dict[str, str]) -> str:
    wordings = WORDINGS[key]
    if gaps.get("n", "").split()[-1:] and gaps["n"].split()[-1] in PLURAL_ONLY:
        wordings = tuple(
            text for text in wordings if not any(f" {w} " in f" {text} " for w in ("a", "is", "one", "that"))
        )
    text = wordings[rng.integers(len(wordings))].format(**gaps)
    return text.removeprefix("the ") if rng.random() < 0.25 else text


def name_things(scene: Scene) -> list[NamedObjects]:
    """By noun, and by colour and noun where nobody could doubt which of the noun have the colour."""
    things = scene.objects
    named = []
    for noun in dict.fromkeys(thing.noun for thing in things):
        members = [i for i, thing in enumerate(things) if thing.noun == noun]
        named.append(NamedObjects(noun, noun, plural(noun), members))
        for colour in dict.fromkeys(things[i].colour for i in members):
            if colour is None:
                continue
            own = [i for i in members if things[i].colour == colour]
            doubted = [i for i in members if i not in own and colour in things[i].colours]
            if not doubted and len(own) < len(members):
                named.append(NamedObjects(noun, f"{colour} {noun}", f"{colour} {plural(noun)}", own))
    return named


def _countable(named: list[NamedObjects], least: int = 2) -> list[NamedObjects]:
    return [one for one in named if len(one.members) >= least and one.noun not in PLURAL_ONLY]


def _anchors(named: list[NamedObjects], *without: str) -> list[NamedObjects]:
    """Names that mean one thing, of other nouns than those given."""
    return [one for one in named if len(one.members) == 1 and one.noun not in without]


def _only(scores: dict[int, int]) -> int | None:
    """The one that plainly fits, if every other plainly does not."""
    fitting = [i for i, score in scores.items() if score == 1]
    return (
        fitting[0] if len(fitting) == 1 and all(score == -1 for i, score in scores.items() if i != fitting[0]) else None
    )


def _find_nouns(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in named:
        if len(one.members) == 1 and one.name == one.noun:
            yield "noun", {"n": one.name}, tuple(one.members)


def _find_attributes(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    things = measures.scene.objects
    for one in named:
        if len(one.members) == 1 and one.name != one.noun:
            yield "attribute", {"n": one.noun, "c": one.name.split()[0]}, tuple(one.members)
    for i, thing in enumerate(things):
        if thing.colour and all(thing.colour not in other.colours for j, other in enumerate(things) if j != i):
            yield "coloured thing", {"c": thing.colour}, (i,)


def _find_positions(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in named:
        gaps = {"n": one.name}
        for side in SIDES:
            if (i := measures.on_side(side, one.members)) is not None:
                key = "on" if len(one.members) == 1 else "side"
                yield f"{key} {side}", gaps, (i,)
            if len(one.members) > 2 and (i := measures.outermost(side, one.members)) is not None:
                yield f"most {side}", gaps, (i,)
        for side in ("left", "right"):
            for edge in ("top", "bottom"):
                corner = _only({i: measures.in_corner(side, edge, i) for i in one.members})
                if corner is not None:
                    yield "corner", {**gaps, "y": edge, "x": side}, (corner,)
        if (i := _middle_one(measures, one.members)) is not None:
            yield "middle", gaps, (i,)


def _middle_one(measures: SceneMeasures, members: list[int]) -> int | None:
    if len(members) != 3:
        return None
    row = measures.order("left", members, 0.12)
    spread = np.ptp(measures.middle[members], axis=0)
    if row is None or spread[1] > 0.4 * spread[0]:
        return None
    if not 0.35 <= measures.from_side("left", row[1]) <= 0.65:
        return None
    away = {i: float(np.hypot(*(measures.middle[i] - measures.size_wh / 2))) for i in members}
    return row[1] if 1.3 * away[row[1]] < min(away[row[0]], away[row[2]]) else None


def _find_relations(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in named:
        for anchor in _anchors(named, one.noun):
            gaps, j = {"n": one.name, "b": anchor.name}, anchor.members[0]
            for relation in OPPOSITE:
                if (i := _only({i: measures.beside_axis(relation, i, j) for i in one.members})) is not None:
                    yield relation, gaps, (i,)
            if (i := _only({i: measures.near(i, j) for i in one.members})) is not None:
                yield "near", gaps, (i,)
            if len(one.members) > 1 and (i := measures.nearest(one.members, j)) is not None:
                yield "closest", gaps, (i,)
            if (i := _only({i: measures.behind(i, j) for i in one.members})) is not None:
                yield "behind", gaps, (i,)
            if (i := _only({i: measures.behind(j, i) for i in one.members})) is not None:
                yield "in front", gaps, (i,)


def _find_between(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in named:
        pairs = combinations(_anchors(named, one.noun), 2)
        for left, right in pairs:
            j, k = left.members[0], right.members[0]
            if j != k and (i := _only({i: measures.between(i, j, k) for i in one.members})) is not None:
                yield "between", {"n": one.name, "b": left.name, "d": right.name}, (i,)
        for pair in named:
            if pair.noun != one.noun and len(pair.members) == 2 and pair.noun not in PLURAL_ONLY:
                j, k = pair.members
                if (i := _only({i: measures.between(i, j, k) for i in one.members})) is not None:
                    yield "between two", {"n": one.name, "b": pair.several}, (i,)


def _find_superlatives(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in _countable(named):
        pair = " of two" if len(one.members) == 2 else ""
        gaps = {"n": one.name, "ns": one.several}
        if (i := measures.biggest(one.members)) is not None:
            yield f"biggest{pair}", gaps, (i,)
        if (i := measures.smallest(one.members)) is not None:
            yield f"smallest{pair}", gaps, (i,)
        if (i := measures.tallest(one.members)) is not None and i == measures.biggest(one.members):
            yield "tallest", gaps, (i,)


def _find_ordinals(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in _countable(named, 3):
        spread = np.ptp(measures.middle[one.members], axis=0)
        for side, (axis, _) in SIDES.items():
            if spread[axis] < 1.2 * spread[1 - axis]:
                continue
            ordered = measures.order(side, one.members, 0.05)
            for place, i in enumerate(ordered or []):
                if place < len(NUMBERS) and (place > 0 or len(one.members) > 3):
                    yield "ordinal", {"n": one.name, "o": NUMBERS[place], "s": side}, (i,)


def _find_plurals(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    for one in _countable(named):
        gaps = {"n": one.name, "ns": one.several, "k": PICTURED.get(len(one.members), "")}
        yield ("both" if len(one.members) == 2 else "all"), gaps, tuple(one.members)
        for side in SIDES:
            scores = {i: measures.in_part(side, i) for i in one.members}
            inside = tuple(i for i, score in scores.items() if score == 1)
            if 0 not in scores.values() and 2 <= len(inside) < len(scores):
                yield f"all {side}", gaps, inside


def _find_negations(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    things = measures.scene.objects
    for one in _countable(named):
        for colour in {things[i].colour: 0 for i in one.members if things[i].colour}:
            others = [i for i in one.members if things[i].colour != colour]
            if len(others) == 1 and colour not in things[others[0]].colours:
                yield "not coloured", {"n": one.name, "c": str(colour)}, tuple(others)
        if len(one.members) != 2:
            continue
        for side in SIDES:
            scores = [measures.in_part(side, i) for i in one.members]
            if sorted(scores) == [-1, 1]:
                yield f"not {side}", {"n": one.name}, (one.members[scores.index(-1)],)
        for anchor in _anchors(named, one.noun):
            scores = [measures.near(i, anchor.members[0]) for i in one.members]
            if sorted(scores) == [-1, 1]:
                yield "not near", {"n": one.name, "b": anchor.name}, (one.members[scores.index(-1)],)


def _find_absent(measures: SceneMeasures, named: list[NamedObjects]) -> Iterator[Fact]:
    things = measures.scene.objects
    present = {thing.noun for thing in things}
    taken = present | {other for noun in present for other in LOOKALIKES.get(noun, ())}
    for noun in vocabulary()["classes"]:
        if noun not in taken:
            yield "absent", {"n": noun}, ()
    for one in named:
        seen = frozenset[str]().union(*(things[i].colours for i in one.members))
        if one.name == one.noun and all(things[i].colours for i in one.members):
            for colour in vocabulary()["tints"]:
                if not seen & {colour, *CLOSE_COLOURS[colour]}:
                    yield "wrong colour", {"n": one.noun, "c": colour}, ()
        for side in SIDES:
            i = one.members[0]
            if len(one.members) == 1 and measures.in_part(side, i) == -1 and measures.from_side(side, i) > 0.7:
                yield f"on {side}", {"n": one.name}, ()
        for anchor in _anchors(named, one.noun):
            for relation, other in OPPOSITE.items():
                if all(measures.beside_axis(other, i, anchor.members[0]) == 1 for i in one.members):
                    yield relation, {"n": one.name, "b": anchor.name}, ()


FINDERS: dict[str, Finder] = {
    "noun": _find_nouns, "attribute": _find_attributes, "position": _find_positions, "relation": _find_relations,
    "between": _find_between, "superlative": _find_superlatives, "ordinal": _find_ordinals, "plural": _find_plurals,
    "negation": _find_negations, "no_target": _find_absent,
}  # fmt: skip
