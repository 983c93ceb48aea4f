"""The method on squares of plain colours; an encoder that knows colours by name stands for CLIP."""

from dataclasses import replace

import numpy as np
import pytest

from ris_core import EncodedImage, Expression, Proposals
from ris_core.errors import BadInput, UnknownName
from ris_core.language.values import Clause, Referent
from ris_core.methods._calibration import Calibrator, Logistic
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods._similarity import unit
from ris_core.methods.guided import IMPROVEMENTS, GuidedMethod
from ris_core.types import NO_CHANCE

NOUNS = ("dog", "cat", "tree")
COLOURS = ("red", "blue")
SCALE = 20.0
SIZE_HW = (100, 200)
CALIBRATOR = Calibrator(
    look=Logistic({"similarity": 1.0, "colour": 3.0}, -14.0),
    answer=Logistic({"look": 1.0, "clauses": 1.0, "margin": 5.0}, 1.0),
    no_match_below=0.5,
)


def feature(text: str) -> np.ndarray:
    """One axis a noun, one a colour; words that are neither count for little."""
    words = text.split()
    return np.array([*(2.0 * (noun in words) for noun in NOUNS), *(float(colour in words) for colour in COLOURS), 0.1])


def scene(*things: tuple[str, tuple[int, int]], side: int = 20) -> EncodedImage:
    """Squares of what their names say, around centres (x, y)."""
    masks = np.zeros((len(things), *SIZE_HW), bool)
    for mask, (_, (x, y)) in zip(masks, things, strict=True):
        mask[y - side // 2 : y + side // 2, x - side // 2 : x + side // 2] = True
    seen = np.stack([feature(name) for name, _ in things])
    return EncodedImage("0" * 64, SIZE_HW, Proposals.from_masks(masks), {"global": seen, "local": seen}, "fp")


def asked(*referents: Referent) -> Expression:
    text = " and ".join(referent.label for referent in referents)
    return Expression(text, text, referents[0].phrase, referents[0].head, (), "none", "none", False, referents)


def thing(phrase: str, *clauses: Clause, number: int | None = 1, excluded: tuple[Referent, ...] = ()) -> Referent:
    return Referent(phrase, phrase.split()[-1] if phrase else "", clauses, number, excluded)


def score(image: EncodedImage, expression: Expression, calibrator: Calibrator | None = None, **settings):
    method = GuidedMethod(negatives=NOUNS, **settings)
    method.calibrator = calibrator
    features = {name: feature(text) for name, text in method.texts(expression).items()}
    return method.score(image, expression, features, SCALE)


def best(image: EncodedImage, *referents: Referent, **settings) -> int:
    return int(score(image, asked(*referents), **settings).values.argmax())


DOGS = scene(
    ("red dog", (20, 50)), ("blue dog", (100, 20)), ("blue dog", (180, 50)), ("cat", (60, 80)), ("tree", (150, 80))
)
CAT, TREE = thing("cat"), thing("tree")


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        pytest.param(Clause("position", "left", "on the left"), 0, id="a position"),
        pytest.param(Clause("position", "up", "at the top"), 1, id="another position"),
        pytest.param(Clause("relation", "left", "left of the cat", (CAT,)), 0, id="left of a landmark"),
        pytest.param(Clause("relation", "between", "between", (CAT, TREE)), 1, id="between two landmarks"),
        pytest.param(Clause("relation", "near", "by the tree", (TREE,), is_negated=True), 0, id="not near a landmark"),
        pytest.param(Clause("rank", "right", "rightmost"), 2, id="a superlative"),
        pytest.param(Clause("rank", "left", "second from the left", rank=2), 1, id="an ordinal"),
        pytest.param(Clause("rank", "near", "closest to the tree", (TREE,)), 2, id="closest to a landmark"),
        pytest.param(Clause("rank", "far", "farthest from the tree", (TREE,)), 0, id="farthest from a landmark"),
    ],
)
def test_a_clause_tells_things_of_one_noun_apart(clause, expected):
    assert best(DOGS, thing("dog", clause)) == expected


ASIDE = scene(("red dog", (110, 50)), ("blue dog", (180, 50)), ("cat", (108, 20)), ("tree", (30, 80)))
"""Both dogs and the cat right of the middle; the cat above the tree and aside."""


@pytest.mark.parametrize(
    ("clause", "noun", "expected"),
    [
        pytest.param(Clause("position", "left", "on the left"), "dog", [0], id="the more left of two at the right"),
        pytest.param(Clause("position", "left", "on the left"), "cat", [2], id="the only one, near the middle"),
        pytest.param(Clause("relation", "up", "above the tree", (TREE,)), "cat", [2], id="a diagonal neighbour"),
        pytest.param(Clause("relation", "left", "left of the tree", (TREE,)), "cat", [], id="the opposite side"),
        pytest.param(Clause("relation", "down", "below the tree", (TREE,)), "cat", [], id="another opposite side"),
    ],
)
def test_a_place_chooses_and_denies_only_what_is_plainly_elsewhere(clause, noun, expected):
    assert list(score(ASIDE, asked(thing(noun, clause)), CALIBRATOR).selected) == expected


def test_what_is_plainly_elsewhere_is_denied():
    on_the_right = Clause("position", "right", "on the right")
    assert score(ASIDE, asked(thing("tree", on_the_right))).parts[on_the_right.label][3] < 0.02


def halves() -> EncodedImage:
    """A dog of two halves, another dog at the left, and a cat at the right."""
    masks = np.zeros((5, *SIZE_HW), bool)
    columns = [(100, 140), (100, 120), (120, 140), (20, 60), (160, 190)]
    for mask, (start, stop) in zip(masks, columns, strict=True):
        mask[30:70, start:stop] = True
    seen = np.stack([feature(name) for name in ("red dog", "red dog", "red dog", "blue dog", "cat")])
    return EncodedImage("0" * 64, SIZE_HW, Proposals.from_masks(masks), {"global": seen, "local": seen}, "fp")


@pytest.mark.parametrize(("keyword", "expected"), [("left", 1), ("right", 2), ("front", 0), ("back", 0)])
def test_a_part_of_a_thing_lies_within_it(keyword, expected):
    assert best(halves(), thing("red dog", Clause("part", keyword, f"{keyword} half"))) == expected


@pytest.mark.parametrize("keyword", ["left", "right", "up", "down", "front", "middle"])
def test_a_part_without_a_proposal_of_its_own_is_answered_by_the_thing(keyword):
    """And not by what stands at that side of it."""
    plain = score(DOGS, asked(thing("cat")), CALIBRATOR)
    part = score(DOGS, asked(thing("cat", Clause("part", keyword, f"{keyword} half"))), CALIBRATOR)
    assert (part.decision, part.selected) == (plain.decision, plain.selected) == ("match", (3,))


@pytest.mark.parametrize(
    "keyword", ["big", "small", "tall", "short", "long", "wide", "narrow", "left", "up", "front", "middle", "edge"]
)
@pytest.mark.parametrize("is_negated", [False, True], ids=["said", "denied"])
def test_an_order_takes_nothing_from_the_only_thing_of_its_phrase(keyword, is_negated):
    """Nobody can say of one tree that it is the larger, or not the larger: "the big tree" is the tree."""
    plain = score(DOGS, asked(thing("tree")), CALIBRATOR)
    said = score(DOGS, asked(thing("tree", Clause("rank", keyword, keyword, is_negated=is_negated))), CALIBRATOR)
    assert (said.decision, said.selected) == ("match", (4,))
    assert said.values[4] == pytest.approx(plain.values[4], abs=0.05)


def test_among_several_an_order_ranks():
    dogs = scene(("dog", (20, 50)), ("dog", (100, 50)), ("cat", (160, 50)))
    dogs.proposals.masks[1, 35:65, 85:115] = True
    dogs = EncodedImage("0" * 64, SIZE_HW, Proposals.from_masks(dogs.proposals.masks), dogs.features, "fp")
    clauses = {keyword: Clause("rank", keyword, keyword) for keyword in ("big", "small")}
    assert {k: score(dogs, asked(thing("dog", clause)), CALIBRATOR).selected for k, clause in clauses.items()} == {
        "big": (1,),
        "small": (0,),
    }
    not_big = Clause("rank", "big", "big", is_negated=True)
    assert score(dogs, asked(thing("dog", not_big)), CALIBRATOR).selected == (0,)


def test_everything_except_a_thing_is_all_the_others():
    scores = score(DOGS, asked(thing("", number=None, excluded=(CAT,))), CALIBRATOR)
    assert (scores.decision, sorted(scores.selected)) == ("match", [0, 1, 2, 4])


def test_a_landmark_has_clauses_of_its_own():
    right_dog = thing("dog", Clause("rank", "right", "rightmost"))
    near_it = Clause("rank", "near", "closest to the rightmost dog", (right_dog,))
    assert (
        best(scene(("cat", (20, 50)), ("cat", (150, 50)), ("dog", (60, 50)), ("dog", (180, 50))), thing("cat", near_it))
        == 1
    )


def test_the_camera_is_a_landmark_where_there_is_one_and_the_viewer_where_there_is_none():
    near_camera = thing("dog", Clause("rank", "near", "closest to the camera", (Referent("camera", "camera"),)))
    assert best(scene(("dog", (20, 20)), ("dog", (180, 80))), near_camera) == 1


def test_ranks_count_only_what_fits_the_other_clauses():
    lowest_left = thing("dog", Clause("position", "left", "on the left"), Clause("rank", "down", "lowest"))
    assert best(scene(("dog", (30, 30)), ("dog", (60, 50)), ("dog", (180, 80))), lowest_left) == 1


@pytest.mark.parametrize(
    ("phrase", "excluded", "expected"),
    [
        pytest.param("dog", thing("blue dog"), 0, id="a colour"),
        pytest.param(
            "blue dog", thing("blue dog", Clause("position", "right", "right")), 1, id="a thing with a clause"
        ),
    ],
)
def test_what_is_excluded_is_not_the_answer(phrase, excluded, expected):
    assert best(DOGS, thing(phrase, excluded=(excluded,))) == expected


def test_what_looks_most_like_the_excluded_is_excluded_where_no_colour_tells():
    dogs = scene(("dog", (20, 50)), ("dog tree", (100, 50)))
    assert best(dogs, thing("dog", excluded=(Referent("dog with tree", "dog"),))) == 0


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        pytest.param(None, [0, 1, 2], id="all"),
        pytest.param(2, [0, 1], id="two"),
        pytest.param(3, [0, 1, 2], id="three"),
    ],
)
def test_plurals_and_number_words_select_several(number, expected):
    scores = score(DOGS, asked(thing("dog", number=number)))
    assert (scores.decision, sorted(scores.selected)) == ("match", expected)


def test_two_of_an_order_are_the_first_two():
    assert set(score(DOGS, asked(thing("dog", Clause("rank", "right", "rightmost"), number=2))).selected) == {1, 2}


def test_joined_things_are_answered_together():
    scores = score(DOGS, asked(thing("cat"), thing("tree")))
    assert (scores.decision, set(scores.selected)) == ("match", {3, 4})


def test_copies_and_parts_count_once():
    dog, cat = ("dog", (20, 50)), ("dog", (180, 50))
    image = scene(dog, dog, cat)
    second = thing("dog", Clause("rank", "left", "second from the left", rank=2))
    assert best(image, second) == 2
    assert len(score(image, asked(thing("dog", number=None))).selected) == 2
    assert len(score(image, asked(thing("dog", number=None)), without=["grouping"]).selected) == 3


def test_what_is_within_its_landmark_is_another_thing():
    image = scene(("dog", (50, 50)), ("dog", (150, 50)), ("tree", (150, 50)))
    image.proposals.masks[2, 30:70, 130:170] = True
    proposals = Proposals.from_masks(image.proposals.masks)
    image = EncodedImage(image.image_sha256, SIZE_HW, proposals, image.features, "fp")
    assert best(image, thing("dog", Clause("relation", "in", "inside the tree", (TREE,)))) == 1


@pytest.mark.parametrize("kind", ["position", "relation", "rank"])
def test_an_improvement_that_is_left_out_changes_nothing_any_more(kind):
    clause = {
        "position": Clause("position", "right", "on the right"),
        "relation": Clause("relation", "right", "right of the tree", (TREE,)),
        "rank": Clause("rank", "right", "rightmost"),
    }[kind]
    with_it, without = (score(DOGS, asked(thing("dog", clause)), without=names) for names in ([], [kind]))
    assert with_it.values.argmax() == 2
    assert without.values == pytest.approx(score(DOGS, asked(thing("dog"))).values)
    assert clause.label not in without.parts


def test_leaving_out_numbers_and_exclusions():
    assert score(DOGS, asked(thing("dog", number=2)), CALIBRATOR, without=["number"]).selected == (0,)
    excluding = asked(thing("dog", excluded=(thing("red dog"),)))
    assert "not red dog" in score(DOGS, excluding).parts
    assert "not red dog" not in score(DOGS, excluding, without=["negation"]).parts


def test_rival_nouns_and_colours_are_asked_for_only_if_they_count():
    texts = GuidedMethod(negatives=NOUNS).texts(asked(thing("red dog")))
    assert {"red dog", "dog", "cat", "tree", "blue dog"} <= set(texts)
    assert set(GuidedMethod(negatives=NOUNS, without=["negatives", "colours"]).texts(asked(thing("red dog")))) == {
        "red dog"
    }


@pytest.mark.parametrize(
    ("referent", "count"),
    [
        pytest.param(thing("dog"), 1, id="a phrase"),
        pytest.param(thing("dog", Clause("relation", "left", "left of the cat", (CAT,))), 2, id="two phrases"),
        pytest.param(thing("red dog"), 11, id="a phrase in each of eleven colours"),
        pytest.param(
            thing("red dog", Clause("relation", "left", "left of the blue cat", (thing("blue cat"),))),
            22,
            id="two such",
        ),
    ],
)
def test_without_rival_nouns_only_phrases_and_colours_are_asked_for(referent, count):
    assert len(GuidedMethod().texts(asked(referent))) == count


def test_templates_dress_every_phrase():
    texts = GuidedMethod(templates=["{}", "a photo of a {}"], without=["colours"]).texts(asked(thing("red dog")))
    assert set(texts) == {"red dog", "a photo of a red dog"}


def test_without_a_calibrator_the_values_are_shares_and_one_thing_is_left_to_the_segmenter():
    scores = score(DOGS, asked(thing("dog")))
    assert scores.decision is None
    assert scores.values.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("referent", "decision", "selected"),
    [
        pytest.param(thing("cat"), "match", (3,), id="one cat"),
        pytest.param(thing("dog"), "ambiguous", (0,), id="which of three dogs"),
        pytest.param(thing("red dog"), "match", (0,), id="one red dog"),
        pytest.param(thing("red tree"), "no_match", (), id="a tree that is not red"),
        pytest.param(thing("owl"), "no_match", (), id="nothing of that name"),
        pytest.param(thing("red tree", number=None), "no_match", (), id="several of what is not there"),
    ],
)
def test_a_calibrator_decides(referent, decision, selected):
    scores = score(DOGS, asked(referent), CALIBRATOR)
    assert (scores.decision, scores.selected) == (decision, selected)


def test_what_has_no_chance_does_not_rival():
    """A dog a little left of the middle fits nearly as well as one at the left by its share, but a calibrator may know better."""
    image = scene(("dog", (88, 20)), ("dog", (95, 80)), ("cat", (160, 50)))
    left = asked(thing("dog", Clause("position", "left", "on the left")))
    strict = Calibrator(CALIBRATOR.look, Logistic({"look": 1.0, "clauses": 1.0, "margin": 14.0}, 1.0), 0.5)
    lax, sure = (score(image, left, calibrator, ambiguous_ratio=0.6) for calibrator in (CALIBRATOR, strict))
    assert (lax.decision, sure.decision) == ("ambiguous", "match")
    assert sure.values[1] < NO_CHANCE < sure.values[0]


def test_an_answer_without_a_chance_is_none():
    strict = Calibrator(CALIBRATOR.look, Logistic({"look": 1.0, "clauses": 1.0, "margin": 50.0}, 1.0), 0.5)
    scores = score(DOGS, asked(thing("blue dog")), strict)
    assert scores.values.max() < NO_CHANCE
    assert (scores.decision, scores.selected) == ("no_match", ())


def test_a_word_that_could_not_be_used_might_have_told_things_apart():
    dogs, shiny = asked(thing("dog", Clause("rank", "left", "leftmost"))), Clause("position", "left", "left")
    image = scene(("dog", (20, 50)), ("dog", (110, 50)), ("cat", (160, 50)))
    left = replace(dogs, referents=(thing("dog", shiny),))
    assert score(image, left, CALIBRATOR).decision == "match"
    assert score(image, replace(left, unused=("shiny",)), CALIBRATOR).decision == "ambiguous"


def test_a_calibrator_says_how_probable_each_candidate_is():
    scores = score(DOGS, asked(thing("red dog")), CALIBRATOR)
    assert scores.parts["probability"] == pytest.approx(scores.values)
    assert "probability" not in score(DOGS, asked(thing("red dog"))).parts


def test_what_is_missing_of_joined_things_is_left_out():
    scores = score(DOGS, asked(thing("cat"), thing("owl")), CALIBRATOR)
    assert (scores.decision, scores.selected) == ("match", (3,))


def test_probabilities_keep_the_order_of_the_fit():
    backwards = Calibrator(CALIBRATOR.look, Logistic({"look": -1.0, "clauses": 0.0, "margin": 0.0}), 0.0)
    straight, turned = (score(DOGS, asked(thing("red dog")), c) for c in (CALIBRATOR, backwards))
    assert straight.values.argmax() == turned.values.argmax() == 0
    assert (turned.values >= 0).all()


def test_parts_name_the_look_its_rank_and_every_clause():
    left, far = (
        Clause("position", "left", "on the left"),
        Clause("relation", "near", "by the cat", (CAT,), is_negated=True),
    )
    parts = score(DOGS, asked(thing("blue dog", left, far, excluded=(thing("red dog"),)))).parts
    assert list(parts) == ["look", "look_rank", "on the left", "not by the cat", "not red dog"]
    assert sorted(parts["look_rank"]) == [1, 2, 3, 4, 5]


def test_parts_of_joined_things_are_those_of_the_better_fit():
    parts = score(DOGS, asked(thing("cat", Clause("position", "left", "on the left")), thing("tree"))).parts
    assert np.isnan(parts["on the left"]).tolist()[3:] == [False, True]


def test_an_expression_that_names_nothing_is_answered_by_its_place():
    assert best(DOGS, thing("", Clause("rank", "left", "leftmost"))) == 0


def test_an_expression_that_was_not_read_is_its_noun_phrase():
    expression = Expression("a cat", "a cat", "cat", "cat", (), "none", "none", is_whole=False)
    assert score(DOGS, expression).values.argmax() == 3


def test_settings_change_with_everything_that_decides():
    base = GuidedMethod().settings
    others = [GuidedMethod(**s).settings for s in ({"visual_mix": 0.1}, {"negatives": ["dog"]}, {"without": ["rank"]})]
    assert all(other != base for other in others)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"visual_mix": 1.2}, BadInput, r"visual_mix is 1.2; give a weight in \[0, 1\]"),
        ({"without": ["magic"]}, UnknownName, f"no improvement magic. Available: {', '.join(IMPROVEMENTS)}"),
        ({"calibration": "mars"}, UnknownName, "No calibrator named 'mars'. Available:"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        GuidedMethod(**settings)


def test_what_is_remembered_of_a_noun_makes_up_for_no_colour():
    image = scene(("blue dog", (50, 50)), ("red tree", (150, 50)))
    expression = asked(thing("red dog"))
    method = GuidedMethod(negatives=NOUNS)
    method.calibrator = CALIBRATOR
    features = {name: feature(text) for name, text in method.texts(expression).items()}
    visual = method.visual(image)
    centre = visual.mean(axis=0)
    former = RegionMemory(centre, {"dog": unit(visual[:1] - centre).astype(np.float16)}, 16.0)
    plain, lifted, heeded = (
        method.with_memory(memory).score(image, expression, features, SCALE).values[0]
        for memory in (None, former, replace(former, heeds_colour=True))
    )
    assert lifted > 1000 * plain
    assert heeded < 3 * plain
