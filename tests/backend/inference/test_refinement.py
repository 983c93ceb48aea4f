"""A wrong mask, mended: from Label Studio's requests to what is handed out, on a real store and Redis, with toy models.

The picture is red, green / blue, yellow; a click means the quarter that it is in.
"""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from label_studio_sdk.converter.brush import decode_rle, mask2rle

from backend.db import tables
from backend.db.project_store import ProjectConnection
from backend.inference import expressions, refinement_state
from backend.inference.feature_cache import FeatureCache
from backend.inference.refinement_state import LIFETIME_S, CandidateChoice, RefinementStates, read_choice
from backend.inference.service import InferenceService
from backend.interactive.predict import PredictService
from backend.label_studio import messages, protocol
from backend.label_studio.images import ImageFetcher
from backend.label_studio.label_config import MESSAGE_NAME
from backend.transport import queueing, redis_client, worker_registry
from backend.transport.worker_registry import WorkerInfo
from backend.worker import jobs, wiring
from ris_core.geometry import masks
from ris_core.methods.global_local import GlobalLocalMethod as GlobalLocal
from ris_core.types import Image, Proposals
from ris_core.types.prompts import PromptEmbedding, Prompts
from tests.toy import GridProposer, toy_png, toy_segmenter

CONFIG = (Path(__file__).parents[3] / "label_config" / "prompt_click_box.xml").read_text()
POLYGONS = CONFIG.replace("BrushLabels", "PolygonLabels")
USER, OTHER_USER = 3, 4
SIZE_HW = (40, 60)
MIDDLES = {"red": (25.0, 25.0), "green": (75.0, 25.0), "blue": (25.0, 75.0), "yellow": (75.0, 75.0)}
"""Of the quarters, in percent."""


class Pointable(GridProposer):
    """Cells of a grid, also by clicks and boxes; counts how often it looks at a picture."""

    embed_fp = "cells"
    looks = 0

    def propose(self, image: Image) -> Proposals:
        self.looks += 1
        return super().propose(image)

    def embed(self, image: Image) -> PromptEmbedding:
        return PromptEmbedding(image.sha256, image.size_hw, {}, self.embed_fp)

    def mask(self, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
        height, width = embedding.size_hw
        cells = super().propose(Image.from_array(np.zeros((height, width, 3), np.uint8))).masks
        found = np.zeros((height, width), bool) if prompts.mask is None else prompts.mask.copy()
        if prompts.box_xyxy is not None:
            x, y = prompts.box_xyxy.reshape(2, 2).mean(0)
            found = cells[cells[:, int(y), int(x)]][0].copy()
        for (x, y), is_positive in zip(prompts.points_xy, prompts.is_positive, strict=True):
            found[cells[cells[:, int(y), int(x)]][0]] = is_positive
        return Proposals.from_masks(found[None][found.any(keepdims=True)[0]])


@pytest.fixture
def bench(store, redis_url, tmp_path, monkeypatch):
    """A desk, and a service that works on what it queues."""
    proposer = Pointable()
    segmenter = replace(toy_segmenter(), proposer=proposer)
    service = InferenceService(store, FeatureCache(tmp_path, 1 << 24), ImageFetcher(), segmenter, 1_000_000, top_k=3)
    monkeypatch.setattr(wiring, "service", lambda: service)
    predict_service = PredictService(store, redis_client.connect(redis_url), "toy", deadline_s=60, max_queued=9)
    worker_registry.report_worker(
        predict_service.conn, WorkerInfo("w", "here", 1, 1.0, "toy", "cpu", "toy.v1", "ready")
    )
    return SimpleNamespace(
        predict_service=predict_service, service=service, store=store, proposer=proposer, draft=None, config=CONFIG
    )


def work(bench) -> None:
    """Do the next job, if one waits."""
    if taken := queueing.take(bench.predict_service.conn, "w", 0.01):
        queue, job_id = taken
        job = queueing._queue(bench.predict_service.conn, queue).fetch_job(job_id)
        jobs.ALLOWED[job.func_name](*job.args)
        queueing.announce(bench.predict_service.conn, job_id)
        queueing.drop_taken(bench.predict_service.conn, "w", queue, job_id)


def send(bench, *results, task=5) -> dict:
    """What Label Studio gets when these results are in the context; the bench's draft goes along."""
    data = {"image": "data:image/png;base64," + base64.b64encode(toy_png(*SIZE_HW)).decode()}
    body = {
        "tasks": [{"id": task, "project": 7, "data": data, "drafts": [bench.draft] if bench.draft else []}],
        "label_config": bench.config,
        "params": {"context": {"result": list(results)}},
    }
    call = protocol.read_predict(protocol.parse_json(json.dumps(body)))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.predict_service.predict, call)
        while not waiting.done():
            work(bench)
    return waiting.result().results[0]


def open_task(bench, **data) -> dict:
    """What Label Studio gets when a task with this picture is opened."""
    picture = "data:image/png;base64," + base64.b64encode(toy_png(*SIZE_HW)).decode()
    body = {
        "tasks": [{"id": 9, "project": 7, "data": {"image": picture, **data}}],
        "label_config": bench.config,
        "params": {},
    }
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.predict_service.predict, protocol.read_predict(body))
        while not waiting.done():
            work(bench)
    return waiting.result().results[0]


def type_(bench, *texts, prompt_id="p", **more) -> dict:
    """Type the last of these, after the others."""
    kind = {"type": "textarea", "from_name": "prompt", "to_name": "image"}
    return send(bench, {"id": prompt_id, "value": {"text": list(texts)}, **kind}, **more)


def click(where, is_positive=True, id="c") -> dict:
    x, y = MIDDLES[where]
    value = {"x": x, "y": y, "keypointlabels": ["Click"]}
    kind = {"type": "keypointlabels", "from_name": "click", "to_name": "image"}
    return {"id": id, "is_positive": is_positive, "value": value, **kind}


def box(x, y, width, height) -> dict:
    """Sides in percent."""
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["Box"]}
    return {"id": "b", "type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": value}


def save_draft(bench, *results, user=USER, saved_at="2026-01-01T00:00:05Z", prompts=("p",)) -> None:
    """Label Studio saves the prompt and these regions."""
    typed = [{"id": id, "type": "textarea", "from_name": "prompt", "value": {"text": ["…"]}} for id in prompts]
    bench.draft = {"user": user, "updated_at": saved_at, "result": [*typed, *results]}


def regions(answer) -> list[dict]:
    return [result for result in answer["result"] if result["type"] != "textarea"]


def told(answer) -> str:
    return "".join(
        text for result in answer["result"] if result["from_name"] == MESSAGE_NAME for text in result["value"]["text"]
    )


def entries(answer) -> list[str] | None:
    """What the entries of the prompt become; None if they are left alone."""
    return next((result["value"]["text"] for result in answer["result"] if result["from_name"] == "prompt"), None)


def shown(answer) -> set[str]:
    """The quarters that the answer's regions show at least a fifth of."""
    colours = set()
    for region in regions(answer):
        alpha = decode_rle(region["value"]["rle"]).reshape(*SIZE_HW, 4)[..., 3] > 127
        for name, (x, y) in MIDDLES.items():
            rows, columns = slice(20 * (y > 50), 20 * (y > 50) + 20), slice(30 * (x > 50), 30 * (x > 50) + 30)
            colours |= {name} if alpha[rows, columns].mean() > 0.2 else set()
    return colours


def rows(store, table) -> list[dict]:
    with store.engine.connect() as db:
        return [dict(row) for row in db.execute(sa.select(table)).mappings()]


# Other candidates

CHOICES = {
    "#2": CandidateChoice("", 2),
    "next": CandidateChoice("", None),
    " Other. ": CandidateChoice("", None),
    "the red apple #3": CandidateChoice("the red apple", 3),
    "the red apple, next": CandidateChoice("the red apple", None),
    "the dog#2": CandidateChoice("the dog", 2),
    "the other": CandidateChoice("the", None),
    "back": CandidateChoice("", None, step=-1),
    "Previous.": CandidateChoice("", None, step=-1),
    "also next": CandidateChoice("", None, is_added=True),
    "and #2": CandidateChoice("", 2, is_added=True),
    "+ #2": CandidateChoice("", 2, is_added=True),
    "the back": None,
    "the dog and the cat": None,
    "another": None,
    "the next one": None,
    "#": None,
    "#1234": None,
    "the red apple": None,
}


@pytest.mark.parametrize(("text", "choice"), CHOICES.items(), ids=CHOICES)
def test_words_that_ask_for_another_candidate_are_known(text, choice):
    assert read_choice(text) == choice


@pytest.mark.parametrize(
    "words", ["#2", "next", "other", "the red or green square #2", "the red or green square, next"]
)
def test_another_candidate_comes_without_inference_in_the_place_of_what_was_shown(bench, monkeypatch, words):
    first = type_(bench, "the red or green square")
    monkeypatch.setattr(bench.service.segmenter.encoder, "encode_texts", None)
    monkeypatch.setattr(type(bench.service.cache), "get", None)
    second = type_(bench, "the red or green square", words)
    assert (shown(first), shown(second)) == ({"red"}, {"green"})
    assert regions(first)[0]["id"] == regions(second)[0]["id"]
    assert regions(second)[0]["meta"]["text"] == ["the red or green square"]
    assert entries(second) == ["the red or green square"]
    assert told(second) == "Candidate 2 of 3. “next” shows the next."


class Calibrated(GlobalLocal):
    """Its scores are probabilities, as of a method with a calibrator."""

    def score(self, *given):
        scores = super().score(*given)
        values = np.array([0.9, 0.031, 0.002, 0.001])
        return replace(
            scores, values=values, parts={**scores.parts, "probability": values}, decision="match", selected=(0,)
        )


@pytest.fixture
def calibrated(bench, monkeypatch):
    segmenter = replace(bench.service.segmenter, method=Calibrated(visual_mix=0.5, text_mix=0.5))
    monkeypatch.setattr(wiring, "service", lambda: replace(bench.service, segmenter=segmenter))
    return bench


def test_a_candidate_says_how_little_it_fits_where_scores_are_probabilities(calibrated):
    type_(calibrated, "the red square")
    second = type_(calibrated, "the red square", "#2")
    assert told(second) == "Candidate 2 of 3, fits with 3 %. “next” shows the next."
    third = type_(calibrated, "the red square", "#2", "#3")
    assert told(third).startswith("Candidate 3 of 3, fits with less than 1 %.")


def test_what_was_clicked_on_has_no_probability(calibrated):
    """Its scores are the proposer's own."""
    first = type_(calibrated, "the red square")
    save_draft(calibrated, *regions(first))
    send(calibrated, click("green"))
    assert "%" not in told(type_(calibrated, "the red square", "#1"))


@pytest.mark.parametrize(("labels", "is_told"), [(("Thing", "Dog"), True), (("Thing",), False)])
def test_a_label_that_is_gone_makes_the_next_candidate_s_a_guess(bench, labels, is_told):
    type_(bench, "the red square")
    now = "".join(f'<Label value="{label}"/>' for label in labels)
    bench.config = CONFIG.replace('<Label value="Object" background="#A100FF"/>', now)
    answer = type_(bench, "the red square", "#2")
    [region] = regions(answer)
    assert region["value"]["brushlabels"] == ["Thing"]
    assert ("Label guessed: Thing; write “Dog: …” to choose." in told(answer)) == is_told
    assert region["meta"]["ris"].get("label_is_guess", False) == is_told


@pytest.mark.parametrize(("text", "advised"), [("the tree", "Plant"), ("the dog", "Animal"), ("the bus", "Vehicle")])
def test_a_guess_advises_the_label_that_the_words_fit(bench, text, advised):
    labels = "".join(f'<Label value="{label}"/>' for label in ("Sign", "Animal", "Vehicle", "Plant"))
    bench.config = CONFIG.replace('<Label value="Object" background="#A100FF"/>', labels)
    assert f"Label guessed: Sign; write “{advised}: …” to choose." in told(type_(bench, text))


@pytest.mark.parametrize(("read_back", "is_told"), [("always", True), ("unsure", False), ("never", False)])
def test_how_it_was_read_is_told_as_the_project_wants(bench, monkeypatch, read_back, is_told):
    monkeypatch.setattr(expressions, "read_as", lambda _: "red square")  # the toy's parser reads no structure
    connection = ProjectConnection(7, None, None, bench.config, {"read_back": read_back})
    bench.store.projects.save_connection(connection)
    assert ("Read as: red square." in told(type_(bench, "the red square"))) == is_told


def test_a_standing_prompt_is_asked_of_what_is_opened_and_gives_way_to_the_tasks_own(bench):
    connection = ProjectConnection(7, None, None, bench.config, {"standing": "the red square; the blue square"})
    bench.store.projects.save_connection(connection)
    type_(bench, "the green square")  # encodes the picture
    opened = open_task(bench)
    assert (shown(opened), entries(opened)) == ({"red", "blue"}, ["the red square; the blue square"])
    own = open_task(bench, expression="the yellow square")
    assert (shown(own), entries(own)) == ({"yellow"}, ["the yellow square"])
    [prompt] = [result for result in own["result"] if result["type"] == "textarea"]
    after = type_(bench, "the yellow square", "next", prompt_id=prompt["id"], task=9)
    assert told(after).startswith("Candidate 2 of 3")
    assert regions(after)[0]["id"] == regions(own)[0]["id"]


def test_candidates_are_gone_through_and_begin_again(bench):
    typed = ["the red square"]
    seen = [shown(type_(bench, *typed))]
    for _ in range(3):
        typed.append("next")
        answer = type_(bench, *typed)
        seen.append(shown(answer))
    assert seen[0] == seen[3] == {"red"}
    assert len({frozenset(one) for one in seen}) == 3
    assert told(answer) == "Candidate 1 of 3. “next” shows the next."


def test_a_number_beyond_the_last_shows_the_last(bench):
    type_(bench, "the red square")
    assert told(type_(bench, "the red square", "#9")) == "Candidate 3 of 3. It is the last; “next” begins again."


def test_an_expression_that_ends_in_other_is_one_unless_the_rest_was_asked(bench):
    type_(bench, "the red square")
    assert regions(type_(bench, "the red square", "the blue other"))[0]["meta"]["text"] == ["the blue other"]


def test_a_rank_of_an_expression_that_is_new_is_looked_up(bench):
    answer = type_(bench, "the red or green square #2")
    assert (shown(answer), regions(answer)[0]["meta"]["text"]) == ({"green"}, ["the red or green square"])


def test_an_earlier_expression_is_found_again(bench):
    earlier, later = "the red or green square", "the blue square"
    type_(bench, earlier)
    type_(bench, earlier, later)
    assert shown(type_(bench, earlier, later, f"{earlier} #2")) == {"green"}


@pytest.mark.parametrize("words", ["next", "#2"])
def test_nothing_comes_next_where_nothing_was_asked(bench, words):
    assert told(type_(bench, words)) == "Nothing was asked here before. Type what you mean first."
    type_(bench, "the red square", prompt_id="somebody else's")
    assert regions(type_(bench, words)) == []


def test_another_candidate_is_recorded_with_all_of_them(bench):
    type_(bench, "the red or green square")
    answer = type_(bench, "the red or green square", "#2")
    kept = rows(bench.store, tables.region)[-1]
    record = rows(bench.store, tables.answer)[-1]
    assert (kept["id"], kept["candidate_rank"], kept["answer_id"]) == (regions(answer)[0]["id"], 2, record["id"])
    assert (record["expression"], record["selected"], len(record["candidates"])) == ("the red or green square", [1], 3)


# Clicks and boxes about an expression

GESTURES = {
    "a click outside adds": ([click("green")], {"red", "green"}),
    "clicks add up": ([click("green"), click("blue")], {"red", "green", "blue"}),
    "a negative click takes away": ([click("green"), click("red", is_positive=False)], {"green"}),
    "a box around it frames it": ([box(2, 2, 46, 46)], {"red"}),
}


@pytest.mark.parametrize(("drawn", "expected"), GESTURES.values(), ids=GESTURES)
def test_gesture_mends_the_mask_of_the_last_expression(bench, drawn, expected):
    type_(bench, "the red square")
    save_draft(bench)
    for n in range(1, len(drawn) + 1):  # one after the other, as they are drawn
        answer = send(bench, *drawn[:n])
    assert shown(answer) == expected
    [region] = regions(answer)
    by = "box" if drawn[0]["id"] == "b" else "click"
    assert region["meta"] == {"text": ["the red square"], "ris": {"by": by, "task": "5"}}
    assert rows(bench.store, tables.region)[-1]["id"] == region["id"]


def test_box_around_something_else_is_looked_into_and_not_given_words_that_do_not_fit(bench):
    type_(bench, "the red square")
    save_draft(bench)
    answer = send(bench, box(54, 2, 44, 40))
    found, again = regions(answer)
    assert shown({"result": [found]}) == {"green"}
    assert found["meta"] == {"ris": {"by": "box", "task": "5"}}
    assert (shown({"result": [again]}), again["meta"]["text"]) == ({"red"}, ["the red square"])
    assert messages.TEXTS["not_words"].format(about="“the red square”") in told(answer)


def test_box_around_what_the_words_say_is_told_to_be_searched(bench):
    type_(bench, "the green square #2")  # not the green one
    save_draft(bench)
    answer = send(bench, box(54, 2, 44, 40))
    assert (shown(answer), regions(answer)[0]["meta"]["text"]) == ({"green"}, ["the green square"])
    assert messages.TEXTS["inside"].format(about="“the green square”") in told(answer)


def test_click_looks_at_no_picture_and_a_box_elsewhere_at_one_crop(bench):
    type_(bench, "the red square")
    save_draft(bench)
    assert bench.proposer.looks == 1
    send(bench, click("blue"))
    assert bench.proposer.looks == 1
    send(bench, box(52, 2, 46, 47))
    assert bench.proposer.looks == 2


def test_what_a_click_can_mean_else_comes_next(bench):
    type_(bench, "the red square")
    save_draft(bench)
    added = send(bench, click("green"))
    assert told(added) == messages.TEXTS["others"]
    alone = type_(bench, "the red square", "next")
    assert (shown(added), shown(alone)) == ({"red", "green"}, {"green"})


def test_a_mask_that_is_taken_away_whole_is_found_by_the_next_click(bench):
    type_(bench, "the red square")
    save_draft(bench)
    nothing = send(bench, click("red", is_positive=False))
    assert (regions(nothing), told(nothing)) == ([], messages.TEXTS["emptied"])
    assert shown(send(bench, click("red", is_positive=False), click("blue"))) == {"blue"}


def test_next_gesture_goes_on_from_what_the_last_one_made(bench):
    type_(bench, "the red square")
    save_draft(bench)
    send(bench, click("green", id="one"))
    assert shown(send(bench, click("blue", id="two"))) == {"red", "green", "blue"}


STRANGERS = {
    "somebody else's draft": {"user": OTHER_USER, "prompts": ("q",)},
    "a draft that was saved since, without the prompt": {"saved_at": "2026-01-01T00:00:09Z", "prompts": ()},
}


@pytest.mark.parametrize("draft", STRANGERS.values(), ids=STRANGERS)
def test_gesture_of_somebody_who_cannot_be_told_apart_is_about_itself(bench, draft):
    type_(bench, "the red square")
    if draft:
        save_draft(bench, **draft)
    answer = send(bench, click("green"))
    assert (shown(answer), regions(answer)[0]["meta"]) == ({"green"}, {"ris": {"by": "click", "task": "5"}})


def test_click_before_any_draft_corrects_what_was_offered_a_moment_ago_and_says_so(bench):
    [offered] = regions(type_(bench, "the red square"))
    answer = send(bench, click("green"))
    assert (shown(answer), regions(answer)[0]["meta"]["text"]) == ({"red", "green"}, ["the red square"])
    assert regions(answer)[0]["id"] == offered["id"]  # it may have been accepted since
    assert told(answer) == "Corrects the mask of “the red square”. Not it? “next” shows what else that can mean."


def test_click_before_any_draft_is_about_itself_once_drafts_are_late(bench, monkeypatch):
    type_(bench, "the red square")
    monkeypatch.setattr(refinement_state, "DRAFT_LAG_S", -1.0)
    assert shown(send(bench, click("green"))) == {"green"}


def test_click_of_one_of_two_without_drafts_is_about_itself_and_that_is_told(bench):
    for prompt_id in ("p", "q"):
        type_(bench, "the red square", prompt_id=prompt_id)
    answer = send(bench, click("green"))
    assert shown(answer) == {"green"}
    assert messages.TEXTS["alone"] in told(answer)


def test_expression_is_known_by_the_draft_that_was_not_saved_since(bench):
    save_draft(bench, prompts=())
    type_(bench, "the red square")
    assert shown(send(bench, click("green"))) == {"red", "green"}


def test_two_annotators_mend_their_own(bench):
    for user, prompt_id, words in ((USER, "p", "the red square"), (OTHER_USER, "q", "the blue square")):
        save_draft(bench, user=user, prompts=(prompt_id,))
        type_(bench, words, prompt_id=prompt_id)
    for user, prompt_id, expected in ((USER, "p", "red"), (OTHER_USER, "q", "blue")):
        save_draft(bench, user=user, prompts=(prompt_id,))
        assert shown(send(bench, click("green", id=prompt_id))) == {expected, "green"}


def test_what_was_offered_survives_a_restart_and_grows_old(bench, monkeypatch):
    type_(bench, "the red square")
    save_draft(bench)
    assert RefinementStates(bench.store).get(7, "5", "p").offer.answer.expression == "the red square"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME_S + 1)
    assert RefinementStates(bench.store).get(7, "5", "p") is None
    assert shown(send(bench, click("green"))) == {"green"}
    type_(bench, "the blue square", task=6, prompt_id="r")
    RefinementStates(bench.store).forget_old()
    assert [row["task"] for row in rows(bench.store, tables.standing)] == ["6"]


# Masks that were accepted


def accepted(region, **change) -> dict:
    """A region as a draft has it once it was accepted."""
    return {**region, "origin": "manual", "value": {**region["value"], **change}}


def repainted() -> list[int]:
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[:20, :31] = 255
    return mask2rle(mask)


DONE = {
    "as it was handed out": ({}, True),
    "written anew": ({"rle": "anew"}, True),
    "painted on": ({"touches": [{"type": "add"}]}, False),
    "painted on and submitted": ({"rle": "repainted"}, False),
    "given another label": ({"brushlabels": ["Other"]}, False),
    "unreadable": ({"rle": [1, 2]}, False),
}


@pytest.mark.parametrize(("change", "is_replaced"), DONE.values(), ids=DONE)
def test_accepted_mask_is_replaced_only_if_it_is_as_it_was_handed_out(bench, change, is_replaced):
    [region] = regions(type_(bench, "the red square"))
    encodings = {"anew": region["value"]["rle"], "repainted": repainted()}
    given = {name: encodings[value] if isinstance(value, str) else value for name, value in change.items()}
    save_draft(bench, accepted(region, **given))
    answer = send(bench, click("green"))
    assert shown(answer) == {"red", "green"}
    assert (regions(answer)[0]["id"] == region["id"]) is is_replaced
    assert told(answer) == messages.TEXTS["replaces" if is_replaced else "others"]


@pytest.mark.parametrize(("moved_by", "is_replaced"), [(0.0, True), (1e-6, True), (2.0, False)])
def test_accepted_polygon_is_replaced_unless_a_corner_was_moved(bench, moved_by, is_replaced):
    bench.config = POLYGONS
    [region] = regions(type_(bench, "the red square"))
    points = [[x + moved_by, y] for x, y in region["value"]["points"]]
    save_draft(bench, accepted(region, points=points))
    [mended] = regions(send(bench, click("green")))
    assert (mended["id"] == region["id"]) is is_replaced


AGAIN = ("the red square", "The  red square")


@pytest.mark.parametrize("change", [{}, {"touches": [{"type": "add"}]}], ids=["as it was", "painted on"])
def test_the_same_words_are_told_to_be_there_and_come_when_they_are_asked_once_more(bench, change):
    [region] = regions(type_(bench, "the red square"))
    save_draft(bench, accepted(region, **change))
    again = type_(bench, *AGAIN)
    assert (regions(again), entries(again)) == ([], ["the red square"])
    assert told(again) == messages.TEXTS["repeated"].format(about="“The red square”")
    [copy] = regions(type_(bench, *AGAIN))
    assert copy["id"] != region["id"]
    assert regions(type_(bench, *AGAIN)) == []  # and so on


def test_the_same_words_a_moment_later_take_the_same_place(bench):
    """Whether it was accepted is not saved yet; under its own id it is there once, in any case."""
    [region] = regions(type_(bench, "the red square"))
    [again] = regions(type_(bench, "the red square", "the red square"))
    assert again["id"] == region["id"]


def test_the_same_words_come_again_if_their_mask_was_not_accepted(bench, monkeypatch):
    [region] = regions(type_(bench, "the red square"))
    monkeypatch.setattr(refinement_state, "DRAFT_LAG_S", -1.0)
    save_draft(bench)
    [again] = regions(type_(bench, "the red square", "the red square"))
    assert again["id"] != region["id"]


def test_what_is_there_is_not_asked_of_other_masks_of_the_same_words(bench):
    """Another candidate, and what clicks made of it, are not what the words alone give."""
    type_(bench, "the red or green square")
    [second] = regions(type_(bench, "the red or green square", "#2"))
    save_draft(bench, accepted(second))
    assert shown(type_(bench, "the red or green square", "the red or green square")) == {"red"}


@pytest.mark.parametrize(("change", "is_replaced"), DONE.values(), ids=DONE)
def test_another_candidate_replaces_an_accepted_mask_unless_it_was_changed(bench, change, is_replaced):
    [region] = regions(type_(bench, "the red or green square"))
    encodings = {"anew": region["value"]["rle"], "repainted": repainted()}
    given = {name: encodings[value] if isinstance(value, str) else value for name, value in change.items()}
    save_draft(bench, accepted(region, **given))
    answer = type_(bench, "the red or green square", "next")
    assert (regions(answer)[0]["id"] == region["id"]) is is_replaced
    assert ("takes the place" in told(answer)) is is_replaced


def test_another_candidate_stands_beside_the_first_if_that_is_asked(bench):
    [region] = regions(type_(bench, "the red or green square"))
    save_draft(bench, accepted(region))
    assert regions(type_(bench, "the red or green square", "also next"))[0]["id"] != region["id"]


def test_back_undoes_next(bench):
    first = type_(bench, "the red or green square")
    second = type_(bench, "the red or green square", "next")
    third = type_(bench, "the red or green square", "next")
    assert [shown(type_(bench, "the red or green square", "back")) for _ in range(2)] == [shown(second), shown(first)]
    assert shown(type_(bench, "the red or green square", "previous")) == shown(third)  # round to the last


@pytest.mark.parametrize("words", ["help", "ok", "undo"])
def test_commands_are_answered_at_once_and_leave_the_entries(bench, words):
    [region] = regions(type_(bench, "the red square"))
    save_draft(bench, accepted(region))
    asked = len(rows(bench.store, tables.request))
    answer = type_(bench, "the red square", words)
    assert (regions(answer), entries(answer)) == ([], ["the red square"])
    assert told(answer) in messages.TEXTS.values()
    assert len(rows(bench.store, tables.request)) == asked
    assert told(type_(bench, "the red square", "next")).startswith("Candidate 2")


@pytest.mark.parametrize("words", ["!!!", "; ".join(f"thing {i}" for i in range(17))])
def test_text_that_cannot_be_answered_leaves_the_entries(bench, words):
    type_(bench, "the red square")
    answer = type_(bench, "the red square", words)
    assert (regions(answer), entries(answer)) == ([], ["the red square"])


def test_text_stays_if_it_is_not_at_fault(bench):
    """So that it can be asked again."""
    bench.predict_service.conn.flushdb()
    answer = type_(bench, "the red square")
    assert (told(answer), entries(answer)) == (messages.TEXTS["no_worker"], None)


def test_entries_are_left_alone_where_the_prompt_belongs_to_the_image(bench):
    """Label Studio would show them as one more suggestion."""
    bench.config = bench.config.replace('name="prompt" toName="ris_message_for"', 'name="prompt" toName="image"')
    type_(bench, "the red square")
    assert entries(type_(bench, "the red square", "#2")) is None


def test_mended_mask_keeps_its_id_over_several_clicks_and_is_recorded_last(bench):
    [region] = regions(type_(bench, "the red square"))
    save_draft(bench, accepted(region))
    first = send(bench, click("green"))
    second = send(bench, click("green"), click("blue"))
    assert {one["id"] for answer in (first, second) for one in regions(answer)} == {region["id"]}
    [kept] = [row for row in rows(bench.store, tables.region) if row["id"] == region["id"]]
    record = next(row for row in rows(bench.store, tables.answer) if row["id"] == kept["answer_id"])
    assert masks.from_rle(record["candidates"][kept["candidate_rank"] - 1]["mask"]).mean() == pytest.approx(0.75)


def test_what_was_offered_besides_is_offered_again_unless_it_was_accepted(bench, monkeypatch):
    score = bench.service.segmenter.method.score
    several = lambda *given: replace(score(*given), decision="match", selected=(0, 1))  # noqa: E731
    monkeypatch.setattr(type(bench.service.segmenter.method), "score", lambda self, *given: several(*given))
    red, green = regions(type_(bench, "the red or green square"))
    save_draft(bench)
    both = send(bench, click("blue", id="one"))
    assert (shown(both), len(regions(both))) == ({"red", "green", "blue"}, 2)
    assert len({red["id"], green["id"]} & {one["id"] for one in regions(both)}) == 1  # what was corrected
    assert len(rows(bench.store, tables.region)) == 3
    save_draft(bench, accepted(regions(both)[1]))
    assert len(regions(send(bench, click("red", is_positive=False, id="two")))) == 1


NOTHING = {
    "only what does not belong to it": [click("red", is_positive=False)],
    "a smart brush": [{"type": "brushlabels"}],
}


@pytest.mark.parametrize("drawn", NOTHING.values(), ids=NOTHING)
def test_what_points_nowhere_is_told_where_nothing_stands(bench, drawn):
    assert told(send(bench, *drawn)) == messages.TEXTS["click"]
