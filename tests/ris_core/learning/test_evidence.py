"""What is read from stored answers is what the method weighed."""

import numpy as np
import pytest

from demo.benchmark import draw_case
from ris_core import load_segmenter
from ris_core.errors import BadInput
from ris_core.learning.evidence import read_features
from ris_core.output.documents import list_candidates

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [500_301, 500_304])
def test_the_calibrator_says_of_stored_features_what_the_method_said(seed):
    segmenter, case = load_segmenter("demo"), draw_case(seed)
    encoded, told, read_back = segmenter.encode(case.image), [], []
    for sample in case.samples:
        try:
            prediction = segmenter.segment(encoded, sample.text)
        except BadInput:
            continue
        numbers = [one.number for one in prediction.expression.referents]
        if len(numbers) != 1:
            continue
        candidates = list_candidates(prediction)
        features = read_features(candidates, encoded.size_hw, numbers[0])
        told.append(candidates[features.index]["parts"]["probability"])
        columns = {name: np.array([value]) for name, value in features.values.items()}
        read_back.append(float(segmenter.method.calibrator.answer(columns)[0]))
    assert len(told) >= 8
    np.testing.assert_allclose(read_back, told, atol=0.02)
