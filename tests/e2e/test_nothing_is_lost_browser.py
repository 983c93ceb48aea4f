"""What an annotator does between an expression and the saved annotation: every mask stays what it was, and where it belongs."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from backend.base import processes
from backend.label_studio.client import LabelStudioClient
from benchmarks.labelling_page import LabellingPage
from demo.gallery import GALLERY, Exhibit
from demo.up import decode_mask, measure_overlap
from tests.e2e.conftest import RECOMMENDED, MakeProject, Project, count_rows, wait_until
from tests.e2e.gate import Gate

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]

FROG = GALLERY[0].expression


def is_about(region: dict[str, Any], truth: np.ndarray) -> bool:
    return measure_overlap(decode_mask(region), truth) >= 0.8


def saved_regions(client: LabelStudioClient, task: int) -> list[dict[str, Any]]:
    [annotation] = client.request("GET", f"/api/tasks/{task}/annotations/")
    return [result for result in annotation["result"] if result["type"] != "textarea"]


def test_repaint_survives_asking_the_same_again(annotator: LabellingPage, scenes: Project, client: LabelStudioClient):
    annotator.open_task(scenes.id, scenes.tasks[0], 0)
    annotator.ask(FROG)
    annotator.accept()
    [accepted] = annotator.regions
    annotator.select_region(0)
    annotator.paint([(0.05, 0.05), (0.15, 0.08), (0.3, 0.05)])
    [repainted] = annotator.regions
    assert decode_mask(repainted).sum() > decode_mask(accepted).sum()
    drafts = f"/api/tasks/{scenes.tasks[0]}/drafts"
    wait_until(
        lambda: any(one["value"].get("touches") for draft in client.request("GET", drafts) for one in draft["result"])
    )
    annotator.type(FROG)
    expect(annotator.message).to_contain_text("there already")
    annotator.ask(FROG)
    annotator.accept()
    annotator.submit()

    first, second = saved_regions(client, scenes.tasks[0])
    assert first["id"] == accepted["id"] != second["id"]
    np.testing.assert_array_equal(decode_mask(first), decode_mask(repainted))
    assert is_about(second, GALLERY[0].truth())


def test_late_answer_is_not_put_on_the_next_task(
    annotator: LabellingPage, scenes: Project, gate: Gate, state_dir: Path
):
    asked, shown = scenes.tasks[1], scenes.tasks[2]
    annotator.open_task(scenes.id, asked, 1)
    with gate.holding():
        annotator.type(GALLERY[1].expression)
        call = gate.wait_for(GALLERY[1].expression)
        annotator.switch_to(2, shown)
    annotator.await_answer()
    [late] = call.region_ids
    assert count_rows(state_dir, "region WHERE id = ?", late) == 1
    assert (annotator.task, annotator.suggested, annotator.results) == (shown, [], [])

    annotator.switch_to(1, asked)
    [prompt] = annotator.results
    assert prompt["value"]["text"] == [GALLERY[1].expression]
    annotator.ask(GALLERY[1].expression)
    annotator.accept()
    annotator.switch_to(2, shown)
    annotator.switch_to(1, asked)
    [drafted] = annotator.regions
    assert is_about(drafted, GALLERY[1].truth())


def test_answer_that_comes_after_another_annotation_was_begun_is_known_by_its_ids(
    annotator: LabellingPage, scenes: Project, gate: Gate
):
    annotator.open_task(scenes.id, scenes.tasks[3], 3)
    with gate.holding():
        annotator.type(GALLERY[3].expression)
        call = gate.wait_for(GALLERY[3].expression)
        annotator.add_annotation()
    annotator.await_suggestions()
    assert (annotator.suggested, annotator.results) == (call.region_ids, [])
    annotator.accept()
    [region] = annotator.regions
    assert is_about(region, GALLERY[3].truth())


def test_newest_expression_replaces_what_was_not_accepted_even_if_the_older_answer_is_later(
    annotator: LabellingPage, scenes: Project, gate: Gate
):
    annotator.open_task(scenes.id, scenes.tasks[4], 4)
    annotator.ask("the white crab")
    with gate.holding():
        annotator.type("the orange cat")
        older = gate.wait_for("the orange cat")
        annotator.type(GALLERY[4].expression)
        newest = gate.wait_for(GALLERY[4].expression)
        newest.released.set()
        annotator.await_suggestions()
        with annotator.page.expect_response(lambda answer: "interactive-annotating" in answer.url):
            older.released.set()
    assert annotator.suggested == newest.region_ids
    annotator.accept()
    [region] = annotator.regions
    assert is_about(region, GALLERY[4].truth())


def test_edited_expression_is_the_one_that_is_answered(annotator: LabellingPage, scenes: Project):
    annotator.open_task(scenes.id, scenes.tasks[5], 5)
    for expression in ("the purple fish", "the pink truck"):
        annotator.ask(expression)
    annotator.edit_prompt(0, GALLERY[5].expression)
    annotator.accept()
    prompt, region = annotator.results
    assert prompt["value"]["text"] == [GALLERY[5].expression, "the pink truck"]
    assert region["meta"]["text"] == [GALLERY[5].expression]
    assert is_about(region, GALLERY[5].truth())


def test_what_was_not_accepted_is_not_submitted_and_an_update_adds_to_what_was(
    annotator: LabellingPage, scenes: Project, client: LabelStudioClient, gate: Gate
):
    task = scenes.tasks[6]
    annotator.open_task(scenes.id, task, 6)
    annotator.ask("the gray penguin")
    annotator.submit()
    assert saved_regions(client, task) == []
    annotator.await_answer()
    assert gate.calls[-1].region_ids == annotator.suggested == []

    annotator.ask(GALLERY[6].expression)
    annotator.accept()
    annotator.update()
    [region] = saved_regions(client, task)
    assert is_about(region, GALLERY[6].truth())


def test_skipped_task_keeps_what_was_accepted_and_the_next_one_begins_empty(
    annotator: LabellingPage, make_project: MakeProject, image_of: Callable[[Exhibit], str], client: LabelStudioClient
):
    project = make_project(RECOMMENDED, [{"image": image_of(exhibit)} for exhibit in GALLERY[:2]])
    task = annotator.open_stream(project.id)
    annotator.ask(FROG)
    annotator.accept()
    annotator.ask("the pink frog")
    annotator.skip()
    annotator.await_answer()
    assert (annotator.task != task, annotator.suggested, annotator.results) == (True, [], [])
    [skipped] = client.request("GET", f"/api/tasks/{task}/")["annotations"]
    assert skipped["was_cancelled"]
    [region] = [result for result in skipped["result"] if result["type"] != "textarea"]
    assert is_about(region, GALLERY[0].truth())


def test_undo_and_redo_take_back_and_bring_back_the_mask(annotator: LabellingPage, scenes: Project):
    annotator.open_task(scenes.id, scenes.tasks[7], 7)
    annotator.ask(GALLERY[7].expression)
    annotator.accept()
    [accepted] = annotator.regions
    annotator.undo()
    assert annotator.regions == []
    annotator.redo()
    assert annotator.regions == [accepted]
    assert annotator.suggested == []


def test_two_tabs_of_one_task_each_get_their_own_answer(annotator: LabellingPage, scenes: Project, state_dir: Path):
    task = scenes.tasks[8]
    pages = (annotator, annotator.open_tab())
    ask_at_once(pages, (GALLERY[8].expression, "the black tomato"), scenes.id, task, state_dir)
    pages[1].page.close()


def test_two_annotators_of_one_task_each_get_their_own_answer(
    annotator: LabellingPage, colleague: LabellingPage, scenes: Project, client: LabelStudioClient, state_dir: Path
):
    task = scenes.tasks[9]
    ask_at_once((annotator, colleague), (GALLERY[9].expression, "the yellow cat"), scenes.id, task, state_dir)
    annotator.submit()
    colleague.submit()
    annotations = client.request("GET", f"/api/tasks/{task}/annotations/")
    asked = {
        tuple(result["value"]["text"]) for one in annotations for result in one["result"] if "text" in result["value"]
    }
    assert asked == {(GALLERY[9].expression,), ("the yellow cat",)}
    assert len({annotation["completed_by"] for annotation in annotations}) == 2


def ask_at_once(
    pages: Sequence[LabellingPage], expressions: Sequence[str], project: int, task: int, state_dir: Path
) -> None:
    """Each page asks before any is answered, and accepts what it gets."""
    for page in pages:
        page.open_task(project, task)
    with worker_paused(state_dir):
        for page, expression in zip(pages, expressions, strict=True):
            page.type(expression)
        wait_until(
            lambda: count_rows(state_dir, "request WHERE kind = 'interactive' AND task = ?", str(task)) == len(pages)
        )
    for page, expression in zip(pages, expressions, strict=True):
        page.await_suggestions()
        page.accept()
        [region] = page.regions
        assert region["meta"]["text"] == [expression]


@contextmanager
def worker_paused(state_dir: Path) -> Iterator[None]:
    """What is asked meanwhile waits in the queue."""
    worker = processes.find_supervised(processes.find("worker", state_dir), state_dir)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)
