"""Answers from some of the crops, beside those from all of them."""

import pytest

from benchmarks import crops
from ris_core import Image
from ris_core.evaluation.dataset import EvaluationImage, EvaluationSample
from tests.toy import guided_toy, toy_pixels


@pytest.fixture(scope="module")
def scene() -> crops.CrowdedScene:
    image = Image.from_array(toy_pixels())
    encoded = guided_toy().encode(image)
    case = EvaluationImage(image, encoded.proposals.masks, (EvaluationSample("1", "the red square", (0,)),))
    return crops.CrowdedScene(case, encoded)


def test_losses_and_costs_make_a_report(scene):
    losses = crops.measure_loss(guided_toy(), [scene])
    assert [one.difference for one in losses if one.share == 1] == [0, 0]
    assert {one.miou for one in losses} == {100}
    costs = crops.measure_cost((3,), "ViT-B-32")
    assert costs[0].local_s[1 / 2] < costs[0].local_s[1]
    for table in crops.to_markdown(losses, costs).split("\n\n"):
        assert len({line.count("|") for line in table.splitlines()}) == 1
