"""What is named only to say that it is not meant: on words alone, and with the bundled parser."""

import pytest

from ris_core.language import lexicon, negation
from ris_core.language.parser import Parser
from ris_core.runtime.weights import BUNDLED_FOLDER


def rules_out(text: str) -> bool:
    """Whether the thing in brackets is ruled out: "not [the tree]"."""
    before, _, rest = text.partition("[")
    inside, _, after = rest.partition("]")
    words = [part.split() for part in (before, inside, after)]
    start = len(words[0])
    return negation.rules_out([word for part in words for word in part], start, start + len(words[1]))


@pytest.mark.parametrize(
    "text",
    [
        "[not the tree]",
        "[no tree]",
        "[never the tree]",
        "[neither tree] nor frog",
        "none of [the trees]",
        "do n't select [the tree]",
        "is nt [the tree]",
        "it is not [the tree]",
        "all but [the tree]",
        "everything except for [the tree]",
        "with the exception of [the tree]",
        "without [the tree]",
        "instead of [the tree]",
        "ignore [the tree]",
        "[excluding tree]",
        "[non - tree]",
        "[the tree] , not",
        "[the tree] is not what i want",
        "[tree] excluded",
    ],
)
def test_what_is_ruled_out(text):
    assert rules_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "[the tree]",
        "[the not red tree]",
        "[non - red trees]",
        "[the tree] that is not red",
        "[the man] not wearing a hat",
        "[the dog] without a leash",
        "[the tree] , not the frog",
        "not the frog but [the tree]",
        "not on the left , [the tree]",
        "not next to the car [the tree]",
        "nothing but [the tree]",
        "no one except [the man]",
        "no , [the tree]",
        "[the no parking sign]",
        "[the delete key]",
        "[delete key]",
        "the dog outside [the house]",
        "[the bar stool]",
        "[bar stool]",
        "save [the tree]",
    ],
)
def test_what_is_meant(text):
    assert not rules_out(text)


WORDINGS = """
not the {0} | no {0} | not a single {0} | never the {0} | neither {0} nor car | none of the {0}s | all but the {0} | without the {0}
everything except the {0} | anything other than the {0} | everything with the exception of the {0} | every thing save for the {0}
excluding the {0} | excluding {0} | {0} not | {0}, no | the {0} is not it | the {0} I don't want | non-{0} | the non-{0} object
don't select the {0} | don’t select the {0} | dont pick the {0} | do not mark the {0} | it isn't the {0} | it isn’t the {0}
isnt the {0} | it ain't the {0} | can't be the {0} | I do not want the {0} | ignore the {0} | leave out the {0} | instead of the {0}
the thing that is not the {0} | whatever isn't a {0} | the one that's not a {0} | something other than the {0} | hardly the {0}
not the {0} on the left | not the red {0} | anything except the big {0} | NOT THE {0} | not looking for the {0} | ! {0}
its not the {0} | its not a {0} | everything bar the {0} | all save the {0} | everything minus the {0}
everything w/o the {0} | w/o {0} | all excluding {0}s | with the exclusion of the {0} | in place of the {0} | remove the {0}
drop the {0} | delete the {0} | reject the {0} | disregard the {0} | forget the {0} | forget about the {0} | get rid of the {0}
leave the {0} out | everything outside the {0} | all outside of the {0} | ~ {0}
"""


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(BUNDLED_FOLDER / "parser")


@pytest.mark.slow
@pytest.mark.parametrize("noun", ["tree", "frog", "helmet", "person", "clock"])
@pytest.mark.parametrize(
    "wording", [wording.strip() for line in WORDINGS.strip().splitlines() for wording in line.split("|")]
)
def test_a_negated_target_is_never_what_is_asked_for(parser, wording, noun):
    referents = parser.parse(wording.format(noun)).referents
    assert all(noun not in referent.phrase for referent in referents)
    assert all(referent.is_only_denied for referent in referents)


@pytest.mark.slow
@pytest.mark.parametrize("denial", ["not", "isn't", "isn’t", "isnt", "is not", "is never", "ain't"])
def test_every_spelling_of_not_is_read(parser, denial):
    linked = "that " if denial != "not" else ""
    [frog] = parser.parse(f"the frog {linked}{denial} pink").referents
    assert (frog.phrase, [other.phrase for other in frog.excluded]) == ("frog", ["pink frog"])


@pytest.mark.slow
@pytest.mark.parametrize("text", ["the big frog!", "THE BIG FROG!!!", "the big frog !?!"])
def test_who_shouts_denies_nothing(parser, text):
    [frog] = parser.parse(text).referents
    assert (frog.phrase, frog.excluded) == ("frog", ())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("not the frog but the cars", ("car", "car")),
        ("everything except the tree", ("", "")),
        ("the big cars, not the frog", ("cars", "the big cars")),
        ("grey scissors on the left", ("scissors", "grey scissors")),
    ],
)
def test_what_is_meant_names_the_label(parser, text, meant):
    assert parser.parse(text).meant == meant


@pytest.mark.parametrize("words", [lexicon.NEGATIONS, lexicon.EXCEPTIONS], ids=["negations", "exceptions"])
def test_every_word_that_denies_rules_out_what_follows(words):
    left = {word for word in words if not rules_out(f"everything {word} [the tree]")}
    assert left <= lexicon.NOBODIES | {"non"}
