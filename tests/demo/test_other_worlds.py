"""The other worlds: their drawings, what a scene promises, and what people would and would not say of one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from backend.commands.evaluate_inputs import STYLES, read_dataset
from demo.benchmark import OTHER_SEEDS, SCENE_READERS, read_practice_scenes, read_second_scenes
from demo.other_drawings import DRAWINGS_DIR, LONGEST_PX, SETS, drawing_names, other_drawings
from demo.other_expressions import KINDS, make_other_expressions
from demo.other_wordings import WORDINGS
from demo.other_worlds import LAYOUTS, MIN_SIDE, WORLDS, make_other_scene
from demo.scenes import Scene, SceneObject
from demo.sprites import SPRITE_DIR, vocabulary
from ris_core.errors import UnknownName

FIRST = {"second": 800_000, "practice": 810_000, "held": 820_000}


@pytest.fixture(scope="module")
def scenes():
    return [(world, make_other_scene(world, seed + i)) for world, seed in FIRST.items() for i in range(4)]


def test_a_seed_gives_the_same_bytes(scenes):
    for world, scene in scenes[::4]:
        again = make_other_scene(world, scene.seed)
        assert again.image.tobytes() == scene.image.tobytes()
        assert [o.mask.tobytes() for o in again.objects] == [o.mask.tobytes() for o in scene.objects]
        assert make_other_expressions(again) == make_other_expressions(scene)


def test_worlds_differ_for_the_same_seed():
    assert not np.array_equal(make_other_scene("second", 5).image, make_other_scene("practice", 5).image)


def test_masks_are_disjoint_and_large_enough(scenes):
    for _, scene in scenes:
        masks = np.array([thing.mask for thing in scene.objects])
        assert masks.sum(0).max() == 1
        assert 3 <= len(masks) <= 9
        assert max(scene.image.shape) <= 640
        for thing in scene.objects:
            x, y, w, h = thing.box_xywh
            assert min(w, h) >= MIN_SIDE
            assert thing.mask[y : y + h, x : x + w].sum() == thing.mask.sum()
            assert thing.mask[:, x].any()
            assert thing.mask[y].any()


def test_a_world_has_only_its_own_drawings(scenes):
    for world, scene in scenes:
        assert {thing.sprite.partition("/")[0] for thing in scene.objects} <= set(WORLDS[world].sets)
    sets = [name for world in WORLDS.values() for name in world.sets]
    assert sorted(sets) == sorted(SETS)
    layouts = {name for world in WORLDS.values() for name in world.layouts}
    assert layouts == set(LAYOUTS)
    assert not set(WORLDS["held"].layouts) & {*WORLDS["second"].layouts, *WORLDS["practice"].layouts}


def test_no_drawing_is_one_of_the_sprites():
    sprites = {file.read_bytes() for file in SPRITE_DIR.glob("*.png")}
    assert not sprites & {file.read_bytes() for file in DRAWINGS_DIR.glob("*/*.png")}


@pytest.mark.parametrize("name", SETS)
def test_each_named_drawing_is_there_and_no_other(name):
    wanted = {f"{noun}_{i}.png" for noun, names in drawing_names()[name].items() for i in range(len(names))}
    assert wanted == {file.name for file in (DRAWINGS_DIR / name).iterdir()}
    assert set(drawing_names()[name]) <= set(vocabulary()["classes"])
    for drawings in other_drawings(name).values():
        assert all(max(one.rgba.shape[:2]) == LONGEST_PX for one in drawings)


def test_drawings_are_small_and_their_names_are_read_as_json():
    assert sum(file.stat().st_size for file in DRAWINGS_DIR.rglob("*")) < 1_500_000
    assert json.loads((DRAWINGS_DIR / "names.json").read_text()) == drawing_names()


def test_a_grey_scene_has_no_colour_words():
    grey = next(
        scene
        for scene in (make_other_scene("practice", seed) for seed in (810_004, 810_005))
        if (scene.image == scene.image[..., :1]).all()
    )
    assert all(not thing.colours and thing.colour is None for thing in grey.objects)
    words = {word for one in make_other_expressions(grey) for word in one.text.replace("-", " ").split()}
    assert not words & set(vocabulary()["tints"])


def test_expressions_name_each_text_once_and_are_few_of_a_kind(scenes):
    for _, scene in scenes:
        made = make_other_expressions(scene)
        assert len({one.text for one in made}) == len(made)
        for kind in KINDS:
            assert sum(one.kind == kind for one in made) <= 3
        for one in made:
            assert (not one.targets) == (one.kind == "no_target")
            assert "{" not in one.text
            assert "  " not in one.text
            assert (len(one.targets) > 1) == (one.kind == "plural")


def test_there_are_several_wordings_of_everything():
    assert all(len(set(wordings)) >= 4 for wordings in WORDINGS.values())


def thing(noun: str, x: int, y: int, w: int, h: int, colour: str | None = None) -> SceneObject:
    """A rectangle that is called so; its mask comes with the scene."""
    colours = frozenset([colour]) if colour else frozenset()
    return SceneObject(noun, "by hand", None, colour, colours, np.zeros((0, 0), bool), (x, y, w, h), False)


def draw(*things: SceneObject) -> Scene:
    """A scene of 300 x 200 with these things, back to front."""
    covered = np.zeros((200, 300), bool)
    done = []
    for one in reversed(things):
        x, y, w, h = one.box_xywh
        mask = np.zeros_like(covered)
        mask[y : y + h, x : x + w] = True
        done.append(replace(one, mask=mask & ~covered))
        covered |= mask
    return Scene(seed=7, image=np.zeros((200, 300, 3), np.uint8), objects=tuple(reversed(done)))


def ask(kind: str, scene: Scene) -> dict[str, tuple[int, ...]]:
    """What is said of a scene with any of many seeds."""
    made = (one for seed in range(40) for one in make_other_expressions(replace(scene, seed=seed)))
    return {one.text: one.targets for one in made if one.kind == kind}


CUP, LEFT_CUP, RIGHT_CUP = thing("cup", 130, 90, 30, 30), thing("cup", 20, 90, 30, 30), thing("cup", 240, 90, 30, 30)


def test_noun():
    said = ask("noun", draw(CUP, thing("tree", 20, 20, 40, 60), thing("tree", 200, 20, 40, 60)))
    assert said["the cup"] == (0,)
    assert not any("tree" in text for text in said)


def test_attribute():
    red, blue = replace(CUP, colour="red", colours=frozenset(["red"])), thing("cup", 20, 20, 30, 30, "blue")
    assert ask("attribute", draw(red, blue))["the red cup"] == (0,)
    doubted = replace(blue, colour=None, colours=frozenset(["blue", "red"]))
    assert ask("attribute", draw(red, doubted)) == {}


def test_position():
    said = ask("position", draw(CUP, LEFT_CUP))
    assert said["the left cup"] == (1,)
    assert said["right cup"] == (0,)
    assert not any("top" in text or "bottom" in text for text in said)


def test_position_in_the_middle():
    assert ask("position", draw(CUP, LEFT_CUP, RIGHT_CUP))["the middle cup"] == (0,)
    beyond = thing("cup", 200, 90, 30, 30)
    assert not any("middle" in text for text in ask("position", draw(beyond, LEFT_CUP, RIGHT_CUP)))


def test_relation():
    tree = thing("tree", 120, 0, 30, 20)
    said = ask("relation", draw(tree, LEFT_CUP, RIGHT_CUP))
    assert not any("left" in text for text in said)  # about as far down as aside
    said = ask("relation", draw(replace(tree, box_xywh=(120, 80, 30, 50)), LEFT_CUP, RIGHT_CUP))
    assert said["the cup left of the tree"] == (1,)
    assert not any("next to" in text for text in said)


def test_relation_of_nearness_is_about_outlines():
    house = thing("house", 100, 20, 120, 160)
    near, far = thing("cup", 60, 90, 30, 30), thing("cup", 270, 5, 25, 25)
    assert ask("relation", draw(house, near, replace(far, box_xywh=(0, 0, 20, 20)))) != {}
    said = ask("relation", draw(thing("key", 10, 90, 24, 24), thing("cup", 40, 90, 30, 30), RIGHT_CUP))
    assert said["the cup next to the key"] == (1,)
    assert not any("next to" in text for text in ask("relation", draw(house, near, far)))


def test_relation_of_covering():
    tree, cup = thing("tree", 100, 50, 60, 80), thing("cup", 140, 110, 40, 30)
    said = ask("relation", draw(tree, cup))
    assert said["the tree behind the cup"] == (0,)
    assert said["the cup in front of the tree"] == (1,)
    assert not any("front" in text for text in ask("relation", draw(tree, replace(cup, box_xywh=(220, 110, 40, 30)))))


def test_between():
    tree, car = thing("tree", 60, 90, 30, 30), thing("car", 200, 90, 30, 30)
    said = ask("between", draw(CUP, tree, car))
    assert said["the cup between the tree and the car"] == (0,)
    assert ask("between", draw(thing("cup", 130, 160, 30, 30), tree, car)) == {}


def test_superlative():
    large = thing("cup", 20, 20, 80, 80)
    said = ask("superlative", draw(CUP, large))
    assert said["the bigger cup"] == (1,)
    assert said["the smaller cup"] == (0,)
    assert ask("superlative", draw(CUP, thing("cup", 20, 20, 32, 33))) == {}
    hidden = draw(thing("cup", 20, 20, 40, 40), thing("cup", 120, 20, 42, 44), thing("tree", 20, 40, 20, 20))
    assert not any("big" in text for text in ask("superlative", hidden))


def test_ordinal():
    last = thing("cup", 80, 90, 30, 30)
    said = ask("ordinal", draw(CUP, LEFT_CUP, RIGHT_CUP, last))
    assert said["the second cup from the left"] == (3,)
    assert said["the second cup from the right"] == (0,)
    assert ask("ordinal", draw(CUP, LEFT_CUP, RIGHT_CUP, thing("cup", 22, 20, 30, 30))) == {}


def test_plural():
    said = ask("plural", draw(LEFT_CUP, thing("cup", 60, 90, 30, 30), RIGHT_CUP))
    assert said["the cups"] == (0, 1, 2)
    assert said["the cups on the left"] == (0, 1)
    assert not any("left" in text for text in ask("plural", draw(LEFT_CUP, CUP, RIGHT_CUP)))
    assert ask("plural", draw(CUP)) == {}


def test_negation():
    red, blue = thing("cup", 20, 90, 30, 30, "red"), thing("cup", 240, 90, 30, 30, "blue")
    said = ask("negation", draw(red, blue))
    assert said["the cup that is not red"] == (1,)
    assert said["the cup not on the left"] == (1,)
    doubted = replace(blue, colours=frozenset(["red", "blue"]))
    assert not any("red" in text for text in ask("negation", draw(red, doubted)))


def test_no_target():
    tree = thing("tree", 120, 90, 30, 30, "green")
    said = ask("no_target", draw(tree, thing("cup", 240, 90, 30, 30, "red")))
    assert any("blue" in text and "cup" in text for text in said)
    assert any("cup" in text and "left of" in text and "tree" in text for text in said)
    assert any("cup" in text and text.endswith("on the left") for text in said)
    assert any("elephant" in text or "book" in text for text in said)
    assert not any("pink cup" in text or "orange cup" in text for text in said)  # somebody may call it so
    assert not any("cactus" in text for text in said)  # somebody may see one in the tree


def test_data_sets():
    assert tuple(SCENE_READERS) == STYLES
    dataset = read_second_scenes("test")
    assert len(dataset.items) == 60
    case = dataset.items[0].load()
    assert case.samples
    assert len({sample.id for sample in case.samples}) == len(case.samples)
    assert all(sample.kind in KINDS for sample in case.samples)
    assert len(read_practice_scenes().items) == len(OTHER_SEEDS["practice"]["tune"])
    assert read_dataset("scenes", None, "", "", "", frozenset(), "held").name == "scenes, held world"


@pytest.mark.parametrize(("read", "split"), [(read_second_scenes, "tune"), (read_practice_scenes, "test")])
def test_an_unknown_split_is_refused(read, split):
    with pytest.raises(UnknownName, match=f"no split named '{split}'"):
        read(split)
