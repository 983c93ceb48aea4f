import numpy as np
import pytest

from ris_core.errors import BadInput
from ris_core.methods.cropping import CroppingMethod
from ris_core.methods.global_local import GlobalLocalMethod as GlobalLocal
from tests.ris_core.methods.test_global_local import ASKED, TEXTS, encoded


def test_it_is_global_local_without_the_global_branch():
    image, both = encoded(), {"text_mix": 0.3}
    found = CroppingMethod(**both).score(image, ASKED, TEXTS, 100.0)
    expected = GlobalLocal(visual_mix=0.0, **both).score(image, ASKED, TEXTS, 100.0)
    assert found.parts["logit"] == pytest.approx(expected.parts["logit"])
    assert found.values == pytest.approx(expected.values)


def test_by_default_only_the_sentence_counts():
    image = encoded()
    other = {**TEXTS, "noun_phrase": -TEXTS["noun_phrase"]}
    one, two = (CroppingMethod().score(image, ASKED, texts, 100.0).values for texts in (TEXTS, other))
    np.testing.assert_allclose(one, two)


def test_it_reads_cut_outs_alone():
    assert CroppingMethod().features == ("local",)


def test_a_weight_outside_its_range_is_named():
    with pytest.raises(BadInput, match=r"text_mix is -0\.1"):
        CroppingMethod(text_mix=-0.1)
