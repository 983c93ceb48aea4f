"""Trees of text without function words, mended: in "nurse green mask" the first noun is the thing, and the last is what it wears.

A parser takes the last noun of a row for its head, as in "coffee cup". Two signs tell otherwise: an adjective behind the first noun, and
a person before a thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ris_core.language import hypernyms, lexicon

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_NOUNS = frozenset(("NOUN", "PROPN"))
_FOLLOWING = frozenset(("ADJ", "NOUN", "PROPN", "NUM"))
_YOUNG = lexicon.words("baby child kid")
"""People that animals are called by: "baby elephant"."""


_ENDINGS = ("ed", "ing", "ful", "ish", "less", "ous", "ive")
"""Of adjectives."""


def retie(doc: Doc) -> Doc:
    """The document with the first of juxtaposed nouns above the last; the same if there are none."""
    for token in doc:
        if token.dep_ == "ROOT" and token.pos_ == "ADJ" and _is_placed(token):
            return retie(_rebuild(doc, _as_noun(token.i)))
        if _is_look_of_its_apposition(token):
            return retie(
                _rebuild(_swap(doc, token.i + 1, token.i, "amod"), {"pos": {token.i: "ADJ"}, "tags": {token.i: "JJ"}})
            )
        if _is_said_of_its_modifier(token):
            return retie(_rebuild(_swap(doc, token.i - 1, token.i, "acl"), _as_noun(token.i - 1)))
        if _is_juxtaposed(token):
            return retie(_swap(doc, token.i, token.head.i))
    return doc


def _is_juxtaposed(token: Token) -> bool:
    head = token.head
    if head.i <= token.i or not (_is_noun(token) and _is_noun(head)) or lexicon.singular(token.lower_) != token.lower_:
        return False  # "kids lunchbox" is theirs
    if any(word.pos_ == "DET" for word in token.doc):
        return False  # "a baby polar bear" is no telegram
    between = token.doc[token.i + 1 : head.i]
    if any(word.pos_ not in _FOLLOWING for word in between):
        return False
    if len(between):
        return between[0].pos_ == "ADJ" or between[0].lower_ in lexicon.COLOURS
    is_person = token.lower_ not in _YOUNG and hypernyms.is_kind_of(token.lower_, "person")
    return is_person and not hypernyms.is_kind_of(head.lower_, "person") and head.dep_ == "ROOT"


def _is_placed(token: Token) -> bool:
    """Whether a word that is no known adjective has a noun or a place behind it: then it is a noun ("tray under the cup")."""
    tables = (lexicon.COLOURS, lexicon.SIDES, lexicon.EXTREMES, lexicon.ORDINALS)
    is_look = any(token.lower_ in words for words in tables) or token.lower_.endswith(_ENDINGS)
    return not is_look and any(child.dep_ in ("appos", "prep") for child in token.rights)


def _is_look_of_its_apposition(token: Token) -> bool:
    """Whether a participle stands above the noun behind it: "multicolored PENCIL"."""
    after = token.doc[token.i + 1 : token.i + 2]
    return (
        token.dep_ == "ROOT"
        and token.lower_.endswith("ed")
        and any(word.dep_ == "appos" and word.head == token for word in after)
    )


def _is_said_of_its_modifier(token: Token) -> bool:
    """Whether a participle took the noun before it, with its article, for a word of its own: "a SEAGULL perched on the rail"."""
    if token.pos_ != "VERB" or token.i == 0:
        return False
    before = token.nbor(-1)
    has_article = any(child.dep_ == "det" and child.i < before.i for child in token.lefts)
    return has_article and before.head == token and before.dep_ in ("compound", "amod", "nmod")


def _as_noun(i: int) -> dict[str, dict[int, Any]]:
    return {"pos": {i: "NOUN"}, "tags": {i: "NN"}}


def _is_noun(token: Token) -> bool:
    return token.pos_ in _NOUNS and not any(token.lower_ in words for words in (lexicon.COLOURS, lexicon.SIDES))


def _swap(doc: Doc, first: int, last: int, label: str = "appos") -> Doc:
    heads = {token.i: first for token in doc if token.head.i == last and not first < token.i < last}
    is_root = doc[last].head.i == last
    heads |= {first: first if is_root else doc[last].head.i, last: first}
    return _rebuild(doc, {"heads": heads, "deps": {first: doc[last].dep_, last: label}})


def _rebuild(doc: Doc, changes: dict[str, dict[int, Any]]) -> Doc:
    from spacy.tokens import Doc as NewDoc  # here, because it loads torch

    def column(name: str, values: list[Any]) -> list[Any]:
        return [changes.get(name, {}).get(i, value) for i, value in enumerate(values)]

    return NewDoc(
        doc.vocab,
        words=[token.text for token in doc],
        tags=column("tags", [token.tag_ for token in doc]),
        pos=column("pos", [token.pos_ for token in doc]),
        morphs=[str(token.morph) for token in doc],
        deps=column("deps", [token.dep_ for token in doc]),
        heads=column("heads", [token.head.i for token in doc]),
    )
