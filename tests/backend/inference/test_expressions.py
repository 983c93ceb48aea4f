"""What an expression means where its region goes."""

from types import SimpleNamespace

import pytest

from backend.inference.expressions import read_expression
from backend.label_studio.label_config import read_config
from ris_core.language.parser import Parser
from ris_core.language.vocabulary import Vocabulary
from ris_core.output.explain import read_as
from ris_core.runtime.weights import BUNDLED_FOLDER

SMALL = Vocabulary(nouns=frozenset(["goat", "field"]), adjectives=frozenset(["brown"]))


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(BUNDLED_FOLDER / "parser")


def reading(parser: Parser, text: str, *labels: str, vocabulary: Vocabulary | None = None) -> str:
    values = "".join(f'<Label value="{label}"/>' for label in labels)
    [control] = read_config(
        '<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>'
        f'<BrushLabels name="brush" toName="image">{values}</BrushLabels></View>'
    ).controls
    return read_as(read_expression(SimpleNamespace(parser=parser, vocabulary=vocabulary), text, control))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the one", "brown goat"),
        ("middle right", "brown goat (middle, right)"),
        ("the second from the left", "brown goat (second from the left)"),
        ("the largest one that is not on the left", "brown goat (largest, not on the left)"),
        ("the white one", "white brown goat"),
        ("the horse on the left", "horse (on the left)"),
        ("not the left one", "anything (not anything (left))"),
        ("corner", "anything"),
    ],
)
def test_what_only_points_means_the_only_label(parser, text, expected):
    assert reading(parser, text, "Brown_Goat") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", [("Object",), ("Target region",), ("03",), ("\u043a\u043e\u0437\u0430",), ("Goat", "Horse")]
)
def test_a_label_that_says_nothing_or_one_of_several_does_not(parser, labels):
    assert reading(parser, "the one on the left", *labels) == "anything (on the left)"


@pytest.mark.slow
@pytest.mark.parametrize(("label", "expected"), [("Goats", "goat"), ("Brown goat", "brown goat"), ("Yak", "anything")])
def test_a_label_that_the_encoder_does_not_know_is_not_asked_for(parser, label, expected):
    assert reading(parser, "the one", label, vocabulary=SMALL) == expected


@pytest.mark.slow
def test_a_label_that_a_memory_knows_is_asked_for(parser):
    named = SMALL.with_names({"yak"})
    assert reading(parser, "the one", "Yaks", vocabulary=named) == "yak"
    assert reading(parser, "the one", "Brown yak", vocabulary=named) == "brown yak"
    assert reading(parser, "the one", "Yak goat", vocabulary=named) == "anything"
