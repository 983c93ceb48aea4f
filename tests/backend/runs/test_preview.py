"""The sheet of a preview: what was found is outlined, and what was not is marked."""

import numpy as np
import pytest

from backend.db.records import Answer
from backend.runs import preview
from backend.runs.item import Query, RunItem
from ris_core.geometry.masks import to_rle
from ris_core.types import Image

PIXELS = np.full((60, 80, 3), 128, np.uint8)


def answer(decision: str) -> Answer:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:60] = True
    candidate = {"rank": 1, "score": 0.8, "bbox_xywh": [20, 10, 40, 40], "mask": to_rle(mask), "parts": {}}
    selected = [] if decision == "no_match" else [0]
    return Answer("the box", "Object", decision, "v", "e", "0" * 64, 60, 80, [candidate], selected)


def sheet(*decisions: str) -> np.ndarray:
    item = make_item(tuple(map(answer, decisions)))
    return preview.draw([item], lambda _: Image.from_array(PIXELS))


def make_item(answers: tuple[Answer, ...]) -> RunItem:
    queries = tuple(Query(one.expression) for one in answers)
    return RunItem("r", 5, "scene.png", queries, "done", attempt=1, deferrals=0, answers=answers)


MARKS = {
    "sure": (("match", "match"), None),
    "unsure": (("match", "ambiguous"), preview.UNSURE_RGB),
    "nothing found": (("ambiguous", "no_match"), preview.NOTHING_RGB),
}


@pytest.mark.parametrize(("decisions", "rgb"), MARKS.values(), ids=MARKS)
def test_a_tile_is_framed_where_something_is_unsure_or_not_found(decisions, rgb):
    drawn = sheet(*decisions)
    assert (drawn[1, : preview.TILE_PX] == (128 if rgb is None else rgb)).all()


def test_an_outline_has_a_black_and_a_white_rim():
    drawn = sheet("match")
    row = drawn[100, : preview.TILE_PX]
    assert (row == 0).all(-1).any()
    assert (row == 255).all(-1).any()
