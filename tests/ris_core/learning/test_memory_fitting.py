"""What is remembered, what it changes, and what it may not change."""

from dataclasses import replace

import numpy as np
import pytest

from ris_core.learning.memory_fitting import (
    LEAST_IMAGES,
    WEIGHTS,
    ChosenProposal,
    MemoryExample,
    fit_memory,
    lower_bound,
    remember,
)
from ris_core.methods._region_memory import RegionMemory

SIZE = 16
rng = np.random.default_rng(5)
THINGS = {
    name: vector / np.linalg.norm(vector) for name, vector in zip("abcd", rng.normal(size=(4, SIZE)), strict=True)
}


def draw(image: int, noun: str, look: str, seed: int = 0, others: str = "bcd") -> MemoryExample:
    """An image of four things; the noun is that of the thing `look`, which the text takes for the last thing of all."""
    own = np.random.default_rng([image, seed])
    names = [look, *[one for one in others if one != look]]
    visual = np.stack([THINGS[one] for one in names]) + own.normal(0, 0.05, (len(names), SIZE))
    visual = (visual / np.linalg.norm(visual, axis=1, keepdims=True)).astype(np.float32)
    text = np.full(len(names), 0.1)
    text[-1] = 0.8

    def choose(memory: RegionMemory | None) -> ChosenProposal:
        values = memory.adjust(text, noun, visual) if memory else text
        return ChosenProposal(int(values.argmax()), float(values.max()))

    overlaps = np.zeros(len(names))
    overlaps[0] = 0.9
    return MemoryExample(noun, frozenset({noun}), image, visual, overlaps, True, choose)


def test_what_the_text_fails_for_is_remembered_and_found():
    learnt = fit_memory([draw(i, "Widget", "a") for i in range(20)])
    assert learnt.memory is not None
    assert set(learnt.memory.prototypes) == {"widget"}
    assert learnt.memory.weight in WEIGHTS
    assert (learnt.before, learnt.touched, learnt.images) == (0.0, 20, 20)
    assert learnt.after > 0.8
    assert 0 < learnt.low <= learnt.after
    assert draw(99, "widget", "a").score(learnt.memory) == pytest.approx(0.9)


def test_random_outcomes_are_not_remembered():
    examples = [draw(i, "widget", "abcd"[int(rng.integers(4))], others="abcd") for i in range(40)]
    for one in examples:
        one.overlaps[:] = np.roll(one.overlaps, int(rng.integers(4)))
    assert fit_memory(examples).memory is None


def test_nothing_is_remembered_of_what_was_accepted():
    examples = [draw(i, "widget", "a") for i in range(20)]
    accepted = [replace(one, overlaps=np.eye(len(one.overlaps))[one.choose(None).proposal]) for one in examples]
    learnt = fit_memory(accepted)
    assert (learnt.memory, learnt.touched) == (None, 0)


def test_a_few_images_show_no_sure_gain():
    learnt = fit_memory([draw(i, "widget", "a") for i in range(LEAST_IMAGES - 1)])
    assert learnt.memory is None
    assert np.isnan(learnt.low)
    assert fit_memory([]).memory is None


def test_an_answer_where_nothing_is_meant_counts_against_it():
    there = [draw(i, "widget", "a") for i in range(20)]
    absent = [
        replace(
            draw(100 + i, "widget", "a"),
            has_target=False,
            overlaps=np.zeros(4),
            choose=lambda memory: None if memory is None else ChosenProposal(0, 0.9),
        )
        for i in range(40)
    ]
    assert fit_memory(there).memory is not None
    assert fit_memory([*there, *absent]).memory is None


def test_the_newest_regions_are_kept_within_the_bytes():
    examples = [draw(i, f"thing {i}", "a") for i in range(30)]
    before = np.zeros(30)
    memory = remember(examples, before, 10.0, max_bytes=7 * 2 * SIZE)
    assert memory is not None
    assert list(memory.prototypes) == [f"thing {i}" for i in range(23, 30)]
    assert memory.n_bytes == 7 * 2 * SIZE


def test_a_bound_takes_images_for_the_units():
    gains = np.random.default_rng(0).normal(0.1, 0.3, 60)
    alone = lower_bound(gains, np.arange(60))
    copies = lower_bound(np.repeat(gains, 5), np.repeat(np.arange(60), 5))
    assert copies == pytest.approx(alone)
    assert alone < gains.mean()


def test_a_memory_is_stored_without_loss():
    memory = fit_memory([draw(i, "widget", "a") for i in range(20)]).memory
    back = RegionMemory.from_json(memory.to_json())
    assert back.digest == memory.digest
    one = draw(7, "widget", "a")
    probability = np.full(4, 0.3)
    np.testing.assert_array_equal(
        back.adjust(probability, "widget", one.visual), memory.adjust(probability, "widget", one.visual)
    )
    assert memory.adjust(probability, "gadget", one.visual) is probability
    assert replace(memory, weight=1.0).digest != memory.digest


def log_odds(probability: np.ndarray) -> np.ndarray:
    return np.log(probability / (1 - probability))


def test_a_likeness_makes_nothing_surer_than_a_text_does_and_keeps_the_distances_below():
    visual = np.stack([THINGS["a"], THINGS["b"], 0.8 * THINGS["a"] + 0.6 * THINGS["c"]]).astype(np.float32)
    visual /= np.linalg.norm(visual, axis=1, keepdims=True)
    free = RegionMemory(np.zeros(SIZE, np.float32), {"widget": visual[:1].astype(np.float16)}, 8.0)
    bound = replace(free, surest=0.98)
    unsure = np.array([0.5, 0.1, 0.4])
    lifted, held = (one.adjust(unsure, "widget", visual) for one in (free, bound))
    assert lifted[0] > 0.99
    assert held.max() == pytest.approx(0.98)
    assert log_odds(held)[0] - log_odds(held)[2] == pytest.approx(log_odds(lifted)[0] - log_odds(lifted)[2])
    assert held[1] == pytest.approx(0.1)
    sure = np.array([0.5, 0.995, 0.4])
    assert bound.adjust(sure, "widget", visual).max() == pytest.approx(0.995)


def test_a_likeness_counts_less_where_the_colour_is_another():
    visual = np.stack([THINGS["a"], THINGS["a"], THINGS["b"]]).astype(np.float32)
    former = RegionMemory(np.zeros(SIZE, np.float32), {"widget": visual[:1].astype(np.float16)}, 8.0)
    memory = replace(former, heeds_colour=True)
    unsure, colour = np.array([0.3, 0.3, 0.3]), np.array([1.0, 0.01, 1.0])
    right, wrong, _ = memory.adjust(unsure, "widget", visual, colour)
    assert right > 0.9
    assert wrong < 0.35
    assert former.adjust(unsure, "widget", visual, colour)[1] == pytest.approx(right)
    np.testing.assert_array_equal(memory.adjust(unsure, "widget", visual), former.adjust(unsure, "widget", visual))


def test_a_memory_of_before_is_read_and_decides_as_it_did():
    memory = fit_memory([draw(i, "widget", "a") for i in range(20)]).memory
    former = replace(memory, surest=1.0, heeds_colour=False)
    assert set(former.to_json()) == {"centre", "prototypes", "weight"}
    back = RegionMemory.from_json(former.to_json())
    assert (back.surest, back.heeds_colour, back.digest) == (1.0, False, former.digest)
    back = RegionMemory.from_json(memory.to_json())
    assert back.surest == memory.surest < 1
    assert back.heeds_colour
    assert memory.digest != former.digest
