"""Simulated annotators: what they do is counted as a person would. The picture is red, green / blue, yellow."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.annotators import FEATURES, AnnotatorsReport, measure
from benchmarks.simulated_annotator import MAX_CLICKS, REPAINT_ACTIONS, RefinementLog
from demo.benchmark import read_scenes
from ris_core import load_segmenter
from ris_core.errors import BadInput
from ris_core.evaluation.dataset import Dataset, DatasetItem, EvaluationImage, EvaluationSample
from ris_core.types import Image, Proposals
from ris_core.types.prompts import PromptEmbedding, Prompts
from tests.toy import GridProposer, toy_pixels, toy_segmenter

IMAGE = Image.from_array(toy_pixels())
CELLS = GridProposer().propose(IMAGE).masks
ODD = np.eye(40, 60, dtype=bool)
"""A thing that no proposal is like."""
OBJECTS = np.stack([*CELLS, ODD])
RED, GREEN, BLUE = range(3)


class Pointable(GridProposer):
    """Cells of a grid, also by clicks; what it makes of a mask is nothing, so that clicks add and take away cells."""

    embed_fp = "cells"

    def embed(self, image: Image) -> PromptEmbedding:
        return PromptEmbedding(image.sha256, image.size_hw, {}, self.embed_fp)

    def mask(self, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
        x, y = prompts.points_xy[-1].astype(int)
        found = CELLS[CELLS[:, y, x]] if prompts.mask is None else CELLS[:0]
        return Proposals.from_masks(found)


def run(text: str, *targets: int) -> AnnotatorsReport:
    case = EvaluationImage(
        IMAGE, OBJECTS, (EvaluationSample("1", text, targets, kind="noun"), EvaluationSample("2", "nothing", ()))
    )
    dataset = Dataset("toy", "test", (DatasetItem("scene", lambda: case),), digest="")
    return measure(replace(toy_segmenter(), proposer=Pointable()), dataset, scenes=5, top_k=3)


REPAINTED = REPAINT_ACTIONS
WAYS = {
    "right at once": (("the red square", RED), [(0, 0, 1), (0, 0, 1), (0, 0, 1), (0, 0, 1)]),
    "right next": (("the red or green square", GREEN), [(0, 0, REPAINTED), (1, 0, 2), (0, 2, 3), (1, 0, 2)]),
    "a part of it": (("the red square", RED, BLUE), [(0, 0, REPAINTED), (0, 0, REPAINTED), (0, 1, 2), (0, 1, 2)]),
    "never": (
        ("the red square", 4),
        [(0, 0, REPAINTED), (0, 0, REPAINTED), *[(0, MAX_CLICKS, MAX_CLICKS + REPAINTED)] * 2],
    ),
}


@pytest.mark.parametrize(("asked", "expected"), WAYS.values(), ids=WAYS)
def test_actions_are_counted_by_what_annotators_may_do(asked, expected):
    [outcome] = run(*asked).outcomes  # what means nothing has no mask to reach
    assert [(way.nexts, way.clicks, way.actions) for way in outcome.by.values()] == expected
    assert list(outcome.by) == list(FEATURES)


@pytest.mark.parametrize(("targets", "is_allowed"), [((RED,), True), ((RED, BLUE), True), ((4,), False)])
def test_what_the_proposals_allow_is_known(targets, is_allowed):
    [outcome] = run("the red square", *targets).outcomes
    assert outcome.is_allowed is is_allowed


def test_report_says_what_each_way_of_mending_saves():
    report = run("the red or green square", GREEN)
    assert "| next | 2.00 | 1.00 | 0.00 | 0.0% | 2.00 | 100.0% |" in report.to_markdown()
    assert "| noun | 1 | 10.00, 100% | 2.00, 0% | 3.00, 0% | 2.00, 0% |" in report.to_markdown()
    document = json.loads(report.to_json())
    assert (document["masks"], document["ways"]["next"]["actions"]) == (1, 2.0)
    assert document["kinds"] == {"noun": document["ways"]}
    assert [weight["smooth_px"] for weight in document["weights"]] == [None, 0.0, 1.0, 2.0]


def test_repainting_costs_more_than_accepting():
    assert RefinementLog(1, 2, False, 0.9).actions == 4
    assert RefinementLog(1, 2, True, 0.3).actions == 3 + REPAINT_ACTIONS


def test_a_profile_that_answers_no_clicks_is_refused():
    with pytest.raises(BadInput, match="'toy' answers no clicks"):
        measure(toy_segmenter(), Dataset("toy", "test", (), digest=""), scenes=1, top_k=3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["guided", "global_local"])
def test_masks_that_the_proposals_hold_are_reached_without_repainting_and_in_fewer_actions(method):
    """The demo's own models on the first scenes of the benchmark; of one method hardly any first answer is wrong."""
    segmenter = load_segmenter("demo", method=method)
    told = json.loads(measure(segmenter, read_scenes(), scenes=2, top_k=5).to_json())
    before, after = (told["ways_where_allowed"][name] for name in ("accept or repaint", "next and clicks"))
    assert after["repainted"] <= 0.05
    assert after["actions"] <= before["actions"]
    assert method == "guided" or after["actions"] < before["actions"]
