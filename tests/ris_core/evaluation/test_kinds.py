from dataclasses import replace

import pytest

from ris_core.evaluation.kinds import KINDS, kind_of
from ris_core.language.values import Clause, Referent
from tests.toy import LastWordParser

APPLE = Referent("red apple", "apple")
LEFT = Clause("position", "left", "on the left")
OF_DOG = Clause("relation", "left", "left of", landmarks=(Referent("dog", "dog"),))
AMID = Clause("relation", "between", "between", landmarks=(Referent("dog", "dog"), Referent("cat", "cat")))


@pytest.mark.parametrize(
    ("referents", "kind"),
    [
        pytest.param([Referent("apple", "apple")], "noun", id="apple"),
        pytest.param([APPLE], "attribute", id="red apple"),
        pytest.param([replace(APPLE, clauses=(LEFT,))], "position", id="red apple on the left"),
        pytest.param([replace(APPLE, clauses=(LEFT, OF_DOG))], "relation", id="left of the dog, on the left"),
        pytest.param([replace(APPLE, clauses=(AMID,))], "between", id="between the dog and the cat"),
        pytest.param(
            [replace(APPLE, clauses=(Clause("rank", "large", "largest"),))], "superlative", id="largest apple"
        ),
        pytest.param(
            [replace(APPLE, clauses=(Clause("rank", "left", "from the left", rank=2),))], "ordinal", id="second apple"
        ),
        pytest.param([replace(APPLE, number=2)], "plural", id="two apples"),
        pytest.param([replace(APPLE, number=None)], "plural", id="all apples"),
        pytest.param([APPLE, Referent("dog", "dog")], "plural", id="the apple and the dog"),
        pytest.param([replace(APPLE, excluded=(Referent("red", ""),))], "negation", id="apple that is not red"),
        pytest.param(
            [replace(APPLE, clauses=(replace(LEFT, is_negated=True),))], "negation", id="apple not on the left"
        ),
    ],
)
def test_an_expression_is_of_its_hardest_kind(referents, kind):
    expression = replace(LastWordParser().parse("the red apple"), referents=tuple(referents))
    assert kind_of(expression) == kind
    assert kind in KINDS


@pytest.mark.parametrize(("text", "kind"), [("apple", "noun"), ("red apple", "attribute")])
def test_what_was_not_read_is_told_by_its_words(text, kind):
    assert kind_of(LastWordParser().parse(text)) == kind
