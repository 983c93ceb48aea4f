"""From a dependency parse to the words of the method: target noun phrase, other noun phrases, position and relation.

Pure functions over a spaCy document with ClearNLP-style labels; importing this module loads nothing. Without `quirks`
the intended behaviour is computed. An identifier in `quirks` brings back what the released code does there:

    Q-ROOT       The last root heads the expression ("red shirt. left side" -> "left side"), and an object may stand
                 for it ("wearing a hat" -> "a hat"). Intended: the first root that names a thing; never an object.
    Q-OTHERSELF  Other noun phrases are told from the target by their text: "man behind man" has none, and if the
                 whole sentence is the target ("there is a dog"), the thing itself counts. Intended: by place.
    Q-DEPTH      Of several keywords the one whose syntactic head stands first in the sentence wins. Intended: whose
                 head stands highest in the tree.
    Q-RIGHT      The relation "right" never fires. Intended: it does.
    Q-PRONOUN    Pronouns ("that is red", "next to him") count as other noun phrases. Intended: they name nothing.
    Q-WORDS      The released word lists. Intended: with "leftmost", "center", "corner", "largest" and the like.
    Q-KEYWORD    A keyword counts wherever it stands and for both flags; another noun such as "side" switches
                 relations off. Intended: with a landmark ("left of the dog") it is a relation, without one ("left
                 guy", "on the left of the picture") a position; inside another noun phrase ("next to the left dog"),
                 as a particle ("sitting down") or a direction of gaze ("facing left") it is neither.
    Q-NEGATED    What is only said not to be meant is the target ("not the dog" -> the dog). Intended: it is refused
                 (by `ris_core.segmentation.segmenter`, which has the parser's quirks).

Sources: [0] Yu et al., "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023 (target);
[1] Liu and Li, "Hybrid Global-Local Representation with Augmented Spatial Guidance", CVPR 2025 (everything else); the
quirks are those of their released code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token

QUIRKS = frozenset({"Q-ROOT", "Q-OTHERSELF", "Q-DEPTH", "Q-RIGHT", "Q-PRONOUN", "Q-WORDS", "Q-KEYWORD", "Q-NEGATED"})
"""Every quirk that this module can reproduce."""

Quirks = frozenset[str]
_FIXED: Quirks = frozenset()


@dataclass(frozen=True)
class Phrases:
    """What an expression says about the thing it refers to.

    Attributes:
        target: Noun phrase of the thing; the whole text if there is none.
        head: Its head noun; the whole text if there is no noun phrase.
        is_whole: No noun phrase was found, `target` is the whole text.
        others: The other noun phrases, in order.
        other_heads: The head noun of each.
        position: "left", "right", "middle", "up", "down" or "none": where in the picture.
        relation: "left", "right", "up", "down", "big", "small", "within" or "none": against the other things.
    """

    target: str
    head: str
    is_whole: bool
    others: tuple[str, ...]
    other_heads: tuple[str, ...]
    position: str
    relation: str


class TargetPhrase(NamedTuple):
    """The noun phrase of the target and the token that heads it."""

    phrase: Span
    head: Token


class Keyword(NamedTuple):
    """A keyword's flag and the index of its token; "none" and -1 if there is no keyword."""

    flag: str
    token_index: int


NO_KEYWORD = Keyword("none", -1)


def analyse(doc: Doc, quirks: Quirks = _FIXED) -> Phrases:
    """Read everything off one parse.

    Args:
        doc: A parsed, lower-cased expression with at least one token.
        quirks: Identifiers from the module's table; others are ignored.

    Raises:
        ValueError: If `doc` has no token.
    """
    if len(doc) == 0:
        raise ValueError("The expression has no words. Reject empty text before parsing it.")
    target = find_target(doc, quirks)
    others = find_others(doc, target, quirks)
    whole = doc[:].text  # unlike doc.text it never ends in a blank
    return Phrases(
        target=target.phrase.text if target else whole,
        head=target.head.text if target else whole,
        is_whole=target is None,
        others=tuple(phrase.text for phrase in others),
        other_heads=tuple(phrase.root.text for phrase in others),
        position=find_position(doc, target, others, quirks).flag,
        relation=find_relation(doc, target, others, quirks).flag,
    )


def find_target(doc: Doc, quirks: Quirks = _FIXED) -> TargetPhrase | None:
    """The noun phrase that holds a root or else the root's first child; None means: take the whole sentence."""
    phrase_of = {token.i: phrase for phrase in doc.noun_chunks for token in phrase}
    roots = [token for token in doc if token.head.i == token.i]
    if "Q-ROOT" in quirks:
        return _phrase_at(roots[-1], phrase_of, lambda child: True)
    phrases = [_phrase_at(root, phrase_of, lambda child: child.dep_ not in OBJECT_LABELS) for root in roots]
    candidates = [target for target in phrases if target]
    things = [target for target in candidates if target.head.lower_ not in PLACES]
    places = [target for target in candidates if target.head in roots]
    return next(iter(things + places), None)


def find_others(doc: Doc, target: TargetPhrase | None, quirks: Quirks = _FIXED) -> list[Span]:
    """The noun phrases that name something besides the target, in order."""
    ignored = RELEASED_IGNORED if "Q-WORDS" in quirks else PLACES
    phrases = [phrase for phrase in doc.noun_chunks if phrase.root.lower_ not in ignored]
    if "Q-PRONOUN" not in quirks:
        phrases = [p for p in phrases if p.root.pos_ != "PRON" or p.root.lower_ in ("one", "ones")]
    if "Q-OTHERSELF" in quirks:
        target_text = target.phrase.text if target else doc[:].text
        return [phrase for phrase in phrases if phrase.text != target_text]
    own = target.phrase if target else next((p for p in phrases if p.root.dep_ not in OBJECT_LABELS), None)
    return [phrase for phrase in phrases if own is None or phrase.start != own.start]


def find_position(doc: Doc, target: TargetPhrase | None, others: list[Span], quirks: Quirks = _FIXED) -> Keyword:
    """The keyword that says where in the picture the target is."""
    keywords = RELEASED_POSITIONS if "Q-WORDS" in quirks else POSITIONS
    if "Q-KEYWORD" in quirks:
        return _scan(doc, keywords, lambda token: True, quirks)
    return _scan(doc, keywords, lambda token: _is_keyword(token, others) and not _has_landmark(token, target), quirks)


def find_relation(doc: Doc, target: TargetPhrase | None, others: list[Span], quirks: Quirks = _FIXED) -> Keyword:
    """The keyword that compares the target with other things."""
    keywords = dict(RELEASED_RELATIONS if "Q-WORDS" in quirks else RELATIONS)
    if "Q-RIGHT" in quirks:
        keywords = {word: flag for word, flag in keywords.items() if flag != "right"}
    if "Q-KEYWORD" in quirks:
        if any(phrase.root.lower_ in RELEASED_FRAME_NOUNS for phrase in others):
            return NO_KEYWORD
        return _scan(doc, keywords, lambda token: True, quirks)
    return _scan(doc, keywords, lambda token: _is_keyword(token, others) and _compares(token, target), quirks)


OBJECT_LABELS = frozenset({"pobj", "dobj", "dative", "pcomp"})
"""Labels of nouns that a verb or preposition takes: landmarks and belongings, not the thing itself."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


RELEASED_IGNORED = _words("""
    left west right east above north top back behind below south under front bigger larger closer smaller tinier further
    inside within contained who what which middle
    """)
"""Head words of noun phrases that name no other thing, as released."""

RELEASED_FRAME_NOUNS = _words("part image side picture half region section photo")
"""Nouns that stand for the picture or a part of it, as released."""

FRAME_NOUNS = RELEASED_FRAME_NOUNS | _words("""
    corner edge end background foreground frame screen scene view photograph pic shot area distance
    """)
"""Nouns that stand for the picture or a part of it."""

PLACES = RELEASED_IGNORED | FRAME_NOUNS | _words("bottom center centre rear leftmost rightmost")
"""Head words of noun phrases that are places in the picture rather than things."""


def _by_word(table: Mapping[str, str]) -> dict[str, str]:
    return {word: flag for flag, words in table.items() for word in words.split()}


RELEASED_POSITIONS = _by_word(
    {
        "left": "left",
        "right": "right",
        "middle": "middle between",
        "up": "up top above",
        "down": "down under bottom low",
    }
)
POSITIONS = RELEASED_POSITIONS | _by_word(
    {
        "left": "leftmost",
        "right": "rightmost",
        "middle": "center centre central",
        "up": "upper topmost uppermost highest",
        "down": "lower lowest bottommost beneath underneath",
    }
)
RELEASED_RELATIONS = _by_word(
    {
        "left": "left west",
        "right": "right east",
        "up": "above north top back behind",
        "down": "below south under front",
        "big": "bigger larger closer",
        "small": "smaller tinier further smallest",
        "within": "inside within contained",
    }
)
RELATIONS = RELEASED_RELATIONS | _by_word(
    {
        "up": "atop higher",
        "down": "beneath underneath lower",
        "big": "biggest largest closest",
        "small": "tiniest farther furthest farthest",
    }
)
_DISTANCES = _words("closer closest further furthest farther farthest")
"""Sizes only without a landmark: the closer dog looks bigger, the one closer to the tree does not."""

_PREPOSITIONS = _words("above below under behind between beneath underneath inside within atop")
"""Keywords that take their landmark directly; all others need a link."""

LINKS = _words("of to from than")
"""Words between a keyword and its landmark."""

GAZES = _words("facing looking turned turning pointing heading leaning walking running")
"""Verbs of a direction; what follows them is no place of the thing."""


def _phrase_at(
    root: Token, phrase_of: Mapping[int, Span], accepts_child: Callable[[Token], bool]
) -> TargetPhrase | None:
    if root.i in phrase_of:
        return TargetPhrase(phrase_of[root.i], root)
    child = next(iter(root.children), None)
    if child is not None and child.i in phrase_of and accepts_child(child):
        return TargetPhrase(phrase_of[child.i], child)
    return None


def _scan(doc: Doc, keywords: Mapping[str, str], accepts: Callable[[Token], bool], quirks: Quirks) -> Keyword:
    """The accepted keyword with the best head; the first of equals."""
    best, best_rank = NO_KEYWORD, math.inf
    for token in doc:
        rank = token.head.i if "Q-DEPTH" in quirks else len(list(token.head.ancestors))
        if token.lower_ in keywords and rank < best_rank and accepts(token):
            best, best_rank = Keyword(keywords[token.lower_], token.i), rank
    return best


def _is_keyword(token: Token, others: list[Span]) -> bool:
    """Whether a keyword can speak about the target at all."""
    return is_free(token) and not any(phrase.start <= token.i < phrase.end for phrase in others)


def is_free(token: Token) -> bool:
    """Whether a keyword says where something is, and is not an intensifier, particle, verb, gaze or part of a body."""
    is_intensifier = (
        token.lower_ == "right"
        and token.dep_ == "advmod"
        and token.head.i > token.i
        and token.head.pos_ in ("ADP", "ADV")
    )
    owners = [*token.children, *token.doc[max(token.i - 1, 0) : token.i]]
    is_body_part = any(word.dep_ == "poss" or word.tag_ == "PRP$" for word in owners)  # "with his back to us"
    return not (is_intensifier or is_body_part or token.dep_ == "prt" or _is_gaze(token) or _is_leaving(token))


def _is_gaze(token: Token) -> bool:
    head = token.head.head if token.head.lower_ in ("to", "toward", "towards") else token.head
    return head.lower_ in GAZES and token.pos_ != "ADP"


def _is_leaving(token: Token) -> bool:
    """ "the bag LEFT on the chair": a participle, which parsers often take for the side."""
    after = token.doc[token.i + 1 : token.i + 2]
    if token.lower_ != "left" or token.dep_ not in ("acl", "advmod", "relcl") or after.text in LINKS:
        return False
    things = [phrase for phrase in token.doc.noun_chunks if phrase.root.lower_ not in PLACES]
    return any(word.pos_ == "ADP" for word in after) and any(phrase.start == token.i + 2 for phrase in things)


def _compares(token: Token, target: TargetPhrase | None) -> bool:
    if _has_landmark(token, target):
        return token.lower_ not in _DISTANCES
    return token.lower_ not in POSITIONS


def _has_landmark(token: Token, target: TargetPhrase | None) -> bool:
    """Whether a thing follows that the keyword is measured against: "left OF THE DOG", "behind THE DOG".

    Read off the surface, because parsers often attach "left of the dog" wrongly.
    """
    if target and target.phrase.start <= token.i < target.phrase.end:
        return False
    doc = token.doc
    i = token.i + 1
    while i < len(doc) and doc[i].lower_ in FRAME_NOUNS:  # "on the left side of the dog"
        i += 1
    if i < len(doc) and doc[i].lower_ in LINKS:
        i += 1
    elif token.lower_ not in _PREPOSITIONS:
        return False
    return any(phrase.start == i and phrase.root.lower_ not in PLACES for phrase in doc.noun_chunks)
