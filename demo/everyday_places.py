"""Places as people use them: relative to what is there, and of diagonal neighbours too.

The templates of `demo.expressions` ask only where the geometry leaves no doubt. People say "the cup on the left" of the left
one of two cups at the right, and "below the tree" of what stands below it and aside. No model is
trained on these.
"""

from collections.abc import Iterator

from demo.expressions import DIRECTIONS, SceneExpression, centre_of, find_anchors, group_by_noun
from demo.scenes import Scene

APART = 0.12
"""Least distance along a direction, in sides, from which one thing is said to be there of another."""
DIAGONAL = 2.0
"""How many times as far aside as along a direction a neighbour may be."""
SLIGHTLY, PLAINLY = 0.06, 0.22
"""Shares of the picture: up to the first beyond the middle the outermost thing is still at that side; from the second it is not."""
PLACES = {"left": "on the left", "right": "on the right", "above": "at the top", "below": "at the bottom"}
WORDS = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}


def make_everyday_expressions(scene: Scene) -> list[SceneExpression]:
    """Every expression that the rules of this module find in a scene."""
    return [*_positions(scene), *_relations(scene)]


def _positions(scene: Scene) -> Iterator[SceneExpression]:
    """Of two of a noun the one at that side; the only one of a noun if nothing stands farther there; absent at the other side."""
    height, width = scene.image.shape[:2]
    for noun, group in group_by_noun(scene).items():
        for name, (x, y) in DIRECTIONS.items():
            share = {
                i: (o.centre_xy[0] / width - 0.5) * x + (o.centre_xy[1] / height - 0.5) * y
                for i, o in enumerate(scene.objects)
            }
            text = f"the {noun} {PLACES[name]}"
            if len(group) == 2:
                first, second = sorted(group, key=lambda i: -share[i])
                if share[first] - share[second] >= APART:
                    yield SceneExpression(text, "position", (first,))
            elif len(group) == 1 and -SLIGHTLY <= share[group[0]] == max(share.values()):
                yield SceneExpression(text, "position", (group[0],))
            elif len(group) == 1 and share[group[0]] <= -PLAINLY:
                yield SceneExpression(text, "no_target", ())


def _relations(scene: Scene) -> Iterator[SceneExpression]:
    """Of one or two of a noun the only one that stands there; absent where all stand plainly at the opposite side."""
    for noun, group in group_by_noun(scene).items():
        if len(group) > 2:
            continue
        for anchor, named in find_anchors(scene, noun):
            for name, word in WORDS.items():
                x, y = DIRECTIONS[name]
                there = [i for i in group if _stands(scene, i, anchor, (x, y), DIAGONAL)]
                away = [i for i in group if _stands(scene, i, anchor, (-x, -y), 1.0)]
                text = f"the {noun} {word} the {named}"
                if len(there) == 1 and len(there) + len(away) == len(group):
                    yield SceneExpression(text, "relation", (there[0],))
                elif len(away) == len(group):
                    yield SceneExpression(text, "no_target", ())


def _stands(scene: Scene, i: int, anchor: int, direction: tuple[int, int], aside: float) -> bool:
    (x, y), step = direction, centre_of(scene, i) - centre_of(scene, anchor)
    along, across = float(step @ (x, y)), abs(float(step @ (y, x)))
    return along >= APART and across <= aside * along
