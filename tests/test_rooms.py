"""The rooms of the house, and the names in it; `python tools/rooms.py` prints them."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tools import classes, rooms

ROOT = Path(__file__).parents[1]
METAPHORS = re.compile(
    "Desk|Ticket|Errand|Wish|Grant|Standing|Offer(?!ed)|Mend|Shown(?!Region)|Means|Shift|Steward|Bookkeeper|Tall(y|ies)|Halves$|Noting|"
    "Things|Keeping|Pusher|Ledger|Verbs"
)
"""Words that stood for something else than what a reader of the field takes them for."""
ROOMS = 26
MEDIAN_MODULE = 130
LONGEST_FUNCTION = 60


@pytest.fixture(scope="module")
def house() -> rooms.House:
    return rooms.measure()


def test_there_are_few_rooms_and_no_circle(house):
    assert len(house.rooms) <= ROOMS
    assert house.find_circle() == ()
    assert rooms.measure("ris_core").find_circle() == ()


@pytest.mark.parametrize("package", ["backend", "ris_core"])
def test_contracts_name_every_room(package):
    """`exhaustive` in import-linter does so too; here it is seen that both mean the same rooms."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one.get("containers") == [package] and one["exhaustive"]]
    contracted = {f"{package}.{name}" for layer in layers for name in re.split(r"\s*[|:]\s*", layer)}
    measured = {name for name in rooms.measure(package).rooms if name.startswith(f"{package}.")}
    assert contracted - measured <= {*rooms.OLD_NAMES, f"{package}.__main__"}
    assert measured <= contracted


def test_a_circle_is_found():
    house = rooms.House({}, {"a": {"b": 1}, "b": {"c": 1}, "c": {"a": 1}})
    assert set(house.find_circle()) == {"a", "b", "c"}


def test_every_room_says_what_it_is_for(house):
    assert [name for name, room in house.rooms.items() if not room.purpose] == []


def test_modules_and_functions_are_short():
    assert rooms.median_module() <= MEDIAN_MODULE
    assert [place for length, place in rooms.list_functions() if length > LONGEST_FUNCTION] == []


def test_a_class_name_has_one_meaning():
    counts = Counter(one.name for one in classes.list_classes())
    assert [name for name, count in counts.items() if count > 1] == []


def test_class_names_are_the_fields_words():
    assert [one for one in classes.list_classes() if METAPHORS.search(one.name)] == []


def test_every_class_says_what_it_is():
    assert [one for one in classes.list_classes() if not one.meaning] == []
