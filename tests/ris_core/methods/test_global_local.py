import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core import EncodedImage, Expression, Proposals
from ris_core.errors import BadInput, UnknownName
from ris_core.methods._similarity import cosine, softmax, unit
from ris_core.methods.global_local import GlobalLocalMethod

RNG = np.random.default_rng(0)


def encoded(n: int = 4, e: int = 8) -> EncodedImage:
    masks = np.zeros((n, 6, 6), bool)
    masks[np.arange(n), np.arange(n), 0] = True
    features = {"global": RNG.normal(size=(n, e)), "local": RNG.normal(size=(n, e))}
    return EncodedImage("0" * 64, (6, 6), Proposals.from_masks(masks), features, "fp")


ASKED = Expression("a red cup", "a red cup", "a red cup", "cup", (), "none", "none", is_whole=False)
TEXTS = {"sentence": RNG.normal(size=8), "noun_phrase": RNG.normal(size=8)}


def test_the_logit_is_the_scaled_cosine_of_the_unnormalised_mixes():
    image = encoded()
    scores = GlobalLocalMethod(visual_mix=0.85, text_mix=0.5).score(image, ASKED, TEXTS, 100.0)
    visual = 0.85 * image.features["global"] + 0.15 * image.features["local"]
    text = (TEXTS["sentence"] + TEXTS["noun_phrase"]) / 2
    by_hand = [100 * v @ text / np.linalg.norm(v) / np.linalg.norm(text) for v in visual]
    assert scores.parts["logit"] == pytest.approx(by_hand)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(1.0, 100.0))
def test_scores_are_shares_in_the_order_of_the_logits(visual_mix, text_mix, scale):
    scores = GlobalLocalMethod(visual_mix, text_mix).score(encoded(), ASKED, TEXTS, scale)
    assert scores.values.sum() == pytest.approx(1)
    assert (np.diff(scores.values[np.argsort(scores.parts["logit"])]) >= 0).all()


def test_with_all_weight_on_one_branch_the_other_does_not_matter():
    image = encoded()
    scores = GlobalLocalMethod(visual_mix=1.0, text_mix=1.0).score(image, ASKED, TEXTS, 100.0)
    assert scores.parts["logit"] == pytest.approx(100 * scores.parts["global_sentence"])


def test_a_zero_feature_scores_zero_instead_of_nan():
    assert cosine(np.zeros((1, 4)), np.ones(4)) == pytest.approx([0])


def test_softmax_survives_large_logits():
    assert softmax(np.array([1000.0, 999.0])) == pytest.approx([0.7311, 0.2689], abs=1e-4)


def test_a_resnets_parts_are_scaled_before_they_are_mixed():
    image = encoded()
    scores = GlobalLocalMethod(visual_mix=0.95, unit_parts=True).score(image, ASKED, TEXTS, 100.0)
    visual = 0.95 * image.features["global"] + 0.05 * unit(image.features["local"])
    text = (unit(TEXTS["sentence"]) + unit(TEXTS["noun_phrase"])) / 2
    assert scores.parts["logit"] == pytest.approx(100 * cosine(visual, text))


def test_released_resnet_scores_grow_with_the_length_of_the_feature():
    """Quirk Q-RN-NORM."""
    image = encoded()
    longer = {name: features * np.array([[3], [1], [1], [1]]) for name, features in image.features.items()}
    longer = EncodedImage("0" * 64, (6, 6), image.proposals, longer, "fp")
    for quirks, factor in (((), 1), (["Q-RN-NORM"], 3)):
        method = GlobalLocalMethod(quirks=quirks)
        before, after = (method.score(one, ASKED, TEXTS, 10.0).parts["logit"] for one in (image, longer))
        assert after == pytest.approx(before * [factor, 1, 1, 1])


def test_recorded_resnet_scores_are_dot_products_of_the_mixes():
    image = encoded()
    scores = GlobalLocalMethod(visual_mix=0.95, unit_parts=True, quirks=["Q-RN-NORM"]).score(image, ASKED, TEXTS, 100.0)
    visual = 0.95 * image.features["global"] + 0.05 * unit(image.features["local"])
    text = (unit(TEXTS["sentence"]) + unit(TEXTS["noun_phrase"])) / 2
    assert scores.parts["logit"] == pytest.approx(100 * visual @ text)


def test_masking_names_the_feature_that_is_read():
    assert GlobalLocalMethod(masking="attention").features == ("global_attention", "local")
    with pytest.raises(BadInput, match="masking is 'rows'; give one of tokens, attention"):
        GlobalLocalMethod(masking="rows")


@pytest.mark.parametrize("setting", ["visual_mix", "text_mix"])
def test_a_weight_outside_its_range_is_named(setting):
    with pytest.raises(BadInput, match=rf"{setting} is 1\.5; give a weight in \[0, 1\]"):
        GlobalLocalMethod(**{setting: 1.5})


def test_a_quirk_of_something_else_is_refused():
    with pytest.raises(UnknownName, match=r"no quirk Q-NMS\. Available: Q-RN-NORM"):
        GlobalLocalMethod(quirks=["Q-NMS"])
