"""No expression that is read fails to be judged: every word of the lexicon in every construction of the grammar."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.phrases import make_phrases
from demo.train_parser import make_doc
from ris_core import Expression, Proposals
from ris_core.geometry import placement
from ris_core.language import grammar, lexicon
from ris_core.language.parser import Parser
from ris_core.language.referents import read
from ris_core.language.values import Clause, Referent
from ris_core.methods.guided import GuidedMethod
from ris_core.runtime.weights import BUNDLED_FOLDER
from ris_core.types import EncodedImage

SIZE_HW = (60, 80)
DOG, CAT = Referent("dog", "dog"), Referent("cat", "cat")
MEASURES = {*lexicon.SIDES.values(), *lexicon.EXTREMES.values(), *lexicon.OPPOSITES, *lexicon.RIMS.values()} - {
    "near",
    "far",
}
NAMED = ["the cat", "two dogs", "the camera", "the edge of the picture"]
TEMPLATES = {
    "side": ["{} dog", "dog on the {}", "the {}", "dog at the far {}", "second dog from the {}", "dog closest to the {}",
             "the dog farthest from the {} of the picture", "the last dog closest to the {}", "not the {} dog", "the {} one",
             "dog nearest the very {}", "the third dog furthest {}", "the dog that is not on the {}", "{} side of the dog"],
    "extreme": ["the {} dog", "the {} of the dogs", "{}", "dog that is {}", "the second {} dog", "the last {} dog", "the not {} dog",
                "the two {} dogs", "dog that is not the {}", "dog {} than the cat", "the {} dog of the picture", "the {} one"],
    "ordinal": ["the {} dog", "{} from the middle", "the {} dog closest to the center", "the {} of the dogs", "{} dog in the middle"],
    "number": ["{} dogs", "the {} largest dogs", "{} of the dogs closest to the center", "between {} dogs", "all but {} dogs"],
    "frame": ["dog closest to the {}", "dog in the {}", "the {}", "left of the {}", "dog between the {} and the cat", "dog {}"],
    "exception": ["the dog {} the cat", "all dogs {} the left one", "{} the dog", "dogs {} the largest", "everything {} two dogs"],
}  # fmt: skip
WORDS = {
    "side": lexicon.SIDES.keys() | lexicon.RIMS.keys() | lexicon.DEPTHS.keys(),
    "extreme": lexicon.EXTREMES,
    "ordinal": [*lexicon.ORDINALS, lexicon.LAST],
    "number": [*lexicon.NUMBERS, *lexicon.EVERY],
    "frame": grammar.PLACES | lexicon.PLACEHOLDERS.keys() | lexicon.VIEWERS,
    "exception": lexicon.EXCEPTIONS | lexicon.NEGATIONS,
}


def written() -> Iterator[str]:
    """Every word in every template of its kind, and everything that needs a landmark with every kind of landmark."""
    for kind, templates in TEMPLATES.items():
        for word, template in itertools.product(sorted(WORDS[kind]), templates):
            yield template.format(word)
    relating = {**lexicon.RELATIONS, **lexicon.SIDES, **lexicon.EXTREMES, **dict.fromkeys(lexicon.HOLDING)}
    for word, link, named in itertools.product(sorted(relating), ("", "of ", "to ", "than "), NAMED):
        yield f"the dog {word} {link}{named}"


def image(count: int) -> EncodedImage:
    """So many things in a row, some of them parts of others."""
    rng = np.random.default_rng(count)
    masks = np.zeros((count, *SIZE_HW), bool)
    for mask in masks:
        y, x = rng.integers(0, 40), rng.integers(0, 60)
        mask[y : y + rng.integers(2, 20), x : x + rng.integers(2, 20)] = True
    seen = rng.normal(size=(count, 4))
    return EncodedImage("0" * 64, SIZE_HW, Proposals.from_masks(masks), {"global": seen, "local": seen}, "fp")


IMAGES = [image(count) for count in (1, 2, 7)]
METHODS = [
    GuidedMethod(without=["negatives", "colours"]),
    GuidedMethod(negatives=("dog",), without=["colours"], calibration="demo"),
]


def judge(
    expression: Expression, methods: Sequence[GuidedMethod] = METHODS, images: Sequence[EncodedImage] = IMAGES
) -> None:
    """Ask it of every image by every method."""
    for method, encoded in itertools.product(methods, images):
        features = {name: np.full(4, len(text) % 3 + 1.0) for name, text in method.texts(expression).items()}
        scores = method.score(encoded, expression, features, 20.0)
        assert np.isfinite(scores.values).all(), expression.text
        assert ((scores.values >= 0) & (scores.values <= 1 + 1e-9)).all(), expression.text


def asked(referent: Referent) -> Expression:
    return Expression(
        referent.label, referent.label, "dog", "dog", (), "none", "none", is_whole=False, referents=(referent,)
    )


@pytest.mark.parametrize("keyword", sorted(MEASURES))
def test_everything_that_can_be_ordered_by_is_measured(keyword):
    layout = placement.ProposalLayout(np.array([[0.0, 0, 10, 20], [30, 30, 5, 5]]), np.array([200.0, 25]), SIZE_HW)
    assert np.isfinite(placement.measure(layout, keyword)).all()
    for is_negated, rank in itertools.product((False, True), (1, 3)):
        judge(asked(Referent("dog", "dog", (Clause("rank", keyword, keyword, (), rank, is_negated),))))


@pytest.mark.parametrize("keyword", sorted(set(lexicon.SIDES.values()) | set(lexicon.DEPTHS.values())))
def test_every_place_in_the_picture_is_judged(keyword):
    judge(asked(Referent("dog", "dog", (Clause("position", keyword, keyword),))))


@pytest.mark.parametrize("keyword", sorted({*lexicon.RELATIONS.values(), *MEASURES, "with"} - {"middle", "edge"}))
@pytest.mark.parametrize("landmarks", [(CAT,), (CAT, DOG), (Referent("", "", (), 2),)], ids=["one", "two", "nameless"])
def test_every_relation_is_judged(keyword, landmarks):
    judge(asked(Referent("dog", "dog", (Clause("relation", keyword, keyword, landmarks),))))


def test_every_keyword_that_can_be_counted_from_has_an_opposite():
    assert set(lexicon.SIDES.values()) | set(lexicon.EXTREMES.values()) | MEASURES <= set(lexicon.OPPOSITES)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_every_tree_of_the_phrase_grammar_is_judged(seed):
    vocab = spacy.blank("en").vocab
    for tree in make_phrases(3, seed):
        doc = make_doc(vocab, tree)
        expression = Expression(
            doc.text, doc.text, "dog", "dog", (), "none", "none", is_whole=False, referents=read(doc)
        )
        judge(expression, METHODS[1:], IMAGES[2:])


def form(referent: Referent) -> tuple:
    """What decides how a referent is judged: everything but its words."""
    clauses = [
        (clause.kind, clause.keyword, min(clause.rank, 2), clause.is_negated, tuple(map(form, clause.landmarks)))
        for clause in referent.clauses
    ]
    return bool(referent.phrase), referent.number, tuple(clauses), tuple(map(form, referent.excluded))


@pytest.mark.slow
def test_every_word_in_every_construction_is_judged():
    """With the parser that reads them: some 2,500 expressions, most of which people would never write; each form judged once."""
    parser = Parser(BUNDLED_FOLDER / "parser")
    expressions = map(parser.parse, written())
    for expression in {tuple(map(form, expression.referents)): expression for expression in expressions}.values():
        judge(expression, METHODS[:1], IMAGES[2:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the pencil closest to the center", "middle"),
        ("the pencil nearest the middle of the picture", "middle"),
        ("the pencil farthest from the centre", "edge"),
        ("the pencil closest to the edge", "edge"),
        ("the pencil farthest from the edge of the picture", "middle"),
        ("the pencil closest to the left", "left"),
        ("the pencil farthest from the left", "right"),
        ("the pencil furthest to the left", "left"),
        ("the pencil furthest left", "left"),
        ("the pencil farthest from the bottom", "up"),
    ],
)
def test_near_and_far_from_a_part_of_the_picture(text, expected):
    parser = Parser(BUNDLED_FOLDER / "parser")
    [pencil] = parser.parse(text).referents
    assert [(clause.kind, clause.keyword) for clause in pencil.clauses] == [("rank", expected)]
