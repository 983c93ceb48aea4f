from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from ris_core import Expression, Image, Proposals, Scores
from ris_core.errors import BadExpression, BadInput, NegatedTarget
from ris_core.geometry.masks import from_rle
from ris_core.language.values import Referent
from ris_core.methods import guided, hybrid_gl
from ris_core.output.documents import to_document
from ris_core.output.overlay import draw
from ris_core.types import NO_CHANCE
from tests.toy import ColourEncoder, toy_pixels, toy_segmenter

IMAGE = Image.from_array(toy_pixels())


class CountingEncoder(ColourEncoder):
    """Counts what is encoded."""

    def __init__(self) -> None:
        self.images = 0

    def encode(self, image, proposals):
        self.images += 1
        return super().encode(image, proposals)


def test_the_answer_is_the_region_the_words_name():
    segmenter = toy_segmenter()
    prediction = segmenter.segment(segmenter.encode(IMAGE), "the blue square")
    assert prediction.decision == "match"
    assert (prediction.answer == (toy_pixels() == (0, 0, 255)).all(-1)).all()


def test_an_image_is_encoded_once_for_all_expressions():
    encoder = CountingEncoder()
    segmenter = toy_segmenter(encoder=encoder)
    encoded = segmenter.encode(IMAGE)
    for colour in ("red", "green", "blue"):
        segmenter.segment(encoded, colour)
    assert encoder.images == 1


def test_candidates_are_best_first_and_at_most_top_k():
    segmenter = toy_segmenter()
    prediction = segmenter.segment(segmenter.encode(IMAGE), "red", top_k=3)
    assert len(prediction.masks) == len(prediction.scores) == len(prediction.parts) == 3
    assert (np.diff(prediction.scores) <= 0).all()
    assert ((prediction.scores >= 0) & (prediction.scores <= 1)).all()


def test_every_candidate_has_the_parts_of_its_score():
    segmenter = toy_segmenter()
    parts = segmenter.segment(segmenter.encode(IMAGE), "red").parts[0]
    assert {"logit", "global_sentence", "local_noun_phrase", "predicted_iou", "stability"} <= set(parts)


def test_without_proposals_nothing_matches():
    segmenter = toy_segmenter(cells=0)
    prediction = segmenter.segment(segmenter.encode(IMAGE), "red")
    assert (prediction.decision, prediction.selected, len(prediction.masks)) == ("no_match", (), 0)
    assert prediction.answer.shape == IMAGE.size_hw
    assert not prediction.answer.any()


def test_two_things_that_score_alike_are_ambiguous():
    segmenter = toy_segmenter()
    twice_red = Image.from_array(np.concatenate([toy_pixels(), toy_pixels()], axis=1))
    prediction = segmenter.segment(segmenter.encode(twice_red, Proposals.from_masks(halves_of_red(twice_red))), "red")
    assert (prediction.decision, prediction.selected) == ("ambiguous", (0,))


def halves_of_red(image: Image) -> np.ndarray:
    red = (image.pixels == (255, 0, 0)).all(-1)
    left, right = red.copy(), red.copy()
    left[:, 60:], right[:, :60] = False, False
    return np.stack([left, right])


def test_a_mask_and_nearly_the_same_mask_are_not_ambiguous():
    segmenter = toy_segmenter()
    red = (toy_pixels() == (255, 0, 0)).all(-1)
    smaller = red.copy()
    smaller[0] = False
    encoded = segmenter.encode(IMAGE, Proposals.from_masks(np.stack([red, smaller])))
    assert segmenter.segment(encoded, "red").decision == "match"


class DecidingMethod:
    """Gives every proposal the same score and decides for itself."""

    features = ("global",)
    excludes = False
    settings: ClassVar[dict] = {}

    def __init__(self, decision, selected):
        self.decision, self.selected = decision, selected

    def texts(self, expression):
        return {"head": expression.head}

    def score(self, encoded, expression, texts, logit_scale, logit_bias):
        n = len(encoded.proposals)
        parts = {"place": np.arange(n, dtype=float), "guided": np.where(np.arange(n) == 1, 7.0, np.nan)}
        return Scores(np.full(n, 0.5), parts, self.decision, self.selected)


class TestAMethodThatDecides:
    def ask(self, decision, selected, top_k=2):
        segmenter = replace(toy_segmenter(), method=DecidingMethod(decision, selected))
        return segmenter.segment(segmenter.encode(IMAGE), "red squares", top_k)

    @pytest.mark.parametrize(
        ("decision", "selected"), [("match", (1,)), ("match", (1, 0)), ("ambiguous", (0,)), ("no_match", ())]
    )
    def test_its_decision_stands(self, decision, selected):
        prediction = self.ask(decision, selected)
        assert (prediction.decision, prediction.selected, len(prediction.masks)) == (decision, selected, 2)

    def test_an_answer_of_many_is_never_cut(self):
        prediction = self.ask("match", (0, 3, 2), top_k=1)
        assert (len(prediction.masks), prediction.selected) == (3, (0, 1, 2))
        assert [parts["place"] for parts in prediction.parts] == [0, 3, 2]
        assert (prediction.answer == (toy_pixels() != (0, 255, 0)).any(-1)).all()

    def test_terms_that_a_candidate_does_not_have_are_left_out(self):
        assert [parts.get("guided") for parts in self.ask("match", (0,)).parts] == [None, 7.0]


def test_features_that_were_not_encoded_are_named():
    segmenter = toy_segmenter()
    other = replace(segmenter, method=hybrid_gl.HybridGLMethod(guided=False), method_name="hybrid_gl")
    with pytest.raises(
        BadInput, match=r"without hybrid_G2L, which hybrid_gl reads\. Encode it with a segmenter of this"
    ):
        other.segment(segmenter.encode(IMAGE), "red")


class TestFingerprints:
    def test_the_method_does_not_change_what_is_encoded(self):
        one, other = toy_segmenter(), toy_segmenter()
        object.__setattr__(other, "ambiguous_ratio", 0.5)
        assert one.encode_fp == other.encode_fp
        assert one.model_version != other.model_version

    def test_another_proposer_changes_both(self):
        one, other = toy_segmenter(cells=2), toy_segmenter(cells=3)
        assert one.encode_fp != other.encode_fp
        assert one.model_version != other.model_version

    def test_given_proposals_are_part_of_what_was_encoded(self):
        segmenter = toy_segmenter()
        masks = np.ones((1, *IMAGE.size_hw), bool)
        assert segmenter.encode(IMAGE, Proposals.from_masks(masks)).encode_fp != segmenter.encode(IMAGE).encode_fp

    def test_the_version_never_holds_the_expression(self):
        segmenter = toy_segmenter()
        encoded = segmenter.encode(IMAGE)
        assert segmenter.segment(encoded, "red").model_version == segmenter.segment(encoded, "blue").model_version


class TestWhatIsNotMeant:
    TREE = Referent("tree", "tree")

    def ask(self, referent, method="guided", quirks=frozenset()):
        segmenter = toy_segmenter()
        if method == "guided":
            segmenter = replace(segmenter, method=guided.GuidedMethod(), method_name="guided")
        segmenter.parser.quirks = quirks
        expression = Expression("all but it", "all but it", "tree", "tree", (), "none", "none", False, (referent,))
        return segmenter.segment(segmenter.encode(IMAGE), expression)

    def test_a_target_that_is_only_denied_is_refused(self):
        with pytest.raises(NegatedTarget, match=r"“all but it” only says what is not meant\. Say what is"):
            self.ask(Referent(excluded=(self.TREE,)))

    def test_everything_else_is_answered_by_a_method_that_can_exclude(self):
        everything_else = Referent(number=None, excluded=(self.TREE,))
        assert self.ask(everything_else).decision == "match"
        with pytest.raises(NegatedTarget):
            self.ask(everything_else, method="global_local")

    def test_the_released_code_answers_it(self):
        """Q-NEGATED."""
        denied = Referent(excluded=(self.TREE,))
        assert self.ask(denied, method="global_local", quirks=frozenset({"Q-NEGATED"})).selected


def test_candidates_without_a_chance_are_no_others():
    encoded = toy_segmenter().encode(IMAGE)
    prediction = toy_segmenter().segment(encoded, "red")
    assert prediction.others == (1, 2, 3)
    chances = [{"probability": chance} for chance in (0.9, NO_CHANCE, NO_CHANCE / 2, 0.0)]
    assert replace(prediction, parts=chances).others == (1,)


def test_the_rival_is_another_thing_and_no_part_of_the_answer():
    prediction = toy_segmenter().segment(toy_segmenter().encode(IMAGE), "red")
    assert prediction.rival_rank == 2
    copy = prediction.masks.copy()
    copy[1] = copy[0]
    assert replace(prediction, masks=copy).rival_rank == 3


class TestBadInput:
    @pytest.mark.parametrize("text", ["", "   ", "?!"])
    def test_an_expression_without_words_is_refused(self, text):
        segmenter = toy_segmenter()
        with pytest.raises(BadExpression, match="Type what to find"):
            segmenter.segment(segmenter.encode(IMAGE), text)

    def test_ten_thousand_characters_are_refused_with_their_number(self):
        segmenter = toy_segmenter()
        with pytest.raises(BadExpression, match="10,000 characters; at most 1,000"):
            segmenter.segment(segmenter.encode(IMAGE), "dog " * 2499 + "dogs")

    @pytest.mark.parametrize("text", ["🍎", "красное яблоко", "赤いりんご", "the 🍎 on the left"])
    def test_emoji_and_other_scripts_are_read(self, text):
        segmenter = toy_segmenter()
        assert segmenter.segment(segmenter.encode(IMAGE), text).expression.raw == text

    def test_proposals_of_another_size_are_refused(self):
        with pytest.raises(BadInput, match=r"\(5, 5\).*Resize the masks"):
            toy_segmenter().encode(IMAGE, Proposals.from_masks(np.ones((1, 5, 5), bool)))

    def test_no_candidates_are_no_answer(self):
        segmenter = toy_segmenter()
        with pytest.raises(BadInput, match="top_k is 0"):
            segmenter.segment(segmenter.encode(IMAGE), "red", top_k=0)


def test_an_expression_that_was_parsed_already_is_taken():
    segmenter = toy_segmenter()
    parsed = Expression("RED", "red", "red", "red", (), "none", "none", False)
    assert segmenter.segment(segmenter.encode(IMAGE), parsed).expression is parsed


def test_the_document_holds_masks_of_the_images_size():
    segmenter = toy_segmenter()
    prediction = segmenter.segment(segmenter.encode(IMAGE), "red", top_k=2)
    document = to_document(IMAGE, prediction, "toy", "global_local")
    assert set(document) == {
        "image",
        "expression",
        "profile",
        "method",
        "model_version",
        "decision",
        "selected",
        "candidates",
    }
    assert [set(c) for c in document["candidates"]] == [{"rank", "score", "bbox_xywh", "mask", "parts"}] * 2
    assert (from_rle(document["candidates"][0]["mask"]) == prediction.masks[0]).all()


def test_the_overlay_paints_the_answer_and_leaves_the_rest():
    segmenter = toy_segmenter()
    prediction = segmenter.segment(segmenter.encode(IMAGE), "blue", top_k=1)
    drawn = np.asarray(draw(IMAGE, prediction))[: IMAGE.size_hw[0]]
    assert drawn.shape[1] == IMAGE.size_hw[1]
    assert (drawn[5:15, 40:55] == toy_pixels()[5:15, 40:55]).all()
    assert (drawn[36:39, 20:28] != toy_pixels()[36:39, 20:28]).any()
