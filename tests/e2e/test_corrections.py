"""The simulated annotators of `ris bench annotators`, at the real Label Studio: ledger and report say what they did."""

import io
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image as Pil

from backend.corrections.queries import read_corrections
from backend.corrections.reconciler import reconcile
from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.tables import answer
from backend.label_studio import regions
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.label_config import read_config
from backend.report.data import read_report_data
from backend.report.page import render
from benchmarks.simulated_annotator import OfferedMask, RefinementLog, mend
from demo.benchmark import read_scenes
from demo.up import decode_mask
from ris_core.geometry.masks import from_rle
from tests.e2e.conftest import LABEL_CONFIGS, MakeProject

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TASKS, SCENES = 100, 10
CONFIG = (LABEL_CONFIGS / "prompt_click_box.xml").read_text(encoding="utf-8")
CONTROL = read_config(CONFIG).controls[0]


class AtLabelStudio:
    """An annotator's page of one task: what it sends, and what it is given.

    Attributes:
        handed_out: Ids of all regions that were offered.
        shown: Those that are offered now.
        selected: Ranks that the expression was answered with.
    """

    def __init__(
        self,
        client: LabelStudioClient,
        correction_store: CorrectionStore,
        backend: int,
        task: int,
        text: str,
        truth: np.ndarray,
    ) -> None:
        self._client, self._correction_store, self._backend, self._task = client, correction_store, backend, task
        self._truth, self._typed = truth, [text]
        self._prompt = {"id": uuid.uuid4().hex[:10], "from_name": "prompt", "to_name": "image", "type": "textarea"}
        self._click_ids: list[str] = []
        self.handed_out: list[str] = []
        self.shown: list[dict[str, Any]] = []
        self.selected: set[int] = set()

    def ask(self) -> OfferedMask:
        self._send([self._prompt_result()])
        candidates, self.selected = self._candidates()
        last = max(self.selected, default=0)
        return self._see([*candidates[last:], *candidates[:last]])

    def click(self, points_xy: np.ndarray, is_positive: np.ndarray) -> OfferedMask:
        if not self._click_ids:  # Label Studio saved one meanwhile
            draft = {"result": [self._prompt_result()], "lead_time": 1.0}
            self._client.request("POST", f"/api/tasks/{self._task}/drafts", draft)
        self._click_ids.append(uuid.uuid4().hex[:10])
        size = self._truth.shape[::-1]
        places = [
            dict(zip("xy", 100 * at / size, strict=True), width=0.3, keypointlabels=["Click"]) for at in points_xy
        ]
        about = {"from_name": "click", "to_name": "image", "type": "keypointlabels"}
        told = zip(self._click_ids, places, map(bool, is_positive), strict=True)
        self._send([{**about, "id": id, "value": place, "is_positive": adds} for id, place, adds in told])
        return self._see(self._candidates()[0][1:] if self.shown else [])

    def press_next(self) -> None:
        self._typed.append("next")
        self._send([self._prompt_result()])

    def submit(self, kept: Sequence[dict[str, Any]], lead_time: float) -> None:
        result = [self._prompt_result(), *kept]
        self._client.request(
            "POST", f"/api/tasks/{self._task}/annotations/", {"result": result, "lead_time": lead_time}
        )

    def repaint(self) -> dict[str, Any]:
        """The true mask: painted over what was offered last, else drawn by hand."""
        region = next(iter(self.handed_out[-1:]), "hand" + uuid.uuid4().hex[:6])
        return regions.make_region(self._truth, CONTROL, "Object", region, 1.0, self._typed[0])

    def _send(self, context: list[dict[str, Any]]) -> None:
        body = {"task": self._task, "context": {"result": context}}
        answered = self._client.request("POST", f"/api/ml/{self._backend}/interactive-annotating", body)
        assert "errors" not in answered, answered
        self.shown = [one for one in answered["data"]["result"] if one["from_name"] == CONTROL.name]
        self.handed_out += [region["id"] for region in self.shown]

    def _prompt_result(self) -> dict[str, Any]:
        return {**self._prompt, "value": {"text": list(self._typed)}, "origin": "manual"}

    def _candidates(self) -> tuple[list[np.ndarray], set[int]]:
        """Those of the newest answer, and the ranks that it handed out. What else was offered and stays is an answer after it."""
        newest = sa.select(answer.c.request_id).where(answer.c.task == str(self._task)).order_by(answer.c.id.desc())
        wanted = sa.select(answer.c.candidates, answer.c.selected).where(
            answer.c.request_id == newest.limit(1).scalar_subquery()
        )
        with self._correction_store.reading() as db:
            candidates, selected = db.execute(wanted.order_by(answer.c.id)).first() or ([], [])
        return [from_rle(one["mask"]) for one in candidates], {i + 1 for i in selected}

    def _see(self, others: Sequence[np.ndarray]) -> OfferedMask:
        nothing = np.zeros_like(self._truth)
        offered = np.logical_or.reduce([nothing, *map(decode_mask, self.shown)])
        return OfferedMask(offered, np.array([nothing, *others])[1:])


def finish(page: AtLabelStudio, done: RefinementLog, lead_time: float) -> Counter[str]:
    """Submit what the annotator came to; the outcomes that follow by what the words mean."""
    for _ in range(done.nexts):
        page.press_next()
    kept = [page.repaint()] if done.is_repainted else page.shown
    page.submit(kept, lead_time)
    offered = len(set(page.handed_out))
    if done.is_repainted:
        return Counter(edited=1, unanswered=offered - 1) if offered else Counter(missed=1)
    if not done.nexts:
        return Counter(accepted=len(kept), unanswered=offered - len(kept))
    rank = kept[0]["meta"]["ris"]["rank"]
    is_first = rank in page.selected if page.selected else done.nexts == 1
    return Counter(accepted=1, unanswered=offered - 1) if is_first else Counter(replaced=1, unanswered=offered - 1)


@pytest.fixture
def correction_store(state_dir: Path) -> Iterator[CorrectionStore]:
    opened = open_correction_store(f"sqlite:///{state_dir / 'ris.sqlite3'}")
    yield opened
    opened.close()


def test_a_hundred_tasks_of_simulated_annotators(
    make_project: MakeProject,
    upload: Callable[[str, bytes], str],
    client: LabelStudioClient,
    correction_store: CorrectionStore,
):
    asked: list[tuple[str, str, np.ndarray]] = []
    for item in read_scenes().items[:SCENES]:
        case, picture = item.load(), io.BytesIO()
        Pil.fromarray(case.image.pixels).save(picture, "PNG")
        address = upload(f"{item.image_id}.png", picture.getvalue())
        meant = [(sample.text, case.truth(sample)) for sample in case.samples]
        asked += [(address, text, truth) for text, truth in meant if truth.any()]
    assert len(asked) >= TASKS
    project = make_project(CONFIG, [{"image": address} for address, _, _ in asked[:TASKS]])
    [backend] = client.request("GET", f"/api/ml?project={project.id}")
    expected, mended = Counter[str](), []
    for number, (task, (_, text, truth)) in enumerate(zip(project.tasks, asked, strict=False)):
        page = AtLabelStudio(client, correction_store, backend["id"], task, text, truth)
        mended.append(mend(page, truth, {"next", "clicks"}))
        expected += finish(page, mended[-1], 1.0 + number % 7)
    assert all([sum(one.nexts for one in mended), sum(one.clicks for one in mended)])  # every way was gone
    correction_store.read_events()
    reconcile(client, correction_store, project.id)
    with correction_store.reading() as db:
        found = Counter(one.outcome.outcome for one in read_corrections(db, project.id))
    assert found == +expected
    told = read_report_data(correction_store, project.id)
    assert told.all.counts == found
    assert (len(told.times.with_proposals), len(told.times.without_proposals)) == (
        TASKS - found["missed"],
        found["missed"],
    )
    assert f"outcomes of {sum(found.values()):,} regions" in render(told, "Simulated annotators")
