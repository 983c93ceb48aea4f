import numpy as np
import pytest

from ris_core.errors import BadInput
from ris_core.types.prompts import PromptEmbedding, Prompts

NOTHING = np.zeros((0, 2)), np.zeros(0, bool)
POINT = np.array([[3.0, 4.0]])
GOOD = {
    "a click": (POINT, np.array([True]), None),
    "a click, and one beside it": (np.array([[3.0, 4.0], [9.0, 9.0]]), np.array([True, False]), None),
    "a box": (*NOTHING, np.array([1.0, 2.0, 5.0, 9.0])),
    "a box, and a click on what it should not hold": (POINT, np.array([False]), np.array([1.0, 2.0, 5.0, 9.0])),
}
MASK = np.ones((9, 9), bool)
ABOUT = {
    "a click on what it should not hold": (POINT, np.array([False]), None, MASK),
    "a box": (*NOTHING, np.array([1.0, 2.0, 5.0, 9.0]), MASK),
}
BAD = {
    "a mask and nothing": ((*NOTHING, None, MASK), "where the thing is"),
    "an empty mask": ((POINT, np.array([True]), None, ~MASK), "not empty"),
    "a mask of numbers": ((POINT, np.array([True]), None, MASK.astype(int)), "int64"),
    "nothing": ((*NOTHING, None), "where the thing is"),
    "only what does not belong to it": ((POINT, np.array([False]), None), "where the thing is"),
    "three coordinates": ((np.zeros((1, 3)), np.array([True]), None), r"points_xy .*\(1, 3\)"),
    "no number": ((np.array([[np.nan, 1.0]]), np.array([True]), None), "nan"),
    "too few signs": ((POINT, np.zeros(0, bool), None), r"is_positive .*\(0,\)"),
    "signs that are numbers": ((POINT, np.array([1]), None), "int64"),
    "three sides": ((*NOTHING, np.zeros(3)), "box_xyxy"),
    "an endless side": ((*NOTHING, np.array([0.0, 0.0, np.inf, 1.0])), "inf"),
    "a flat box": ((*NOTHING, np.array([1.0, 2.0, 5.0, 2.0])), "no area"),
    "a box drawn backwards": ((*NOTHING, np.array([5.0, 9.0, 1.0, 2.0])), "no area"),
}


@pytest.mark.parametrize("given", GOOD.values(), ids=GOOD)
def test_what_points_somewhere_is_taken_as_it_is(given):
    prompts = Prompts(*given)
    assert (prompts.points_xy, prompts.is_positive, prompts.box_xyxy) == given


@pytest.mark.parametrize("given", ABOUT.values(), ids=ABOUT)
def test_a_mask_that_was_found_before_can_be_corrected(given):
    assert Prompts(*given).mask is MASK


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_what_points_nowhere_is_refused_by_name(given, message):
    with pytest.raises(BadInput, match=message):
        Prompts(*given)


@pytest.mark.parametrize("array", [np.zeros((4, 2, 2), np.float32), np.zeros((4, 4), np.float16)])
def test_embedding_is_three_dimensional_and_of_half_precision(array):
    with pytest.raises(ValueError, match=r"arrays\['high'\] must be float16"):
        PromptEmbedding("ab", (5, 9), {"low": np.zeros((4, 2, 2), np.float16), "high": array}, "fp")
