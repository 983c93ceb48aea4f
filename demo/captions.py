"""English for scenes: the phrases CLIP-tiny is trained on, and the word forms the expressions share."""

from dataclasses import dataclass

import numpy as np

from demo.sprites import vocabulary

RELATIONS: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
    "near": ("next to", "beside", "near"),
}
"""Wordings of each relation between two objects."""
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
PLACES = (
    "on the left", "on the right", "at the top", "at the bottom", "in the middle", "in the center",
    "in the top left corner", "in the top right corner", "in the bottom left corner", "in the bottom right corner",
    "on the far left", "on the far right", "on the left side", "on the right side",
    "of the picture", "of the image", "in the background",
)  # fmt: skip
RANKS = (
    "left", "right", "top", "bottom", "leftmost", "rightmost", "topmost", "bottommost", "largest", "smallest",
    "biggest", "bigger", "smaller", "larger", "big", "small", "first", "second", "third", "upper", "lower", "middle",
    "closest",
)  # fmt: skip
PLURAL_ONLY = frozenset(["scissors", "grapes"])
"""Nouns that take no article and no number."""
_PLURALS = {
    "fish": "fish", "scissors": "scissors", "grapes": "grapes", "butterfly": "butterflies",
    "strawberry": "strawberries", "tomato": "tomatoes", "bus": "buses", "octopus": "octopuses", "cactus": "cactuses",
}  # fmt: skip
_OTHER_WORDS = """
    a an the of photo picture image that is are which not no and all both two three four five one ones object
    objects thing things from closest nearest to between furthest fourth last colored coloured with in front
    behind by at near center centre corner side edge half part every each other only any some there it its . ,
    ? ! find show me select segment please where white colour color grey standing sitting lying man woman
    person people guy
"""


@dataclass(frozen=True)
class Caption:
    """A text and what it says.

    Attributes:
        noun: What the text refers to; None if any object of the colour will do.
        colour: The colour it gives the noun, if any.
        other, relation: For a text about two objects seen together: noun, relation (a key of `RELATIONS`), other.
    """

    text: str
    noun: str | None
    colour: str | None = None
    other: str | None = None
    relation: str | None = None


def plural(noun: str) -> str:
    """The plural of one of the vocabulary's nouns."""
    return _PLURALS.get(noun, noun + "s")


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase that takes one ("scissors" and "grapes" take none)."""
    if phrase.split()[-1] in PLURAL_ONLY:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def words() -> list[str]:
    """Every word of the captions and expressions, sorted: what the tokenizer must know."""
    nouns = list(vocabulary()["classes"])
    phrases = [*PLACES, *RANKS, *(wording for wordings in RELATIONS.values() for wording in wordings), _OTHER_WORDS]
    return sorted({*nouns, *map(plural, nouns), *vocabulary()["tints"], *(word for p in phrases for word in p.split())})


def name_class(rng: np.random.Generator, noun: str) -> Caption:
    """A caption that says only the noun."""
    return Caption(_dress(rng, noun), noun)


def describe(rng: np.random.Generator, noun: str, colour: str | None, others: tuple[str, ...] = ()) -> Caption:
    """A referring phrase for one object.

    Words of place and rank and a second object are added as noise: the first noun stays decisive.

    Args:
        colour: Its plain colour, or None to leave the colour out.
        others: Nouns of the scene that a relation may mention.
    """
    draw = rng.random()
    if colour and draw < 0.06:
        return Caption(_dress(rng, f"{colour} {('object', 'thing', 'one')[rng.integers(3)]}"), None, colour)
    if colour and draw < 0.12:
        article = ("the ", "a ", "")[rng.integers(3)]
        return Caption(f"{article}{noun} that is {colour}", noun, colour)
    name = f"{colour} {noun}" if colour else noun
    if draw < 0.5:
        return Caption(_dress(rng, name), noun, colour)
    if draw < 0.62:
        return Caption(f"{('the ', '')[rng.integers(2)]}{_pick(rng, RANKS)} {name}", noun, colour)
    if draw < 0.76:
        return Caption(f"{('the ', '', 'a ')[rng.integers(3)]}{name} {_pick(rng, PLACES)}", noun, colour)
    if draw < 0.82:
        several = f"{colour} {plural(noun)}" if colour else plural(noun)
        quantity = ("the two ", "all ", "the ", "all the ", "", "the three ")[rng.integers(6)]
        return Caption(quantity + several, noun, colour)
    candidates = [other for other in others if other != noun]
    if not candidates:
        return Caption(f"the {name}", noun, colour)
    other = _pick(rng, candidates)
    joint = _pick(rng, [*(w for ws in RELATIONS.values() for w in ws), "closest to"])
    return Caption(f"the {name} {joint} the {other}", noun, colour)


def describe_pair(rng: np.random.Generator, noun: str, relation: str, other: str) -> Caption:
    """A caption of two objects seen together, such as "a dog left of a cat"."""
    wording = _pick(rng, RELATIONS[relation])
    text = f"{with_article(noun)} {wording} {with_article(other)}"
    return Caption(f"a photo of {text}" if rng.random() < 0.3 else text, noun, None, other, relation)


def _dress(rng: np.random.Generator, name: str) -> str:
    """Put a name into one of the forms the methods ask CLIP with."""
    forms = (
        name, name, with_article(name), f"the {name}", f"the {name}",
        f"a photo of {with_article(name)}", f"a photo of the {name}", f"a photo of {name}",
        f"a photo of a {name}.", f"a photo of a the {name}.",
    )  # fmt: skip
    return forms[rng.integers(len(forms))]


def _pick(rng: np.random.Generator, options: list[str] | tuple[str, ...]) -> str:
    return options[rng.integers(len(options))]
