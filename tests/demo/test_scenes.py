"""Scenes: the same bytes for the same seed, and masks that are exact."""

import hashlib

import numpy as np
import pytest

from demo.scenes import make_scene
from demo.sprites import sprites, vocabulary

DIGESTS = {0: "16deac0e", 1: "0e8116dd", 2: "5a2efd6c", 3: "de6ebfdc", 4: "b077420a", 5: "ea85360e"}
"""First eight digits of the sha256 of the pixels: the numbers in the model card are about these scenes."""


@pytest.mark.parametrize("seed", DIGESTS)
def test_a_seed_is_always_the_same_scene(seed):
    assert hashlib.sha256(make_scene(seed).image.tobytes()).hexdigest()[:8] == DIGESTS[seed]


@pytest.mark.parametrize("seed", range(100, 110))
def test_masks_are_apart_and_boxes_are_tight(seed):
    scene = make_scene(seed)
    masks = np.stack([thing.mask for thing in scene.objects])
    assert masks.sum(0).max() == 1
    for thing in scene.objects:
        x, y, w, h = thing.box_xywh
        inside = thing.mask[y : y + h, x : x + w]
        assert inside.sum() == thing.mask.sum()
        assert inside.any(0)[[0, -1]].all()
        assert inside.any(1)[[0, -1]].all()


def test_scenes_hold_three_to_seven_things_and_repeat_nouns():
    scenes = [make_scene(seed) for seed in range(200, 240)]
    assert {len(scene.objects) for scene in scenes} == set(range(3, 8))
    assert np.mean([len(scene.objects) for scene in scenes]) > 4
    repeated = [len({thing.noun for thing in scene.objects}) < len(scene.objects) for scene in scenes]
    assert 0.3 < np.mean(repeated) < 1


def test_a_mask_is_where_the_picture_changed():
    """On a scene with a plain background: the topmost object's pixels have another colour than those around it."""
    scene = make_scene(3)
    thing = scene.objects[-1]
    ring = np.zeros_like(thing.mask)
    x, y, w, h = thing.box_xywh
    ring[max(0, y - 3) : y + h + 3, max(0, x - 3) : x + w + 3] = True
    ring &= ~thing.mask
    inside, around = scene.image[thing.mask].mean(0), scene.image[ring].mean(0)
    assert np.abs(inside - around).max() > 15


def test_held_out_sprites_are_drawn_only_when_asked():
    def drawn(**options) -> set[bool]:
        return {thing.held_out for seed in range(60) for thing in make_scene(seed, **options).objects}

    assert drawn() == {False}
    assert drawn(held_out=True) == {False, True}


def test_a_tinted_thing_may_be_called_by_its_tint_only():
    tinted = [thing for seed in range(20) for thing in make_scene(seed).objects if thing.tint]
    assert tinted
    assert all(thing.colour == thing.tint and thing.colours == {thing.tint} for thing in tinted)


def test_every_noun_has_its_sprites():
    assert {noun: len(drawings) for noun, drawings in sprites().items()} == {
        noun: len(characters) for noun, characters in vocabulary()["classes"].items()
    }
    assert len(sprites()) == 60
    assert len(vocabulary()["tints"]) == 11


@pytest.mark.parametrize(
    ("noun", "colour"), [("octopus", "red"), ("star", "yellow"), ("elephant", "gray"), ("grapes", "purple")]
)
def test_plain_colours_are_what_a_person_calls_them(noun, colour):
    assert sprites()[noun][0].main == colour
