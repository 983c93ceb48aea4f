"""Read Universal Dependencies trees and turn them into ClearNLP-style ones, which spaCy's English noun chunks need.

UD makes content words the heads; ClearNLP lets prepositions and copulas head their phrases:

    UD         dog <-nmod- mat <-case- on          he <-nsubj- tall <-cop- is
    ClearNLP   dog <-prep- on <-pobj- mat          he <-nsubj- is -acomp-> tall

The conversion is a set of local rewrites, not a full grammar: good enough to train a small parser on.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

KEPT_FEATURES = ("Definite", "Degree", "NumType", "Number", "Person", "Polarity", "PronType", "Tense", "VerbForm")
"""Morphological features that the pipeline learns; the others would only add rare labels."""


@dataclass(frozen=True)
class Token:
    """One word of a tree. `head` is an index into the sentence; the root is its own head."""

    text: str
    pos: str
    tag: str
    head: int
    dep: str
    morph: str = ""


def read_treebank(path: Path) -> Iterator[list[Token]]:
    """Yield the sentences of a gzipped CoNLL-U file, labels as in UD, without multi-word ranges and empty nodes."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows: list[list[str]] = []
        for line in file:
            if line.strip() and not line.startswith("#"):
                rows.append(line.rstrip("\n").split("\t"))
            elif not line.strip() and rows:
                yield [_token(row) for row in rows if row[0].isdigit()]
                rows = []


def convert(sentence: list[Token]) -> list[Token]:
    """Rewrite one UD tree into a ClearNLP-style tree over the same words."""
    tree = _Tree(sentence)
    for step in (_turn_names, _raise_copulas, _raise_prepositions, _chain_conjuncts, _rename_labels):
        step(tree)
    return tree.tokens()


class _Tree:
    """Heads and labels that the steps below rewrite in place."""

    def __init__(self, sentence: list[Token]) -> None:
        self.words = sentence
        self.head = [token.head for token in sentence]
        self.dep = [token.dep for token in sentence]
        self.preposition: dict[int, int] = {}  # object of a preposition -> the first preposition over it

    def __len__(self) -> int:
        return len(self.words)

    def children(self, i: int) -> list[int]:
        return [k for k in range(len(self)) if self.head[k] == i and k != i]

    def is_root(self, i: int) -> bool:
        return self.head[i] == i

    def put_above(self, new: int, old: int) -> None:
        """Give `new` the place of `old` in the tree; the caller then hangs `old` below."""
        self.head[new] = new if self.is_root(old) else self.head[old]
        self.dep[new] = self.dep[old]

    def tokens(self) -> list[Token]:
        return [replace(w, head=h, dep=d) for w, h, d in zip(self.words, self.head, self.dep, strict=True)]


def _turn_names(tree: _Tree) -> None:
    """UD heads a flat name by its first word, ClearNLP by its last: without this "Barack Obama" is no noun chunk."""
    for first in range(len(tree)):
        parts = [k for k in tree.children(first) if tree.dep[k].startswith("flat")]
        if not parts:
            continue
        last = parts[-1]
        others = [k for k in tree.children(first) if k not in parts]
        tree.put_above(last, first)
        for k in [first, *parts[:-1]]:
            tree.head[k], tree.dep[k] = last, "compound"
        for k in others:
            tree.head[k] = last


_CLAUSE_LABELS = ("nsubj", "csubj", "aux", "mark", "expl", "advcl", "parataxis", "discourse", "vocative", "cop")


def _raise_copulas(tree: _Tree) -> None:
    """Make the copula head its clause and the predicate `attr`, `acomp` or a prepositional phrase below it."""
    for verb in range(len(tree)):
        if tree.dep[verb] != "cop" or tree.is_root(verb):
            continue
        predicate = tree.head[verb]
        siblings = [k for k in tree.children(predicate) if k != verb]
        tree.put_above(verb, predicate)
        tree.head[predicate], tree.dep[predicate] = verb, _predicate_label(tree.words[predicate])
        for k in siblings:
            if _belongs_to_clause(tree, k, verb, predicate):
                tree.head[k] = verb


def _predicate_label(word: Token) -> str:
    if word.pos in ("NOUN", "PROPN", "PRON", "NUM"):
        return "attr"
    return {"ADJ": "acomp", "VERB": "ccomp", "ADV": "advmod"}.get(word.pos, "attr")


def _belongs_to_clause(tree: _Tree, k: int, verb: int, predicate: int) -> bool:
    label = tree.dep[k]
    if label.startswith(_CLAUSE_LABELS):
        return True
    if label == "conj":  # "is red and has wheels" joins clauses, "is red and blue" joins predicates
        return tree.words[k].pos in ("VERB", "AUX") or any(
            tree.dep[c].startswith(("nsubj", "cop")) for c in tree.children(k)
        )
    if label in ("punct", "cc"):
        return k < verb or k > predicate
    if label == "advmod":
        return k < min(verb, predicate) or tree.words[k].text.lower() in ("not", "n't")
    return label.startswith("obl") and tree.words[predicate].pos not in ("ADJ", "VERB")


_OUTER_LABELS = ("punct", "parataxis", "discourse", "vocative", "advcl", "nsubj", "aux", "expl", "mark")


def _raise_prepositions(tree: _Tree) -> None:
    """Turn `case` below a noun into `prep` above it, the noun its `pobj`; before gerunds, `mark` too (`pcomp`)."""
    for noun in range(len(tree)):
        markers = [k for k in tree.children(noun) if _is_preposition(tree, k)]
        if not markers:
            continue
        label = "pcomp" if tree.words[noun].tag == "VBG" and tree.dep[markers[0]] == "mark" else "pobj"
        chain = [k for m in markers for k in [m, *(f for f in tree.children(m) if tree.dep[f] == "fixed")]]
        siblings = [k for k in tree.children(noun) if k not in chain]
        top = chain[0]
        tree.put_above(top, noun)
        tree.dep[top] = _preposition_label(tree, noun)
        for above, below in pairwise(chain):
            tree.head[below], tree.dep[below] = above, "prep"
        tree.head[noun], tree.dep[noun] = chain[-1], label
        tree.preposition[noun] = top
        for k in siblings:
            outside = k < top and tree.dep[k] != "conj"
            if outside or (tree.is_root(top) and tree.dep[k].startswith(_OUTER_LABELS)):
                tree.head[k] = top
    for noun, top in tree.preposition.items():  # "in the house and in the car": the second preposition joins the first
        first = tree.head[top]
        if tree.dep[top] == "conj" and first in tree.preposition:
            tree.head[top] = tree.preposition[first]
            for k in tree.children(noun):
                if tree.dep[k] in ("cc", "punct") and k < top:
                    tree.head[k] = top


def _is_preposition(tree: _Tree, k: int) -> bool:
    word = tree.words[k]
    if tree.dep[k] == "case":
        return word.tag != "POS"
    return tree.dep[k] == "mark" and word.tag == "IN" and tree.words[tree.head[k]].tag == "VBG"


def _preposition_label(tree: _Tree, noun: int) -> str:
    label = tree.dep[noun]
    if label in ("root", "conj"):
        return label
    return "agent" if label == "obl:agent" else "prep"


def _chain_conjuncts(tree: _Tree) -> None:
    """UD hangs all conjuncts on the first, ClearNLP each on the one before, together with the conjunction."""
    for first in range(len(tree)):
        conjuncts = [k for k in tree.children(first) if tree.dep[k] == "conj" and k > first]
        previous = first
        for k in conjuncts:
            tree.head[k] = previous
            for c in tree.children(k):
                if tree.dep[c] in ("cc", "punct") and c < k:
                    tree.head[c] = previous
            previous = k


_LABELS = {
    "root": "ROOT", "obj": "dobj", "iobj": "dative", "nsubj:pass": "nsubjpass", "nsubj:outer": "nsubj",
    "csubj:pass": "csubjpass", "csubj:outer": "csubj", "aux:pass": "auxpass", "acl:relcl": "relcl",
    "advcl:relcl": "advcl", "nmod:poss": "poss", "nmod:desc": "compound", "nmod:unmarked": "npadvmod",
    "obl:unmarked": "npadvmod", "obl": "npadvmod", "obl:agent": "npadvmod", "compound:prt": "prt",
    "det:predet": "predet", "cc:preconj": "preconj", "discourse": "intj", "vocative": "npadvmod", "fixed": "advmod",
    "flat": "compound", "list": "dep", "goeswith": "dep", "reparandum": "dep", "orphan": "dep", "dislocated": "dep",
    "cop": "aux",
}  # fmt: skip
"""UD label -> ClearNLP label where they differ and no structure changes."""


def _rename_labels(tree: _Tree) -> None:
    for i, word in enumerate(tree.words):
        label = tree.dep[i]
        parent = tree.words[tree.head[i]]
        if label == "advmod" and word.text.lower() in ("not", "n't"):
            tree.dep[i] = "neg"
        elif label == "xcomp" and word.pos in ("ADJ", "NOUN", "PROPN"):
            tree.dep[i] = "acomp" if word.pos == "ADJ" else "attr"
        elif label == "nsubj" and i > tree.head[i] and parent.text.lower() in _BE and _has_there(tree, tree.head[i]):
            tree.dep[i] = "attr"  # "there is a dog"
        else:
            tree.dep[i] = _LABELS.get(label, label)


_BE = ("is", "are", "was", "were", "be", "been", "'s")


def _has_there(tree: _Tree, verb: int) -> bool:
    return any(tree.dep[k] == "expl" and tree.words[k].text.lower() == "there" for k in tree.children(verb))


def _token(row: list[str]) -> Token:
    index, head = int(row[0]) - 1, int(row[6]) - 1
    features = [f for f in row[5].split("|") if f.split("=")[0] in KEPT_FEATURES]
    return Token(row[1], row[3], row[4], index if head < 0 else head, row[7], "|".join(sorted(features)))
