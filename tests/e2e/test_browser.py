"""An annotator in a real browser: Auto-Annotation on, an expression, Enter, accept, submit."""

from pathlib import Path

import pytest

from backend.label_studio.client import LabelStudioClient
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY
from demo.up import Demo, decode_mask, measure_overlap
from tests.e2e.conftest import count_rows, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]


def test_typed_expression_becomes_a_submitted_mask(
    annotator: LabellingPage, demo: Demo, client: LabelStudioClient, state_dir: Path
):
    exhibit = GALLERY[0]
    task = demo.tasks[exhibit]
    annotator.open_task(demo.project, task)
    annotator.ask(exhibit.expression)
    annotator.take_picture("suggested")
    annotator.accept()
    annotator.take_picture("accepted")
    annotator.submit()
    annotator.take_picture("submitted")

    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    [region] = [result for result in annotation["result"] if result["type"] == "brushlabels"]
    truth = exhibit.truth()
    assert (region["original_height"], region["original_width"]) == truth.shape
    assert measure_overlap(decode_mask(region), truth) >= 0.8
    assert region["meta"]["text"] == [exhibit.expression]
    # What was submitted is known to be ours, and the webhook came through with its secret.
    assert count_rows(state_dir, "region WHERE id = ?", region["id"]) == 1
    wait_until(lambda: count_rows(state_dir, "webhook WHERE action = ?", "ANNOTATION_CREATED") > 0)
