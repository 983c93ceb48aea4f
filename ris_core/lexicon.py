"""Words that say where, which and how many, as values the reader and the methods share: closed lists of English.

Directions and measures by keyword: "left", "right", "up", "down", "middle", "front", "back" (places); "big", "small", "tall",
"short" (sizes); "near", "far", "between", "on", "in", "with" (towards a landmark).
"""

from __future__ import annotations

from collections.abc import Mapping

from ris_core import grammar


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: keyword for keyword, words in table.items() for word in words.split()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _counted(text: str) -> dict[str, int]:
    return {word: number for number, word in enumerate(text.split(), start=1)}


SIDES = _by_word(
    {
        "left": "left lefthand leftward west",
        "right": "right righthand rightward east",
        "up": "top upper up above north",
        "down": "bottom lower down below low underneath beneath south",
        "middle": "middle center centre central mid",
        "front": "front foreground",
        "back": "back background rear behind",
    }
)
"""Parts of the picture; with a landmark, directions from it."""

EXTREMES = _by_word(
    {
        "left": "leftmost leftest",
        "right": "rightmost rightest",
        "up": "topmost uppermost highest higher",
        "down": "bottommost lowest lowermost",
        "big": "big large huge bigger larger biggest largest hugest",
        "small": "small little tiny smaller littler tinier smallest littlest tiniest",
        "tall": "taller tallest",
        "short": "shorter shortest",
        "near": "closest nearest closer nearer",
        "far": "farthest furthest farther further",
        "front": "frontmost foremost",
        "back": "backmost rearmost hindmost",
    }
)
"""Superlatives and comparatives, and the adjectives of size: which one, among those of the same name."""

OPPOSITES = _by_word({"left": "right", "up": "down", "big": "small", "tall": "short", "near": "far", "front": "back"})
OPPOSITES |= {keyword: word for word, keyword in OPPOSITES.items()}
"""Keyword to the keyword that is counted from the other end."""

RELATIONS = _by_word(
    {
        "up": "above over",
        "down": "below under beneath underneath",
        "back": "behind",
        "near": "near beside by alongside against next adjacent close around",
        "far": "away",
        "between": "between amid among amongst",
        "on": "on onto upon atop",
        "in": "inside within",
    }
)
"""Prepositions and the like that need a landmark."""

HOLDING = _words("""
    holding carrying wearing riding pulling pushing touching hugging eating using swinging throwing catching
    """)
"""Verbs whose object is where the subject is."""

ORDINALS = _counted("first second third fourth fifth sixth seventh eighth ninth tenth") | _counted(
    "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th"
)
"""Place in an order, from 1."""
LAST = "last"
"""Counted from the other end."""

NUMBERS = (
    _counted("one two three four five six seven eight nine ten")
    | _counted("1 2 3 4 5 6 7 8 9 10")
    | {"single": 1, "both": 2, "pair": 2, "couple": 2, "trio": 3}
)
"""How many."""
EVERY = _words("all every each everyone everybody everything any")
"""Words that ask for all of a kind, whatever the form of the noun."""

DEPTHS = {"far": "back", "distant": "back", "near": "front"}
"""Adjectives that say how deep in the picture something is, unless a side follows."""

FAR = _words("far very extreme furthest farthest most utmost")
"""Before a side: the one at the very end ("the far left dog")."""

PAIRING = _words("between amid among amongst middle center centre")
"""Words that two landmarks may follow, joined by "and"."""

SKIPPED = grammar.FRAME_NOUNS | FAR | _words("not no just directly immediately - 's")
"""Words inside a noun phrase, before its noun, that say nothing about the look."""

OPENINGS = _words("in on at to from the far very")
"""Words that open a clause before its keyword."""

NEGATIONS = _words("not n't never no nor neither")
EXCEPTIONS = frozenset(
    ["except", "except for", "excluding", "besides", "minus", "without", "but", "other than", "apart from"]
)
"""Words that take something away; "without" takes what the thing would have."""

ATTRIBUTIVES = {word: word for word in ("in", "with", "of", "for", "like")} | dict.fromkeys(
    ("has", "have", "having"), "with"
)
"""Words whose object belongs to the look of the thing, and the word that says so in a phrase."""

COMMANDS = _words("find show select segment pick choose highlight locate mark get give please")
"""Verbs that ask for a thing, and are no part of its description."""

VIEWERS = _words("us me you viewer photographer camera")
"""Landmarks that are, or may be, in front of the picture."""

PAIRED_NOUNS = _words("""
    scissors grapes pants jeans shorts trousers glasses sunglasses goggles binoculars pliers tongs tweezers tights leggings
    pajamas pyjamas overalls headphones clothes stairs
    """)
"""Plural in form, one thing in the picture unless a number says otherwise."""

ANAPHORS = _words("one ones")
"""Stand for a noun that was said before."""

PLACEHOLDERS = dict.fromkeys(ANAPHORS | _words("thing things object objects everything something anything"), "") | (
    dict.fromkeys(("everyone", "everybody", "someone", "somebody", "anyone", "anybody"), "person")
)
"""Nouns that name nothing, or only a person."""

PICTURES = _words("picture image photo photograph frame screen")
"""Nouns of the picture that may be things in it."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
"""Colour words, one a colour."""

_SINGULARS = {
    "people": "person", "children": "child", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "knives": "knife", "wolves": "wolf", "calves": "calf", "leaves": "leaf",
    "loaves": "loaf", "shelves": "shelf", "wives": "wife", "oxen": "ox", "buses": "bus", "cookies": "cookie",
    "movies": "movie", "ties": "tie", "pies": "pie", "shoes": "shoe", "horses": "horse", "houses": "house",
    "vases": "vase", "roses": "rose", "noses": "nose", "cases": "case", "purses": "purse", "nurses": "nurse",
    "axes": "axe", "canoes": "canoe", "toes": "toe", "blouses": "blouse", "cheeses": "cheese", "hoses": "hose",
}  # fmt: skip


def singular(noun: str) -> str:
    """The singular of an English plural, by its ending; other words come back as they are."""
    if noun in _SINGULARS:
        return _SINGULARS[noun]
    if noun.endswith("men"):
        return noun[:-2] + "an"
    if noun in PAIRED_NOUNS or len(noun) < 3 or noun.endswith(("ss", "us", "is")) or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(("ses", "xes", "ches", "shes", "zes", "oes")) else noun[:-1]
