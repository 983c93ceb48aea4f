"""What lies beyond the words that an encoder was trained on is named, and nothing is guessed for it."""

import pytest

from demo.captions import plural
from demo.sprites import vocabulary
from ris_core.errors import UnknownName, UnknownWord
from ris_core.language.values import Clause, Referent
from ris_core.language.vocabulary import Vocabulary
from ris_core.types import Expression
from tests.ris_core.outlines import outline

KNOWN = Vocabulary(frozenset({"frog", "tree", "cup", "bus", "cactus", "airplane"}), frozenset({"red", "gray"}))
TREE, KITTEN = Referent("tree", "tree"), Referent("kitten", "kitten")


def restricted(*referents: Referent) -> tuple[str, tuple[str, ...]]:
    asked = Expression("", "", "", "", (), "none", "none", is_whole=False, referents=referents)
    left = KNOWN.restrict(asked)
    return " & ".join(outline(referent) for referent in left.referents), left.unused


def test_the_demos_vocabulary_is_what_its_encoder_was_trained_on():
    known = Vocabulary.load("demo")
    assert (known.nouns, known.adjectives) == (set(vocabulary()["classes"]), set(vocabulary()["tints"]))
    assert all(known.knows(plural(noun)) for noun in vocabulary()["classes"])


@pytest.mark.parametrize(
    "word", ["frog", "frogs", "buses", "cacti", "cactuses", "gray", "grey", "aeroplane", "aeroplanes"]
)
def test_words_are_known_in_every_number_and_spelling(word):
    assert KNOWN.knows(word)


def left_of(*landmarks: Referent) -> Clause:
    return Clause("relation", "left", "left of it", landmarks)


@pytest.mark.parametrize(
    ("referents", "expected", "unused"),
    [
        pytest.param([Referent("red frog", "frog")], "red frog", (), id="all known"),
        pytest.param([Referent("shiny red frog", "frog")], "red frog", ("shiny",), id="an adjective"),
        pytest.param([Referent("frog with red ribbon", "frog")], "frog", ("ribbon",), id="a belonging"),
        pytest.param([Referent("frog with red cup", "frog")], "frog with red cup", (), id="a known belonging"),
        pytest.param([Referent("frog", "frog", (left_of(TREE),))], "frog: left of (tree)", (), id="a known landmark"),
        pytest.param([Referent("frog", "frog", (left_of(KITTEN),))], "frog", ("kitten",), id="a landmark"),
        pytest.param(
            [Referent("frog", "frog", (left_of(Referent("old tree", "tree")),))],
            "frog: left of (tree)",
            ("old",),
            id="an adjective of a landmark",
        ),
        pytest.param(
            [Referent("frog", "frog", (), 1, (Referent("shiny frog", "frog"),))], "frog", ("shiny",), id="an exclusion"
        ),
        pytest.param([Referent("frog", "frog"), KITTEN], "frog", ("kitten",), id="one of two"),
        pytest.param([Referent("", "", (left_of(TREE),))], "anything: left of (tree)", (), id="no noun"),
        pytest.param(
            [
                Referent(
                    "frog", "frog", (Clause("rank", "near", "near me", (Referent("photographer", "photographer"),)),)
                )
            ],
            "frog: rank near 1 (photographer)",
            (),
            id="who looks at the picture",
        ),
    ],
)
def test_what_is_not_known_is_left_out_and_named(referents, expected, unused):
    assert restricted(*referents) == (expected, unused)


@pytest.mark.parametrize(
    ("referent", "words"),
    [
        pytest.param(KITTEN, ("kitten",), id="the noun"),
        pytest.param(Referent("red kitten", "kitten", (left_of(TREE),)), ("kitten",), id="with known words around it"),
        pytest.param(Referent("shiny object", ""), ("shiny",), id="nothing but an adjective"),
        pytest.param(Referent("", "", (), None, (KITTEN,)), ("kitten",), id="everything except it"),
        pytest.param(Referent("", "", (left_of(KITTEN),)), ("kitten",), id="nothing but a landmark"),
    ],
)
def test_nothing_is_asked_where_nothing_is_known(referent, words):
    with pytest.raises(UnknownWord, match="does not know “") as caught:
        restricted(referent)
    assert caught.value.words == words


NAMED = KNOWN.with_names({"wug"})
WUG = Referent("wug", "wug")


def test_a_name_passes_as_the_noun_of_a_thing_and_says_nothing_about_others():
    def left(*referents: Referent) -> tuple[str, tuple[str, ...]]:
        asked = NAMED.restrict(Expression("", "", "", "", (), "none", "none", is_whole=False, referents=referents))
        return " & ".join(outline(one) for one in asked.referents), asked.unused

    assert left(Referent("shiny red wug", "wug")) == ("red wug", ("shiny",))
    assert left(Referent("frog", "frog", (left_of(WUG),))) == ("frog: left of (wug)", ())
    assert left(Referent("wug frog", "frog")) == ("frog", ("wug",))
    with pytest.raises(UnknownWord) as caught:
        left(KITTEN)
    with pytest.raises(UnknownWord) as before:
        restricted(KITTEN)
    assert str(caught.value) == str(before.value)
    assert (NAMED.words, NAMED.digest) == (KNOWN.words, KNOWN.digest)


def test_what_was_not_read_passes():
    assert restricted() == ("", ())


def test_an_unknown_vocabulary_is_named_with_those_that_exist():
    with pytest.raises(UnknownName, match=r"No vocabulary named 'mars'\. Available: demo\."):
        Vocabulary.load("mars")


def test_the_digest_changes_with_the_words():
    assert KNOWN.digest != Vocabulary(KNOWN.nouns, KNOWN.nouns).digest


@pytest.mark.parametrize(("text", "words"), [("🌳", ("🌳",)), ("the ~kitten", ("~kitten",))])
def test_what_was_not_read_at_all_is_not_known_either(text, words):
    asked = Expression(text, text, text, "", (), "none", "none", is_whole=True, referents=(Referent(),))
    with pytest.raises(UnknownWord) as caught:
        KNOWN.restrict(asked)
    assert caught.value.words == words


@pytest.mark.parametrize("text", ["anything", "the one", "all of them , please", "the object"])
def test_what_asks_for_anything_is_asked(text):
    asked = Expression(text, text, text, "", (), "none", "none", is_whole=True, referents=(Referent(),))
    assert KNOWN.restrict(asked).referents == (Referent(),)
