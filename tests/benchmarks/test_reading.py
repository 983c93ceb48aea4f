"""How readings are compared with a person's."""

import pytest

from benchmarks.reading import GoldReading, judge_reading, measure, read_gold
from ris_core.errors import UnknownName
from ris_core.language.parser import Parser
from ris_core.runtime.weights import BUNDLED_FOLDER


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser(BUNDLED_FOLDER / "parser")


def gold(
    text: str, heads: str, landmarks: str = "", excluded: str = "", number: str = "1", words: str = ""
) -> GoldReading:
    sets = (frozenset(filter(None, part.split(","))) for part in (heads, landmarks, excluded))
    return GoldReading("noun", text, *sets, number, tuple(filter(None, words.split(","))))


@pytest.mark.parametrize(
    ("reading", "wrong"),
    [
        (gold("the cups left of the kettle", "cup", "kettle", number="n", words="cups,left,kettle"), set()),
        (gold("the cup left of the kettle", "kettle", "kettle"), {"head"}),
        (gold("the cup left of the kettle", "cup"), {"landmarks"}),
        (gold("the cup", "cup", "kettle"), {"landmarks"}),
        (gold("the cup that is not red", "cup", excluded="red"), set()),
        (gold("the cup that is not red", "cup"), {"excluded"}),
        (gold("the two cups", "cup", number="3"), {"number"}),
        (gold("the cup and the kettle", "cup"), {"head", "extra"}),
        (gold("the cup and the kettle", "cup,kettle", number="2"), set()),
        (gold("player 23", "player", words="player,23"), set()),
        (gold("the cup", "cup", words="cup,handle"), {"lost"}),
    ],
)
def test_every_part_of_a_reading_is_compared(parser, reading, wrong):
    verdict = judge_reading(reading, parser.parse(reading.text))
    right = {name: getattr(verdict, name) for name in ("head", "landmarks", "excluded", "number")}
    right |= {"extra": not verdict.extra, "lost": not verdict.lost}
    assert {name for name, is_right in right.items() if not is_right} == wrong
    assert verdict.whole == (not wrong - {"lost"})


def test_the_gold_is_split_and_holds_every_class():
    tune, test = read_gold("tune"), read_gold("test")
    assert (len(tune), len(test)) == (220, 110)
    assert len({one.text for one in (*tune, *test)}) == 330
    assert {one.kind for one in tune} == {one.kind for one in test}


@pytest.mark.slow
def test_readings_stay_as_good_as_they_were(parser):
    report = measure(parser, "tune")
    assert report.shares()["whole"] >= 0.88
    assert report.shares()["denied"] == 1
    assert "Read otherwise" in report.to_markdown()
    assert '"whole"' in report.to_json()


def test_an_unknown_split_is_refused():
    with pytest.raises(UnknownName, match=r"'train'.*tune, test"):
        read_gold("train")
