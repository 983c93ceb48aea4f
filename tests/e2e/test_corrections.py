"""Simulated annotators on 100 tasks, through Label Studio's API: the ledger and the report say what they did."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from backend.corrections.ledger import Ledger, open_ledger
from backend.corrections.reading import read_corrections
from backend.corrections.reconciler import reconcile
from backend.label_studio import protocol, regions
from backend.label_studio.client import LabelStudio
from backend.report.findings import find
from backend.report.page import render
from demo.gallery import GALLERY
from demo.label_studio import ask
from demo.up import decode_mask, measure_overlap
from tests.e2e.conftest import RECOMMENDED, MakeProject

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TASKS = 100
GOOD = 0.85
"""IoU from which a simulated annotator takes a mask as it is."""


@pytest.fixture
def ledger(state_dir: Path) -> Iterator[Ledger]:
    opened = open_ledger(f"sqlite:///{state_dir / 'ris.sqlite3'}")
    yield opened
    opened.close()


def test_a_hundred_tasks_of_simulated_annotators(
    make_project: MakeProject, image_of: Callable, client: LabelStudio, ledger: Ledger
):
    addresses = {exhibit: image_of(exhibit) for exhibit in GALLERY}
    shown = [GALLERY[i % len(GALLERY)] for i in range(TASKS)]
    project = make_project(RECOMMENDED, [{"image": addresses[exhibit]} for exhibit in shown])
    [backend] = client.request("GET", f"/api/ml?project={project.id}")
    control = protocol.read_config(RECOMMENDED).controls[0]
    chance, expected = random.Random(7), Counter[str]()
    for number, (task, exhibit) in enumerate(zip(project.tasks, shown, strict=True)):
        [offered] = ask(client, backend["id"], task, exhibit.expression)
        result: list[dict[str, Any]] = []
        mood = chance.choice(("careful", "careful", "careful", "stubborn", "careless"))
        truth = exhibit.truth()
        if mood == "stubborn":  # takes nothing, draws it
            result = [regions.make_region(truth, control, "Object", f"hand{number}", 1.0, exhibit.expression)]
            offer_iou = measure_overlap(decode_mask(offered), truth)
            expected["accepted" if offer_iou >= 0.999 else "edited" if offer_iou >= 0.5 else "missed"] += 1
            expected["unanswered"] += offer_iou < 0.5
        elif mood == "careless":  # submits without an answer
            expected["unanswered"] += 1
        elif measure_overlap(decode_mask(offered), truth) >= GOOD:
            result = [offered]
            expected["accepted"] += 1
        else:
            better = cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
            result = [regions.make_region(better, control, "Object", offered["id"], 1.0, exhibit.expression)]
            expected["edited"] += 1
        client.request("POST", f"/api/tasks/{task}/annotations/", {"result": result, "lead_time": 1.0 + number % 7})
    ledger.read_events()
    reconcile(client, ledger, project.id)
    with ledger.reading() as db:
        found = Counter(one.outcome.outcome for one in read_corrections(db, project.id))
    assert found == +expected
    assert sum(found.values()) == TASKS
    told = find(ledger, project.id)
    assert told.all.counts == found
    assert (len(told.times.with_proposals), len(told.times.without_proposals)) == (TASKS, 0)
    assert f"what became of {TASKS} regions" in render(told, "Simulated annotators")
