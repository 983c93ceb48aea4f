import numpy as np
import pytest

from ris_core import EncodedImage, Expression, Proposals
from ris_core.errors import BadInput, UnknownName
from ris_core.methods._similarity import cosine, softmax, unit
from ris_core.methods.hybrid_gl import FUSIONS, HybridGLMethod

SIDE, WIDTH = 24, 8
SCALE = 20.0


def expression(position: str = "none", relation: str = "none", others: tuple[str, ...] = ()) -> Expression:
    return Expression("the dog", "the dog", "the dog", "dog", others, position, relation, is_whole=False)


def squares(*corners: tuple[int, int], side: int = 6) -> Proposals:
    masks = np.zeros((len(corners), SIDE, SIDE), bool)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[y : y + side, x : x + side] = True
    return Proposals.from_masks(masks)


def encoded(proposals: Proposals, seed: int = 0) -> EncodedImage:
    """Features without meaning; heat that is strongest in the middle."""
    drawn = np.random.default_rng(seed)
    features = {name: drawn.normal(size=(len(proposals), WIDTH)) for names in FUSIONS.values() for name in names}
    ramp = 1 - np.abs(np.linspace(-1, 1, 6))
    likeness = ramp[:, None] * ramp[None] + 0.01 * drawn.normal(size=(6, 6))
    features["heat"] = likeness[:, :, None] * np.eye(WIDTH)[0]
    return EncodedImage("0" * 64, (SIDE, SIDE), proposals, features, "fp")


def texts(method: HybridGLMethod, asked: Expression, seed: int = 1) -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(seed)
    return {name: drawn.normal(size=WIDTH) for name in method.texts(asked)} | {"photo": np.eye(WIDTH)[0]}


FOUR = squares((9, 1), (9, 16), (1, 9), (16, 9))
ROW = squares(*[(9, x) for x in range(0, 18, 2)])


def score(method: HybridGLMethod, asked: Expression, proposals: Proposals = FOUR, seed: int = 0):
    return method.score(encoded(proposals, seed), asked, texts(method, asked), SCALE)


class TestLooks:
    @pytest.mark.parametrize("fusion", FUSIONS)
    def test_the_logit_is_the_scaled_cosine_of_the_modes_features(self, fusion):
        method, image = HybridGLMethod(fusion=fusion, guided=False), encoded(FOUR)
        read = texts(method, expression())
        found = method.score(image, expression(), read, SCALE)
        visual = sum(image.features[name] for name in FUSIONS[fusion])
        text = (read["sentence"] + read["noun_phrase"]) / 2
        assert found.parts["logit"] == pytest.approx(SCALE * cosine(visual, text))
        assert found.values == pytest.approx(softmax(found.parts["logit"]))

    def test_only_what_is_needed_is_read(self):
        assert HybridGLMethod().features == ("hybrid_G2L", "heat")
        assert HybridGLMethod(fusion="G2L&L2G", guided=False).features == ("hybrid_G2L", "hybrid_L2G")

    def test_texts_ask_for_the_thing_and_for_the_others(self):
        asked = HybridGLMethod().texts(expression(others=("the cat", "a hat")))
        assert asked == {
            "sentence": "the dog",
            "noun_phrase": "the dog",
            "photo": "a photo of a dog.",
            "other_0": "a photo of the cat",
            "other_1": "a photo of a hat",
        }
        assert set(HybridGLMethod(guided=False).texts(expression(others=("the cat",)))) == {"sentence", "noun_phrase"}


class TestGuidance:
    def test_the_best_candidates_are_put_in_order_and_the_rest_stays_behind(self):
        found = score(HybridGLMethod(candidates=3), expression(), ROW)
        by_looks, by_value = np.argsort(-found.parts["pure"]), np.argsort(-found.values)
        assert set(by_value[:3]) == set(by_looks[:3])
        np.testing.assert_array_equal(by_value[3:], by_looks[3:])
        guided = found.parts["guided"]
        np.testing.assert_array_equal(by_value[:3], sorted(by_looks[:3], key=lambda i: -guided[i]))
        assert np.isnan(guided[by_looks[3:]]).all()

    def test_shares_are_dealt_not_changed(self):
        found = score(HybridGLMethod(), expression(), ROW)
        np.testing.assert_allclose(sorted(found.values), sorted(found.parts["pure"]))

    def test_of_equal_looks_the_better_place_wins(self):
        image = encoded(squares((1, 1), (9, 9)))
        image.features["hybrid_G2L"][1] = image.features["hybrid_G2L"][0]
        method = HybridGLMethod()
        found = method.score(image, expression(), texts(method, expression()), SCALE)
        assert found.values.argmax() == 1  # the heat is in the middle
        assert found.values[0] < found.values[1]

    def test_the_guided_sum_weighs_relation_and_coherence(self):
        parts = score(HybridGLMethod(coherence_mix=0.3), expression()).parts
        np.testing.assert_allclose(parts["guided"], 0.7 * parts["relation"] + 0.3 * parts["coherence"])

    @pytest.mark.parametrize(
        ("position", "first"), [("left", 0), ("right", 1), ("up", 2), ("down", 3)], ids=lambda value: str(value)
    )
    def test_a_position_favours_what_is_there(self, position, first):
        parts = score(HybridGLMethod(candidates=4), expression(position)).parts
        assert parts["coherence"].argmax() == first

    @pytest.mark.parametrize(("relation", "first"), [("left", 0), ("right", 1), ("up", 2), ("down", 3)])
    def test_a_relation_favours_what_stands_in_it(self, relation, first):
        image = encoded(FOUR)
        image.features["hybrid_G2L"][:] = 1.0  # all look alike
        method, asked = HybridGLMethod(candidates=4, compared=4), expression(relation=relation, others=("a cat",))
        parts = method.score(image, asked, texts(method, asked), SCALE).parts
        assert parts["relation"].argmax() == first

    def test_things_are_compared_with_the_other_things_named(self):
        """The only cat is the first of the row: everything else is right of it, but nothing of the cat's own."""
        image, method, asked = encoded(ROW), HybridGLMethod(compared=1), expression(relation="right", others=("a cat",))
        read = texts(method, asked) | {"other_0": image.features["hybrid_G2L"][0]}
        parts = method.score(image, asked, read, SCALE).parts
        chosen = np.flatnonzero(~np.isnan(parts["relation"]))
        terms = parts["pure"][chosen] * softmax(parts["other_logit"])[0] * (chosen > 0)
        assert parts["relation"][chosen] == pytest.approx(softmax(terms))

    @pytest.mark.parametrize("n", [1, 2])
    def test_few_proposals_are_enough(self, n):
        found = score(HybridGLMethod(), expression("left", "left", ("a cat",)), squares(*[(4, 4), (9, 9)][:n]))
        assert np.isfinite(found.values).all()

    def test_nothing_depends_on_the_order_of_the_proposals(self):
        method, asked, image = HybridGLMethod(), expression("left", "small", ("a cat",)), encoded(ROW)
        order = np.random.default_rng(5).permutation(len(ROW))
        shuffled = {name: array if name == "heat" else array[order] for name, array in image.features.items()}
        mixed = EncodedImage("", image.size_hw, Proposals.from_masks(ROW.masks[order]), shuffled, "")
        one, two = (method.score(some, asked, texts(method, asked), SCALE).values for some in (image, mixed))
        np.testing.assert_allclose(two, one[order])


class TestQuirks:
    def test_boxes_are_a_pixel_short(self):
        """Q-BOX1: 6 px squares that touch overlap no more, and one within a 7 px one is less than within."""
        inner, outer = squares((9, 9)), squares((8, 8), side=8)
        both = Proposals.from_masks(np.concatenate([inner.masks, outer.masks]))
        image = encoded(both)
        image.features["hybrid_G2L"][:] = 1.0
        asked = expression(relation="within")
        tight, short = (HybridGLMethod(quirks=quirks) for quirks in ((), ["Q-BOX1"]))
        one, two = (m.score(image, asked, texts(m, asked), SCALE).parts["relation"][1] for m in (tight, short))
        terms = np.array([0.25 + 0.25, 0.25 + 0.25 * 36 / 64]), np.array([0.5, 0.25 + 0.25 * 25 / 49])
        assert (one, two) == pytest.approx([softmax(term)[1] for term in terms])

    def test_up_and_down_mean_nothing(self):
        """Q-VERT"""
        released = HybridGLMethod(candidates=4, quirks=["Q-VERT"])
        flat, up = (score(released, expression(position)).parts["coherence"] for position in ("none", "up"))
        np.testing.assert_allclose(flat, up)
        assert not np.allclose(score(HybridGLMethod(candidates=4), expression("up")).parts["coherence"], flat)

    @pytest.mark.parametrize(("others", "count"), [((), 3), (("a cat",), 6)])
    def test_a_missing_relation_is_scaled_by_what_it_would_be_compared_with(self, others, count):
        """Q-RSCALE"""
        for quirks, factor in (((), 1), (["Q-RSCALE"], count)):
            parts = score(HybridGLMethod(quirks=quirks), expression(others=others), ROW).parts
            chosen = ~np.isnan(parts["relation"])
            assert parts["relation"][chosen] == pytest.approx(softmax(factor * parts["pure"][chosen]))

    def test_candidates_shrink_for_good(self):
        """Q-KSHRINK: off, an image is judged alike whatever came before it."""
        for quirks, later in (((), 3), (["Q-KSHRINK"], 2)):
            method = HybridGLMethod(quirks=quirks)
            assert np.isfinite(score(method, expression(), ROW).parts["guided"]).sum() == 3
            score(method, expression(), squares((4, 4), (9, 9)))
            assert np.isfinite(score(method, expression(), ROW).parts["guided"]).sum() == later

    def test_likeness_to_others_is_undefined_without_them(self):
        """Q-NEGNAN"""
        assert np.isnan(score(HybridGLMethod(quirks=["Q-NEGNAN"]), expression()).parts["other_logit"]).all()
        assert score(HybridGLMethod(), expression()).parts["other_logit"] == pytest.approx(np.zeros(4))

    def test_a_mask_of_the_whole_image_wins(self):
        """Q-FULLMASK"""
        both = Proposals.from_masks(np.concatenate([squares((9, 9)).masks, np.ones((1, SIDE, SIDE), bool)]))
        assert score(HybridGLMethod(), expression(), both).values.argmax() == 0
        released = score(HybridGLMethod(quirks=["Q-FULLMASK"]), expression(), both)
        assert released.values.argmax() == 1
        assert np.isnan(released.parts["guided"][1])

    @pytest.mark.parametrize(
        ("phrase", "mended"), [("the red dog", "red dog"), ("an apple", "apple"), ("dogs", "dogs"), ("the", "the")]
    )
    def test_articles_are_doubled(self, phrase, mended):
        """Q-ARTICLE"""
        asked = Expression(phrase, phrase, phrase, phrase, (), "none", "none", is_whole=False)
        assert HybridGLMethod().texts(asked)["photo"] == f"a photo of a {mended}."
        assert HybridGLMethod(quirks=["Q-ARTICLE"]).texts(asked)["photo"] == f"a photo of a {phrase}."


class TestSettings:
    def test_an_unknown_mode_is_named_with_those_there_are(self):
        """Quirk Q-MODE, which is not brought back."""
        with pytest.raises(BadInput, match=r"fusion is 'L2G&G2L'; give one of G2L, L2G, G2L&L2G, attn_masking"):
            HybridGLMethod(fusion="L2G&G2L")

    @pytest.mark.parametrize(
        "setting", [{"candidates": 0}, {"compared": 0}, {"coherence_mix": 2.0}, {"text_mix": -1.0}]
    )
    def test_a_setting_out_of_range_is_named(self, setting):
        with pytest.raises(BadInput, match=next(iter(setting))):
            HybridGLMethod(**setting)

    def test_an_unknown_quirk_is_named(self):
        with pytest.raises(UnknownName, match=r"no quirk Q-NMS\. Available: Q-BOX1"):
            HybridGLMethod(quirks=["Q-NMS"])

    def test_settings_tell_methods_apart(self):
        assert HybridGLMethod(quirks=["Q-VERT"]).settings != HybridGLMethod().settings


def test_photo_texts_of_any_length_find_the_same_heat():
    method, image, asked = HybridGLMethod(), encoded(FOUR), expression()
    read = texts(method, asked)
    longer = {**read, "photo": 7 * read["photo"]}
    one, two = (method.score(image, asked, some, SCALE).parts["coherence"] for some in (read, longer))
    np.testing.assert_allclose(one, two)
    assert np.linalg.norm(unit(longer["photo"])) == pytest.approx(1)
