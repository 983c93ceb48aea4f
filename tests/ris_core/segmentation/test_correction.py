"""Masks corrected by clicks and boxes: with cells of a grid for things, and with the demo's SAM on its scenes."""

from collections.abc import Callable

import numpy as np
import pytest

from demo.scenes import make_scene
from ris_core.errors import BadInput
from ris_core.geometry import boxes, masks
from ris_core.profiles import read_profile
from ris_core.proposers.sam import SamProposer
from ris_core.runtime.weights import WeightStore
from ris_core.segmentation.correction import correct, is_reframing
from ris_core.types import Image, Proposals
from ris_core.types.prompts import PromptEmbedding, Prompts

SIZE_HW = (40, 60)
EMBEDDING = PromptEmbedding("sha", SIZE_HW, {}, "cells")


def cell(row: int, column: int) -> np.ndarray:
    mask = np.zeros(SIZE_HW, bool)
    mask[20 * row : 20 * row + 20, 30 * column : 30 * column + 30] = True
    return mask


RED, GREEN, BLUE = cell(0, 0), cell(0, 1), cell(1, 0)
ON_RED, ON_GREEN, ON_BLUE = (15.0, 10.0), (45.0, 10.0), (15.0, 30.0)


class Cells:
    """Sees the cell that is clicked on; what it makes of a mask is up to the test."""

    embed_fp = "cells"

    def __init__(self, refine: Callable[[Prompts], np.ndarray]) -> None:
        self.refine = refine

    def embed(self, image: Image) -> PromptEmbedding:
        return EMBEDDING

    def mask(self, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
        if prompts.mask is not None:
            found = self.refine(prompts)
        else:
            x, y = prompts.points_xy[0] if prompts.box_xyxy is None else prompts.box_xyxy.reshape(2, 2).mean(0)
            found = cell(int(y > 20), int(x > 30))
        return Proposals.from_masks(found[None][: int(found.any())])


def prompts(*clicks: tuple[tuple[float, float], bool], mask=RED, box=None) -> Prompts:
    points = np.array([at for at, _ in clicks], float).reshape(-1, 2)
    return Prompts(points, np.array([sign for _, sign in clicks], bool), box, mask)


def corrected(given: Prompts, refine=lambda given: given.mask) -> list[np.ndarray]:
    return list(correct(Cells(refine), EMBEDDING, given).masks)


CLICKS = {
    "outside, adds": ([(ON_GREEN, True)], RED | GREEN),
    "inside, takes away": ([(ON_GREEN, True), (ON_RED, False)], GREEN),
    "several add up": ([(ON_GREEN, True), (ON_BLUE, True)], RED | GREEN | BLUE),
    "all taken away, then another": ([(ON_RED, False), (ON_BLUE, True)], BLUE),
}


@pytest.mark.parametrize(("clicks", "expected"), CLICKS.values(), ids=CLICKS)
def test_clicks_do_what_they_say_where_the_proposer_does_not(clicks, expected):
    np.testing.assert_array_equal(corrected(prompts(*clicks))[0], expected)


def test_the_proposer_is_believed_as_long_as_it_does_what_the_clicks_say():
    part = RED.copy()
    part[:, 10:] = False
    grown = RED | BLUE
    np.testing.assert_array_equal(corrected(prompts((ON_RED, True), mask=part), lambda _: grown)[0], grown)


def test_the_proposer_that_leaves_the_mask_for_another_thing_is_not_taken_first():
    found = corrected(prompts((ON_GREEN, True)), lambda _: GREEN)
    np.testing.assert_array_equal(found, [RED | GREEN, GREEN])


def test_thing_at_a_click_is_a_candidate_by_itself():
    np.testing.assert_array_equal(corrected(prompts((ON_GREEN, True)))[1], GREEN)


def test_nothing_is_found_once_everything_is_taken_away():
    assert corrected(prompts((ON_RED, False)), lambda _: np.zeros(SIZE_HW, bool)) == []


def test_a_rim_that_is_left_is_nothing():
    mask = RED.copy()
    mask[:20, 30] = True
    assert corrected(prompts((ON_RED, False), mask=mask), lambda _: mask) == []


def test_a_box_frames_the_thing_anew_and_clicks_go_on_from_there():
    framed = np.array([32.0, 1.0, 58.0, 19.0])
    np.testing.assert_array_equal(corrected(prompts(box=framed))[0], GREEN)
    np.testing.assert_array_equal(corrected(prompts((ON_BLUE, True), box=framed))[0], GREEN | BLUE)


BOXES = {
    "around it": ((0, 0, 30, 20), True),
    "around it and more": ((0, 0, 40, 25), True),
    "around a small part": ((2, 2, 10, 8), False),
    "around something else": ((32, 22, 58, 38), False),
}


@pytest.mark.parametrize(("box", "expected"), BOXES.values(), ids=BOXES)
def test_box_around_what_a_mask_shows_frames_it_anew(box, expected):
    assert is_reframing(RED, np.array(box, float)) is expected


@pytest.fixture(scope="module")
def sam() -> SamProposer:
    return SamProposer(WeightStore(), **read_profile("demo")["proposer"]["settings"])


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "one", "other"), [(32, 0, 2), (24, 0, 2), (1, 0, 1)])
def test_another_thing_is_added_and_taken_away_again(sam: SamProposer, seed: int, one: int, other: int):
    scene = make_scene(seed)
    embedding, (first, second) = sam.embed(Image.from_array(scene.image)), (scene.objects[i].mask for i in (one, other))
    at = inside(second)
    joined = correct(sam, embedding, prompts((at, True), mask=first)).masks
    assert overlap(joined[0], first | second) >= 0.85
    assert max(overlap(mask, second) for mask in joined[1:]) >= 0.85
    assert overlap(correct(sam, embedding, prompts((at, False), mask=joined[0])).masks[0], first) >= 0.85


@pytest.mark.slow
def test_mask_of_another_size_than_the_image_is_refused(sam: SamProposer):
    embedding = sam.embed(Image.from_array(np.zeros((*SIZE_HW, 3), np.uint8)))
    with pytest.raises(BadInput, match="Resize the mask"):
        sam.mask(embedding, prompts((ON_RED, True), mask=RED.T))


def inside(mask: np.ndarray) -> tuple[float, float]:
    left, upper, width, height = boxes.from_masks(mask[None])[0]
    return float(left + width / 2), float(upper + height / 2)


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    return float(masks.iou(one[None], two[None])[0, 0])
