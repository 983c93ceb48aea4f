"""What people type, written out: short forms, slips and turns of phrase of closed-class words. Nouns are never changed.

Only what is read is normalised (`ris_core.language.referents`); the expression is kept, and shown to the text encoder of the
published methods, as it was typed.
"""

import gzip
import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ris_core.language import grammar, lexicon, spelling

SHORT_FORMS = {
    "rt": "right", "rgt": "right", "lft": "left", "btm": "bottom", "bttm": "bottom", "ctr": "center", "cntr": "center",
    "bg": "background", "bkgd": "background", "bkgrd": "background", "fg": "foreground", "pic": "picture", "pics": "picture",
    "img": "image", "blk": "black", "wht": "white", "grn": "green", "ylw": "yellow", "yel": "yellow", "brn": "brown", "blu": "blue",
    "gry": "gray", "btwn": "between", "abv": "above", "blw": "below", "nxt": "next", "w/": "with", "w": "with", "infront": "in front",
    "&": "and", "nexto": "next to", "ontop": "on top", "inbetween": "in between",
    "leftside": "left side", "rightside": "right side",
    "frm": "from", "lt": "left", "infornt": "in front",
    "righthand": "right hand", "lefthand": "left hand", "nextto": "next to",
}  # fmt: skip
"""Short forms, and words written together."""
SPLIT = (
    "back pack", "back packs", "sun glasses", "side walk", "skate board", "snow board", "surf board", "motor cycle", "motor bike",
    "water fall", "lap top", "key board", "tooth brush", "suit case", "hand bag", "foot ball", "base ball", "basket ball",
    "tea pot", "cup board", "book shelf", "pony tail", "sweat shirt", "rain coat", "head phones", "air plane", "tea spoon", "butter fly",
    "straw berry", "lamp post", "lamp shade", "table cloth", "note book", "dash board", "fire place", "wind shield", "sail boat",
    "rail road", "sun flower", "card board",
)  # fmt: skip
"""Words that are one, written as two. None that mean something apart too: "the white board", "every one of the cups"."""
CLOSED = tuple(
    sorted(
        {
            *(word for table in (lexicon.SIDES, lexicon.RELATIONS, lexicon.ORDINALS) for word in table),
            *(
                word
                for word, keyword in lexicon.EXTREMES.items()
                if keyword in (*lexicon.SIDES.values(), "near", "far")
            ),
            *lexicon.COLOURS,
            *("behind", "front", "corner", "without", "except", "picture"),
        }
    )
)
"""Words of place, order and colour in which a slip is mended."""
SURELY_WORDS = 3
"""Words without an English one from which a text of Latin letters is taken for another language."""
SHORTEST = 4
"""Letters of a word that may be a slip of one of them."""

_SIDE = r"(?:left|right|top|bottom|upper|lower|front|rear|back|center|middle)"
_ORDINAL = "|".join(lexicon.ORDINALS)
_COUNTS = dict(
    zip(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        list(lexicon.ORDINALS)[:10],
        strict=True,
    )
)
_COUNTS |= dict(zip(map(str, range(1, 11)), list(lexicon.ORDINALS)[:10], strict=True))
_PICKING = "|".join(
    sorted({*lexicon.EXTREMES, *lexicon.ORDINALS, "left", "right", "top", "bottom", "upper", "lower", "middle"})
)
_EXCEPT = r"(?:except(?: for)?|excluding|besides|but|other than|apart from|without)"
_CONVERSE = {
    "above": "below", "over": "below", "below": "above", "under": "above", "beneath": "above", "behind": "in front of",
    "in front of": "behind", "next to": "next to", "beside": "next to", "near": "near",
}  # fmt: skip
"""What a thing is to another that is so to it."""
_LEAST = {
    "big": "smallest", "large": "smallest", "small": "largest", "little": "largest", "tall": "shortest", "short": "tallest",
    "wide": "narrowest", "narrow": "widest", "close": "farthest", "far": "closest",
}  # fmt: skip
"""What "least" makes of a size."""
_FURNITURE = "table|desk|counter|kitchen counter|bench|couch|sofa|chair|bed|shelf|stove|car|van|truck|bus"
_HAVING = r"\b(?:with|(?:(?:that|which|who) )?(?:has|have|having))"
_END = r"(?=$|[,.;]| (?:from|on|in|at|of)\b)"


def _rule(
    pattern: str, made: str | Callable[[re.Match[str]], str]
) -> tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]:
    return re.compile(pattern), made


_RULES = (
    # courtesies and chat
    _rule(
        r"^(?:(?:hi|hello|hey|hmm+|um+|uh+|ok|okay|lol|sorry|well|so|oh|yo|actually|oops)\b[ ,.!:]*)+(?=[a-z0-9])", ""
    ),
    _rule(
        r"^i(?:'d| would)? (?:guess|think|mean|meant|believe|want|need|like|see)(?: you)?(?: to (?:find|select|get|have))?[ ,]+",
        "",
    ),
    _rule(r"^(?:just|now|then) (?=(?:get|find|select|pick|show|the|a)\b)", ""),
    _rule(r"[ ,.!]*(?:\b(?:thanks|thank you|thx|ty|please|pls|plz|cheers)\b[ ,.!]*)+$", ""),
    _rule(r"^(?:pls|plz)\b ?", ""),
    _rule(
        r"^(?:(?:can|could|would|will) you )?(?:please |pls |plz )?(?:click|tap|klick)(?:ing)?\b(?: on\b)?(?: the\b)? ?",
        "",
    ),
    _rule(r"[ ,.]*\b(?:click|tap) (?:it|here|there|that|this|on it)$", ""),
    # a list without "and"
    _rule(
        r"^([a-z]+), ([a-z]+), ([a-z]+)$",
        lambda found: found[0] if any(map(_is_no_thing, found.groups())) else f"{found[1]}, {found[2]} and {found[3]}",
    ),
    # one word for two, two for one
    _rule(r"\b([a-z]+) ' ?s\b", r"\1's"),
    _rule(r"\b(with|in|on|of|from|behind|around|by|holding) it's\b", r"\1 its"),
    _rule(rf"\b(?:{'|'.join(SPLIT)})\b", lambda found: found[0].replace(" ", "")),
    _rule(r"\b(to|on|in|of|at|by|from|with|)t he (?=[a-z])", r"\1 the "),
    _rule(r"\b(left|right)[ -]?hand (side|corner)\b", r"\1 \2"),
    _rule(r"\b([a-z]+) plus (?=[a-z]+)", r"\1 and "),
    _rule(r"\bin in front\b", "in front"),
    _rule(rf"\b({_SIDE})[ -]most\b", r"\1most"),
    _rule(r"\bcentermost|middlemost\b", "middle"),
    _rule(r"\btop ?most\b", "topmost"),
    # counted from the end, from a number
    _rule(r"\b(?:no|nr)\. ?(?=\d)", "number "),
    _rule(
        rf"\b(?:the )?({_ORDINAL}) (?:to|from) (?:the )?last ([a-z][a-z -]*?)(?: from the (left|right))?$",
        lambda found: f"the {found[1]} {found[2]} from the {lexicon.OPPOSITES[found[3] or 'left']}",
    ),
    _rule(
        r"\b([a-z]+) (?:number|no\.?|nr\.?) ?(one|two|three|four|five|six|seven|eight|nine|ten|10|[1-9]) from\b",
        lambda found: f"{_COUNTS[found[2]]} {found[1]} from",
    ),
    # an exception without its noun
    _rule(rf"\b({_EXCEPT} (?:the |a )?(?:{_PICKING})){_END}", r"\1 one"),
    # a landmark that says where it is
    _rule(
        r"\b(?:the )?([a-z]+)'s? (left|right)(?:[ -]?hand)? neighbou?r\b",
        r"the thing to the \2 of the \1",
    ),
    _rule(
        rf"{_HAVING} (?:the|a|an) ([a-z]+(?: [a-z]+)?) (?:on|to|at) (?:its|his|her|their) (left|right)(?: side)?\b",
        lambda found: f"to the {lexicon.OPPOSITES[found[2]]} of the {found[1]}",
    ),
    _rule(
        rf"{_HAVING} (?:the|a|an) ([a-z]+(?: [a-z]+)?) ({'|'.join(_CONVERSE)}) (?:it|him|her|them)\b",
        lambda found: f"{_CONVERSE[found[2]]} the {found[1]}",
    ),
    _rule(r"^((?:to the |on the )(?:left|right) of\b)", r"the thing \1"),
    _rule(
        r"\b(?:farthest|furthest) from the (left|right)\b(?: side| edge| end)?",
        lambda found: f"{lexicon.OPPOSITES[found[1]]}most",
    ),
    _rule(r"\bfar(?: away)? from the\b", "farthest from the"),
    _rule(r"\b(?:painted|colou?red) (" + "|".join(lexicon.COLOURS) + r")\b", r"that is \1"),
    _rule(
        rf"\bleast ({'|'.join(_LEAST)})\b",
        lambda found: _LEAST[found[1]],
    ),
    # the upper side of what things stand on
    _rule(rf"\b(on|onto|against|over) ((?:the|a|an|his|her) )?({_FURNITURE})[ -](?:tops?|backs?)\b", r"\1 \2\3"),
    _rule(rf"^(?:the )?({_FURNITURE})[ -](top|back)$", r"the \2 of the \1"),
    _rule(rf"\b({'|'.join((*lexicon.COLOURS, 'grey'))})[ -]colou?red\b", r"\1"),
    _rule(r"\bmulti[ -]colou?red\b", "multicolored"),
    # one of several
    _rule(
        r"\b(?!(?:every|any) )(?:the )?((?:[a-z-]+ )+)one of the ([a-z]+)s\b$",
        lambda found: f"the {found[1]}{lexicon.singular(found[2] + 's')}",
    ),
    # the depth before its noun
    _rule(r"^(?:the )?(foreground|background) ([a-z][a-z -]*)$", r"\2 in the \1"),
    # a colour behind its noun
    _rule(
        rf"^((?:the )?(?:(?:{_SIDE}|{_SIDE}most) )?)([a-z]+) ({'|'.join(lexicon.COLOURS)})(?=$|,)",
        lambda found: found[0] if _is_no_noun(found[2]) else f"{found[1]}{found[3]} {found[2]}",
    ),
)


def normalise(text: str) -> str:
    """An expression with its short forms and slips written out, its invisible characters left out.

    Args:
        text: Cleaned and lower-cased (`clean_expression`).
    """
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    spelled = re.sub(r"\bw/(?!o\b)\s*", "with ", visible)
    line = " ".join(_spell(word) for word in spelled.split())
    for pattern, made in _RULES:
        line = " ".join(pattern.sub(made, line).split())
    return line or text


def is_foreign(text: str) -> bool:
    """Whether a text plainly has no English in it: no English word at all, and letters of another script, or several words.

    A single word of Latin letters may be a rare English one. Languages that share short words with English are not told.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    has_english = any(word in _closed() or word in _english() for word in words if len(word) > 1 and word.isascii())
    return bool(words) and not has_english and (len(words) >= SURELY_WORDS or not "".join(words).isascii())


def _spell(word: str) -> str:
    bare = word.strip(",.;:!?\\/")
    if not bare:
        return word
    meant = SHORT_FORMS.get(bare) or _mend(bare)
    return word.replace(bare, meant) if meant else word.strip("\\")


@lru_cache(maxsize=10_000)
def _mend(word: str) -> str | None:
    """The word of place, order or colour that a word is one slip away from, if it is no English word itself."""
    if len(word) < SHORTEST or not word.isalpha() or word in _closed() or word in _english():
        return None
    return spelling.suggest([word], CLOSED).get(word)


@lru_cache(maxsize=1)
def _closed() -> frozenset[str]:
    return frozenset(CLOSED)


@lru_cache(maxsize=1)
def _english() -> frozenset[str]:
    """Words that CLIP's tokenizer has a token of their own for: some 30,000 of the usual ones (`open_clip` has the list)."""
    package = find_spec("open_clip")  # found, not imported: that takes seconds
    assert package is not None
    assert package.submodule_search_locations
    packed = (Path(package.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    merges = gzip.decompress(packed).decode("utf-8").split("\n")[1 : 49_152 - 256 - 2 + 1]
    whole = ("".join(merge.split()) for merge in merges if merge.endswith("</w>"))
    return frozenset(word.removesuffix("</w>") for word in whole)


def _is_no_noun(word: str) -> bool:
    """Words before a colour that do not make it one of theirs: "in red", "dark red", "is red"."""
    return word in _OTHERS or word in lexicon.COLOURS or word in lexicon.EVERY


def _is_no_thing(word: str) -> bool:
    """Words that stand in a list of what is said of one thing: "woman, left, smiling"."""
    return _is_no_noun(word) or word in lexicon.GARMENTS or word in grammar.PLACES or word.endswith(("ing", "ed"))


_OTHERS = lexicon.words(
    "in with is and or not wearing light dark bright pale that has are of the a an all most more mostly very painted colored"
) | frozenset([*lexicon.SIDES, *lexicon.EXTREMES, *lexicon.ORDINALS, *lexicon.NUMBERS])
