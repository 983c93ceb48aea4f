import re
from functools import cache

import numpy as np
import pytest

from demo.captions import plural
from demo.expressions import KINDS, MOST_PER_KIND, make_expressions
from demo.scenes import make_scene
from demo.sprites import vocabulary
from demo.tokenizer import CONTEXT_LENGTH, load_tokenizer

SCENES = 100
COLOURS = "|".join(vocabulary()["tints"])
NOUNS = "|".join(vocabulary()["classes"])


@cache
def scene_of(seed):
    return make_scene(seed)


@cache
def found(kind):
    """(scene, expression) of a kind in the first scenes; never empty."""
    pairs = [(scene_of(s), e) for s in range(SCENES) for e in make_expressions(scene_of(s), [kind])]
    assert pairs
    return pairs


def same_noun(scene, noun):
    return [i for i, item in enumerate(scene.objects) if item.noun == noun]


def centre(scene, i):
    return np.array(scene.objects[i].centre_xy)


def read(pattern, kind):
    """(scene, target, groups of the match) of the expressions of a kind whose text fits the pattern."""
    matches = [(s, e, re.fullmatch(pattern, e.text)) for s, e in found(kind)]
    fitting = [(s, e.targets[0], m.groupdict()) for s, e, m in matches if m]
    assert fitting, pattern
    return fitting


def named(scene, name):
    """Index of the only object that may be called so."""
    *colour, noun = name.split()
    called = [i for i in same_noun(scene, noun) if not colour or colour[0] in scene.objects[i].colours]
    assert len(called) == 1, name
    return called[0]


def test_same_scene_gives_the_same_expressions():
    assert all(make_expressions(make_scene(s)) == make_expressions(make_scene(s)) for s in range(5))


def test_choosing_kinds_only_leaves_others_out():
    for s in range(10):
        every = make_expressions(scene_of(s))
        assert make_expressions(scene_of(s), ["plural", "noun"]) == [e for e in every if e.kind in ("noun", "plural")]


def test_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'colour'.*Available: noun"):
        make_expressions(scene_of(0), ["colour"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_occurs_and_is_bounded(kind):
    per_scene = [len(make_expressions(scene_of(s), [kind])) for s in range(SCENES)]
    assert sum(per_scene) >= 10
    assert max(per_scene) <= MOST_PER_KIND


@pytest.mark.parametrize("kind", KINDS)
def test_only_plurals_have_several_targets_and_only_no_target_none(kind):
    for scene, e in found(kind):
        wanted = range(2, 6) if kind == "plural" else [0] if kind == "no_target" else [1]
        assert len(e.targets) in wanted
        assert list(e.targets) == sorted(set(e.targets))
        assert all(0 <= i < len(scene.objects) for i in e.targets)


def test_expressions_fit_the_text_encoder():
    tokenizer = load_tokenizer()
    texts = [e.text for kind in KINDS for _, e in found(kind)]
    assert max(len(tokenizer.encode(text)) for text in texts) + 2 <= CONTEXT_LENGTH


def test_noun_targets_are_the_only_ones_of_their_noun():
    for scene, target, m in read(rf"(the )?(?P<noun>{NOUNS})", "noun"):
        assert same_noun(scene, m["noun"]) == [target]


def test_attribute_targets_are_the_only_ones_that_may_be_called_so():
    for scene, target, m in read(rf"(the )?(?P<name>({COLOURS}) ({NOUNS}))", "attribute"):
        assert named(scene, m["name"]) == target
        assert scene.objects[target].colour == m["name"].split()[0]


@pytest.mark.parametrize(("side", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("top", 1, -1), ("bottom", 1, 1)])
def test_side_targets_are_alone_on_their_side(side, axis, sign):
    pattern = rf"(the )?({side} (?P<noun>{NOUNS})|(?P<noun2>{NOUNS}) (on|at) the {side}( side)?)"
    for scene, target, m in read(pattern, "position"):
        size = scene.image.shape[1 - axis]
        group = same_noun(scene, m["noun"] or m["noun2"])
        on_side = [i for i in group if sign * (centre(scene, i)[axis] / size - 0.5) > 0]
        assert on_side == [target]


def test_corner_targets_are_alone_in_their_quarter():
    pattern = rf"(the )?(?P<noun>{NOUNS}) in the (?P<v>top|bottom) (?P<h>left|right) corner"
    for scene, target, m in read(pattern, "position"):
        h, w = scene.image.shape[:2]
        wanted = (m["h"] == "left", m["v"] == "top")
        quarter = [i for i in same_noun(scene, m["noun"]) if tuple(centre(scene, i) < (w / 2, h / 2)) == wanted]
        assert quarter == [target]


@pytest.mark.parametrize(
    ("words", "axis", "sign"),
    [("(to the )?left of", 0, -1), ("(to the )?right of", 0, 1), ("above|over", 1, -1), ("below|under", 1, 1)],
)
def test_relation_targets_are_alone_on_that_side_of_the_other(words, axis, sign):
    pattern = rf"(the )?(?P<noun>{NOUNS}) ({words}) the (?P<other>.+)"
    for scene, target, m in read(pattern, "relation"):
        anchor = centre(scene, named(scene, m["other"]))
        beyond = [i for i in same_noun(scene, m["noun"]) if sign * (centre(scene, i) - anchor)[axis] > 0]
        assert beyond == [target]


def test_next_to_targets_are_the_nearest_of_their_noun():
    for scene, target, m in read(rf"(the )?(?P<noun>{NOUNS}) (next to|beside) the (?P<other>.+)", "relation"):
        anchor = scene.objects[named(scene, m["other"])].mask
        ys, xs = np.nonzero(anchor)
        grown = np.zeros_like(anchor)
        reach = round(0.15 * anchor.size**0.5)
        grown[max(0, ys.min() - reach) : ys.max() + reach, max(0, xs.min() - reach) : xs.max() + reach] = True
        assert [i for i in same_noun(scene, m["noun"]) if (scene.objects[i].mask & grown).any()] == [target]


def test_between_targets_lie_inside_the_box_of_both_others():
    pattern = rf"(the )?(?P<noun>{NOUNS}) between the (?P<a>.+) and the (?P<b>.+)"
    for scene, target, m in read(pattern, "between"):
        a, b, at = (centre(scene, i) for i in (named(scene, m["a"]), named(scene, m["b"]), target))
        length = np.linalg.norm(a - b)
        assert np.linalg.norm(at - a) < length
        assert np.linalg.norm(at - b) < length
        detours = {
            i: np.linalg.norm(centre(scene, i) - a) + np.linalg.norm(centre(scene, i) - b)
            for i in same_noun(scene, m["noun"])
        }
        assert min(detours, key=detours.get) == target


@pytest.mark.parametrize(("word", "sign"), [("largest|biggest", 1), ("smallest", -1)])
def test_size_superlatives_hold_by_mask_and_box(word, sign):
    for scene, target, m in read(rf"(the )?({word}) (?P<noun>{NOUNS})", "superlative"):
        group = same_noun(scene, m["noun"])
        boxes = {i: scene.objects[i].box_xywh[2] * scene.objects[i].box_xywh[3] for i in group}
        assert max(group, key=lambda i: sign * scene.objects[i].mask.sum()) == target
        assert max(group, key=lambda i: sign * boxes[i]) == target


@pytest.mark.parametrize(
    ("word", "axis", "sign"), [("leftmost", 0, -1), ("rightmost", 0, 1), ("topmost", 1, -1), ("bottommost", 1, 1)]
)
def test_outermost_targets_have_the_extreme_centre(word, axis, sign):
    for scene, target, m in read(rf"(the )?{word} (?P<noun>{NOUNS})", "superlative"):
        assert max(same_noun(scene, m["noun"]), key=lambda i: sign * centre(scene, i)[axis]) == target


def test_closest_targets_have_the_nearest_centre():
    for scene, target, m in read(rf"(the )?(?P<noun>{NOUNS}) closest to the (?P<other>.+)", "superlative"):
        anchor = centre(scene, named(scene, m["other"]))
        group = same_noun(scene, m["noun"])
        assert min(group, key=lambda i: np.linalg.norm(centre(scene, i) - anchor)) == target


def test_ordinals_count_from_their_side():
    words = ["first", "second", "third", "fourth"]
    pattern = rf"(the )?(?P<rank>{'|'.join(words)}) (?P<noun>{NOUNS}) from the (?P<side>left|right)"
    for scene, target, m in read(pattern, "ordinal"):
        order = sorted(same_noun(scene, m["noun"]), key=lambda i: centre(scene, i)[0], reverse=m["side"] == "right")
        assert order[words.index(m["rank"])] == target


def test_plurals_name_all_of_the_noun_or_all_of_its_colour():
    numbers = {"two": 2, "three": 3, "four": 4, "five": 5}
    singular = {plural(noun): noun for noun in vocabulary()["classes"]}
    coloured = 0
    for scene, e in found("plural"):
        m = re.fullmatch(rf"(all|all the|the (?P<n>\w+)) ((?P<colour>{COLOURS}) )?(?P<noun>\w+)", e.text)
        group = same_noun(scene, singular[m["noun"]])
        if m["colour"]:
            coloured += 1
            assert all(scene.objects[i].colour == m["colour"] for i in e.targets)
            group = [i for i in group if m["colour"] in scene.objects[i].colours]
        assert list(e.targets) == group
        assert m["n"] is None or numbers[m["n"]] == len(group)
    assert coloured


def test_negation_excludes_every_other_of_the_noun():
    for scene, target, m in read(rf"(the )?(?P<noun>{NOUNS}) that (is|are) not (?P<colour>{COLOURS})", "negation"):
        others = [i for i in same_noun(scene, m["noun"]) if i != target]
        assert m["colour"] not in scene.objects[target].colours
        assert others
        assert all(scene.objects[i].colour == m["colour"] for i in others)


def test_no_target_fits_no_object():
    absent_nouns = 0
    for scene, e in found("no_target"):
        m = re.fullmatch(rf"(the )?((?P<colour>{COLOURS}) )?(?P<noun>{NOUNS})", e.text)
        group = same_noun(scene, m["noun"])
        absent_nouns += not group
        assert not any(m["colour"] is None or m["colour"] in scene.objects[i].colours for i in group)
    assert 0 < absent_nouns < len(found("no_target"))
