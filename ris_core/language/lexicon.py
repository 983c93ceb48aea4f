"""Words that say where, which and how many, as values the reader and the methods share: closed lists of English.

Directions and measures by keyword: "left", "right", "up", "down", "middle", "edge", "front", "back" (places); "big", "small",
"tall", "short", "long", "wide", "narrow" (sizes); "near", "far", "between", "on", "in", "with" (towards a landmark).
"""

from __future__ import annotations

from collections.abc import Mapping

from ris_core.language import grammar


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: keyword for keyword, listed in table.items() for word in listed.split()}


def words(text: str) -> frozenset[str]:
    """The words of a list that is written as one string."""
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
        "back": "back background rear behind distance",
    }
)
"""Parts of the picture; with a landmark, directions from it."""

EXTREMES = _by_word(
    {
        "left": "leftmost leftest",
        "right": "rightmost rightest",
        "up": "topmost uppermost highest higher",
        "down": "bottommost lowest lowermost",
        "big": "big large huge giant gigantic enormous massive bigger larger huger biggest largest hugest",
        "small": "small little tiny miniature smaller littler tinier smallest littlest tiniest",
        "tall": "tall taller tallest",
        "short": "short shorter shortest",
        "long": "long longer longest",
        "wide": "wide wider widest",
        "narrow": "narrow narrower narrowest",
        "near": "closest nearest closer nearer",
        "far": "farthest furthest farther further",
        "front": "frontmost foremost",
        "back": "backmost rearmost hindmost",
    }
)
"""Superlatives and comparatives, and the adjectives of size: which one, among those of the same name."""

DESCRIBING = words("tall short long wide narrow")
"""Adjectives of size that also tell what a part looks like: "short sleeve shirt", "long-haired dog"."""

OPPOSITES = _by_word(
    {
        "left": "right",
        "up": "down",
        "middle": "edge",
        "big": "small",
        "tall": "short",
        "wide": "narrow",
        "near": "far",
        "front": "back",
    }
)
OPPOSITES |= {keyword: word for word, keyword in OPPOSITES.items()} | {"long": "short"}
"""Keyword to the keyword that is counted from the other end."""

RIMS = dict.fromkeys(("edge", "border", "rim", "margin", "corner"), "edge")
"""Parts of the picture that something can only be close to, or far from."""

RELATIONS = _by_word(
    {
        "up": "above over",
        "down": "below under beneath underneath",
        "back": "behind",
        "near": "near beside by alongside against next adjacent close around at",
        "far": "away",
        "between": "between amid among amongst",
        "on": "on onto upon atop",
        "in": "inside within",
    }
)
"""Prepositions and the like that need a landmark."""

HOLDING = words("""
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
EVERY = words("all every each everyone everybody everything any anything anyone anybody whatever")
"""Words that ask for all of a kind, whatever the form of the noun."""

DEPTHS = {"far": "back", "distant": "back", "near": "front"}
"""Adjectives that say how deep in the picture something is, unless a side follows."""

FAR = words("far very extreme furthest farthest most utmost")
"""Before a side: the one at the very end ("the far left dog")."""

UTMOST = words("the very far extreme picture image")
"""Before the side that "closest to the very left" is about."""

PAIRING = words("between amid among amongst middle center centre")
"""Words that two landmarks may follow, joined by "and"."""

SKIPPED = (
    grammar.FRAME_NOUNS
    | FAR
    | words("not no non n't nt just directly immediately - 's colored other another same only")
)
"""Words inside a noun phrase, before its noun, that say nothing about the look."""

OPENINGS = words("in on at to from the far very")
"""Words that open a clause before its keyword."""

NOBODIES = words("none nothing nobody nought")
"""Negations that stand for a thing: "nothing but the tree" is the tree."""
NEGATIONS = words("not n't nt never no non nor neither cannot nowhere hardly barely scarcely") | NOBODIES
SIGNS = {"!": "not", "¬": "not", "≠": "not", "~": "not", "w/o": "without"}
"""Signs and short forms that stand for a negation; at an end "!" stops a sentence."""
EXCEPTIONS = frozenset(
    [
        *("except", "excepting", "excluding", "besides", "minus", "without", "but", "lacking", "barring", "omitting"),
        *(
            "except for",
            "other than",
            "rather than",
            "instead of",
            "apart from",
            "aside from",
            "save for",
            "else than",
            "unlike",
            "different from",
            "different than",
        ),
        *("not including", "leaving out", "as opposed to", "in place of"),
        *("with the exception of", "with the exclusion of"),
        *("exclude", "ignore", "skip", "avoid", "omit", "leave out", "forget about", "get rid of"),
        *("bar", "save", "outside", "outside of", "beyond"),
    ]
)
"""Words that take something away; "without" and "lacking" take what the thing would have."""
FROM_ALL = words("but bar save outside beyond")
"""Exceptions that mean something else where nothing says "all" before."""
DISMISSING = words("drop remove delete reject disregard forget discard dismiss deselect unselect leave")
"""Verbs that take away what follows with an article: "remove the tree", but "the delete key"."""
LACKING = words("without lacking")
DROPPED = words("excluded excepted omitted ignored aside")
"""After a thing, at the very end: it is not meant."""

GARMENTS = words("""
    shirt shirts tshirt t-shirt blouse sweater sweatshirt hoodie jacket coat raincoat vest suit tuxedo dress gown skirt pants
    trousers jeans shorts trunks tights leggings overalls jersey uniform outfit costume clothes clothing robe apron cape cloak
    poncho kimono sari hat cap beanie helmet turban hood headscarf scarf bandana tie bowtie belt gloves glove mittens socks sock
    shoes shoe boots boot sandals sneakers heels flops glasses sunglasses goggles mask veil bikini swimsuit swimwear wetsuit
    pajamas underwear bra stripes plaid camo camouflage denim leather gear attire garb top tee parka sleeve sleeves flannel
    polo cardigan khakis khaki scrubs
    """)
"""What is worn: behind "in" it is a look, no place."""

ATTRIBUTIVES = {word: word for word in ("in", "with", "of", "for", "like")} | dict.fromkeys(
    ("has", "have", "having"), "with"
)
"""Words whose object belongs to the look of the thing, and the word that says so in a phrase."""

COMMANDS = words("""
    find show select segment pick choose highlight locate mark get give please want need detect identify include click
    """)
"""Verbs that ask for a thing, and are no part of its description."""

GAZES = grammar.GAZES | words(
    "gazing staring glancing peering smiling waving headed moving driving flying swimming swinging"
)
"""Verbs with a direction that is no place: "facing left", "walking away from the house"."""

POSSESSIVES = words("his her its their my your our")

VIEWERS = words("us me you viewer photographer camera")
"""Landmarks that are, or may be, in front of the picture."""

PAIRED_NOUNS = words("""
    scissors grapes pants jeans shorts trousers glasses sunglasses goggles binoculars pliers tongs tweezers tights leggings
    pajamas pyjamas overalls headphones clothes stairs
    """)
"""Plural in form, one thing in the picture unless a number says otherwise."""

ANAPHORS = words("one ones")
"""Stand for a noun that was said before."""

PLACEHOLDERS = dict.fromkeys(ANAPHORS | words("thing things object objects everything something anything"), "") | (
    dict.fromkeys(("everyone", "everybody", "someone", "somebody", "anyone", "anybody"), "person")
)
"""Nouns that name nothing, or only a person."""

PICTURES = words("picture image photo photograph frame screen")
"""Nouns of the picture that may be things in it."""

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray")
"""Colour words, one a colour."""

TELLING = frozenset([*COLOURS, *SIDES, *EXTREMES, *NUMBERS])
"""Adjectives that are no part of a thing."""

SPELLINGS = {
    "grey": "gray", "colour": "color", "colours": "colors", "coloured": "colored", "colourful": "colorful",
    "multicoloured": "multicolored", "centre": "center", "centred": "centered", "aeroplane": "airplane",
    "aeroplanes": "airplanes", "tyre": "tire", "tyres": "tires", "doughnut": "donut", "doughnuts": "donuts",
    "moustache": "mustache", "moustaches": "mustaches", "pyjamas": "pajamas", "theatre": "theater",
    "jewellery": "jewelry", "kerb": "curb", "plough": "plow", "catalogue": "catalog", "fibre": "fiber",
    "armour": "armor", "harbour": "harbor", "metre": "meter", "aluminium": "aluminum",
    "storey": "story", "mould": "mold", "draught": "draft", "cheque": "check", "yoghurt": "yogurt", "greyish": "grayish",
}  # fmt: skip
"""British spellings, and the American ones that descriptions are read in."""

_SINGULARS = {
    "people": "person", "children": "child", "cacti": "cactus", "octopi": "octopus", "mice": "mouse", "geese": "goose",
    "feet": "foot", "teeth": "tooth", "knives": "knife", "wolves": "wolf", "calves": "calf", "leaves": "leaf",
    "loaves": "loaf", "shelves": "shelf", "wives": "wife", "oxen": "ox", "buses": "bus", "cookies": "cookie",
    "movies": "movie", "ties": "tie", "pies": "pie", "shoes": "shoe", "horses": "horse", "houses": "house",
    "vases": "vase", "roses": "rose", "noses": "nose", "cases": "case", "purses": "purse", "nurses": "nurse",
    "axes": "axe", "canoes": "canoe", "toes": "toe", "blouses": "blouse", "cheeses": "cheese", "hoses": "hose",
}  # fmt: skip
"""Plurals that the endings in `singular` do not explain."""


CLOCK = words("o'clock oclock")
"""Behind a number: a position as on a clock's face, which is named, not guessed."""


def singular(noun: str) -> str:
    """The singular of an English plural, by its ending; other words come back as they are.

    No library does this for us. `inflect` 7.6 was tried over 5,413 words of the vocabularies, COCO's classes, the tests and the docs:

    * It takes what is singular for a plural ("bus" -> "bu", "this" -> "thi"), so it needs the same guards.
    * 116 words come out otherwise. Some are better ("suitcases", "scarves"), but the answers to expressions with them would change,
      and that is an open class of words, which no list of exceptions keeps equal. It needs a new `ANSWER_BEHAVIOUR`.
    * Importing it takes 2 s.

    spaCy's rule lemmatizer needs tables that the pipelines do not bring.
    """
    if noun in _SINGULARS:
        return _SINGULARS[noun]
    if noun.endswith("men"):
        return noun[:-2] + "an"
    if noun in PAIRED_NOUNS or len(noun) < 3 or noun.endswith(("ss", "us", "is")) or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(("ses", "xes", "ches", "shes", "zes", "oes")) else noun[:-1]


def spelled(word: str) -> str:
    """A word in the spelling that is read: "grey", "gray" and "light-grey" have one colour."""
    return "-".join(SPELLINGS.get(part, part) for part in word.split("-"))


def forms(word: str) -> frozenset[str]:
    """A word as it is, in American spelling, and in the singular."""
    american = spelled(word)
    return frozenset((word, american, singular(american)))
