"""The trained demo parser, the treebank conversion and the phrase grammar that it was trained with."""

import gzip
import json
from collections import Counter

import pytest
import spacy
from spacy.vocab import Vocab

from demo.phrases import make_phrases
from demo.sprites import HERE
from demo.train_parser import OUTPUT, make_doc
from demo.ud_to_clear import Token, convert, read_treebank
from ris_core.language.grammar import analyse
from ris_core.language.parser import Parser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(OUTPUT)


@pytest.mark.parametrize(
    ("text", "target", "others", "position", "relation"),
    [
        ("man in blue shirt", "man", ("blue shirt",), "none", "none"),
        ("left guy", "left guy", (), "left", "none"),
        ("second zebra from the left", "second zebra", (), "left", "none"),
        ("the red apple left of the dog", "the red apple", ("the dog",), "none", "left"),
        ("the car that is not red", "the car", (), "none", "none"),
        ("largest cat", "largest cat", (), "none", "big"),
        ("woman holding an umbrella", "woman", ("an umbrella",), "none", "none"),
        ("the cup between the dog and the cat", "the cup", ("the dog", "the cat"), "none", "none"),
        ("guy on the far right", "guy", (), "right", "none"),
        ("the yellow banana to the right of the elephant", "the yellow banana", ("the elephant",), "none", "right"),
        ("the two cats", "the two cats", (), "none", "none"),
        ("the book at the top", "the book", (), "up", "none"),
        ("pizza slice in the bottom left corner", "pizza slice", (), "down", "none"),
        ("a white rabbit below the blue car", "a white rabbit", ("the blue car",), "none", "down"),
        ("standing on the left", "standing on the left", (), "left", "none"),
        ("in the middle", "in the middle", (), "middle", "none"),
    ],
)
def test_the_trained_parser_reads_referring_expressions(parser, text, target, others, position, relation):
    read = parser.parse(text)
    assert (read.target_phrase, read.other_phrases) == (target, others)
    assert (read.position, read.relation) == (position, relation)


def test_every_class_of_the_vocabulary_is_a_target_and_a_landmark(parser):
    vocabulary = json.loads((HERE / "vocabulary.json").read_text(encoding="utf-8"))
    names, tints = list(vocabulary["classes"]), list(vocabulary["tints"])
    for i, name in enumerate(names):
        target, other = f"the {tints[i % len(tints)]} {name}", f"the {names[i - 1]}"
        read = parser.parse(f"{target} left of {other}")
        assert (read.target_phrase, read.head, read.other_phrases) == (target, name, (other,))
        assert (read.position, read.relation) == ("none", "left")


def test_the_trained_parser_separates_fragments(parser):
    assert parser.parse("red shirt. left side").target_phrase == "red shirt"


def test_the_pipeline_carries_its_attribution_and_is_small():
    meta = json.loads((OUTPUT / "meta.json").read_text(encoding="utf-8"))
    assert "CC BY-SA 4.0" in meta["license"]
    assert "Silveira" in (OUTPUT / "README.md").read_text(encoding="utf-8")
    assert "Attribution-ShareAlike 4.0" in (OUTPUT / "LICENSE-UD-EWT.txt").read_text(encoding="utf-8")
    assert sum(f.stat().st_size for f in OUTPUT.rglob("*") if f.is_file()) < 6_000_000


def test_phrases_are_seeded_and_exclude_what_they_must():
    phrases = make_phrases(50, seed=3)
    texts = {" ".join(t.text for t in tree) for tree in phrases}
    again = make_phrases(50, seed=3, exclude=frozenset(texts))
    assert phrases == make_phrases(50, seed=3)
    assert texts.isdisjoint(" ".join(t.text for t in tree) for tree in again)


def test_phrases_are_trees_with_a_target(blank_vocab):
    wholes = 0
    for tree in make_phrases(300, seed=4):
        assert_is_forest(tree)
        wholes += analyse(make_doc(blank_vocab, tree)).is_whole
    assert 0 < wholes < 100  # fragments such as "standing on the left"


UD = {
    "preposition": (
        "the/DET/DT/det>2 dog/NOUN/NN/root>0 on/ADP/IN/case>5 the/DET/DT/det>5 mat/NOUN/NN/nmod>2",
        "det>2 ROOT>2 prep>2 det>5 pobj>3",
    ),
    "preposition heads a fragment": (
        "in/ADP/IN/case>2 front/NOUN/NN/root>0 ./PUNCT/./punct>2",
        "ROOT>1 pobj>1 punct>1",
    ),
    "two prepositions": (
        "out/ADP/IN/case>4 of/ADP/IN/case>4 the/DET/DT/det>4 box/NOUN/NN/root>0",
        "ROOT>1 prep>1 det>4 pobj>2",
    ),
    "coordinated prepositions": (
        "cat/NOUN/NN/root>0 in/ADP/IN/case>3 hat/NOUN/NN/nmod>1 or/CCONJ/CC/cc>6 on/ADP/IN/case>6 mat/NOUN/NN/conj>3",
        "ROOT>1 prep>1 pobj>2 cc>2 conj>2 pobj>5",
    ),
    "copula with adjective": (
        "car/NOUN/NN/nsubj>4 is/AUX/VBZ/cop>4 not/PART/RB/advmod>4 red/ADJ/JJ/root>0",
        "nsubj>2 ROOT>2 neg>2 acomp>2",
    ),
    "copula with place": (
        "man/NOUN/NN/nsubj>4 is/AUX/VBZ/cop>4 at/ADP/IN/case>4 home/NOUN/NN/root>0",
        "nsubj>2 ROOT>2 prep>2 pobj>3",
    ),
    "relative clause": (
        "car/NOUN/NN/root>0 that/PRON/WDT/nsubj>4 is/AUX/VBZ/cop>4 red/ADJ/JJ/acl:relcl>1",
        "ROOT>1 nsubj>3 relcl>1 acomp>3",
    ),
    "there is": (
        "there/PRON/EX/expl>2 is/VERB/VBZ/root>0 a/DET/DT/det>4 dog/NOUN/NN/nsubj>2",
        "expl>2 ROOT>2 det>4 attr>2",
    ),
    "flat name": ("Ann/PROPN/NNP/nsubj>3 Lee/PROPN/NNP/flat>1 eats/VERB/VBZ/root>0", "compound>2 nsubj>3 ROOT>3"),
    "passive with agent": (
        "Al/NOUN/NN/nsubj:pass>3 was/AUX/VBD/aux:pass>3 seen/VERB/VBN/root>0 by/ADP/IN/case>5 men/NOUN/NNS/obl:agent>3",
        "nsubjpass>3 auxpass>3 ROOT>3 agent>3 pobj>4",
    ),
    "possessive": ("man/NOUN/NN/nmod:poss>3 's/PART/POS/case>1 hat/NOUN/NN/root>0", "poss>3 case>1 ROOT>3"),
    "conjuncts form a chain": (
        "a/NOUN/NN/root>0 ,/PUNCT/,/punct>3 b/NOUN/NN/conj>1 and/CCONJ/CC/cc>5 c/NOUN/NN/conj>1",
        "ROOT>1 punct>1 conj>1 cc>3 conj>3",
    ),
}


@pytest.mark.parametrize("name", UD)
def test_conversion_to_clear_labels(name):
    source, expected = UD[name]
    tokens = []
    for i, item in enumerate(source.split()):
        text, pos, tag, edge = item.split("/", 3)
        dep, head = edge.rsplit(">", 1)
        tokens.append(Token(text, pos, tag, int(head) - 1 if head != "0" else i, dep))
    assert " ".join(f"{t.dep}>{t.head + 1}" for t in convert(tokens)) == expected


def test_read_treebank_skips_ranges_and_empty_nodes(tmp_path):
    rows = [
        "# text = don't",
        "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tdo\tdo\tAUX\tVB\tMood=Imp|VerbForm=Fin\t0\troot\t_\t_",
        "2\tn't\tnot\tPART\tRB\t_\t1\tadvmod\t_\t_",
        "2.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_",
        "",
    ]
    file = tmp_path / "tiny.conllu.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.write("\n".join(rows) + "\n")
    assert list(read_treebank(file)) == [
        [Token("do", "AUX", "VB", 0, "root", "VerbForm=Fin"), Token("n't", "PART", "RB", 0, "advmod", "")]
    ]


@pytest.fixture(scope="module")
def blank_vocab() -> Vocab:
    return spacy.blank("en").vocab


def assert_is_forest(tree: list[Token]) -> None:
    labels = Counter(t.dep == "ROOT" for i, t in enumerate(tree) if t.head == i)
    assert labels[False] == 0
    assert labels[True] >= 1
    for i in range(len(tree)):
        steps = 0
        while tree[i].head != i:
            i, steps = tree[i].head, steps + 1
            assert steps <= len(tree), f"a circle in {tree}"
