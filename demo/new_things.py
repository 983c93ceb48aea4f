"""Things that the demo's models never saw, among things that they know: drawings by other hands, under their own noun or a made-up name.

Thirty nouns have one new drawing each; the first twenty are for choosing, the last ten were held back until the end. A made-up name, as a
part number is one, says nothing to the text encoder.
"""

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from demo.other_drawings import SETS, other_drawings
from demo.scenes import Scene, make_scene
from demo.sprites import Sprite, sprites

NAMES: Mapping[str, str] = {
    "balloon": "blick", "guitar": "zorp", "shirt": "dax", "star": "fep", "pencil": "wug", "book": "toma", "apple": "kivo",
    "shoe": "mepal", "snail": "rask", "grapes": "lunt", "hat": "gorp", "train": "vint", "strawberry": "sked",
    "bus": "plosh", "cake": "nerb", "cow": "trisk", "car": "quib", "bicycle": "hask", "monkey": "joop",
    "hamburger": "dreel", "tomato": "palt", "camera": "smib", "mushroom": "crong", "tree": "flane", "horse": "bivet",
    "airplane": "tulver", "gift": "mosk", "elephant": "yarp", "banana": "chelt", "truck": "grint",
}  # fmt: skip
"""Noun -> made-up name."""
KEPT_BACK = 10
"""Of the nouns, from the end."""
PARTS = ("open", "held")
_WORDS = re.compile(rf"\b({'|'.join(NAMES)})\b")


def new_nouns(part: str) -> tuple[str, ...]:
    """The nouns with a new drawing in the scenes of a part."""
    nouns = tuple(NAMES)
    return nouns[:-KEPT_BACK] if part == "open" else nouns[-KEPT_BACK:]


def make_new_scene(part: str, seed: int) -> Scene:
    """A scene of which half of the nouns have a new drawing."""
    return make_scene(seed, drawings=_drawings(part))


def call_by_made_up_names(text: str) -> str:
    """The same expression with a made-up name for each noun that has a new drawing."""
    return _WORDS.sub(lambda match: NAMES[match.group(1)], text)


@cache
def _drawings(part: str) -> dict[str, list[Sprite]]:
    new = {
        noun: [other_drawings(SETS[i % len(SETS)])[noun][0]] for i, noun in enumerate(NAMES) if noun in new_nouns(part)
    }
    rest = [noun for noun in sprites() if noun not in NAMES]
    chosen = [rest[i] for i in np.random.default_rng(19).permutation(len(rest))[: len(new)]]
    return new | {noun: sprites()[noun] for noun in chosen}
