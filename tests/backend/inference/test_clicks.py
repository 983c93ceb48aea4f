"""Clicks and boxes, from Label Studio's request to the region that is handed out: on a real store and Redis, with the demo's SAM."""

import base64
import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import sqlalchemy as sa
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface

from backend.db import tables
from backend.inference import refinement_state
from backend.inference.feature_cache import FeatureCache
from backend.inference.service import InferenceService
from backend.interactive.predict import PredictService
from backend.label_studio import messages, protocol
from backend.label_studio.images import ImageFetcher
from backend.label_studio.label_config import MESSAGE_NAME
from backend.transport import queueing, redis_client, worker_registry
from backend.transport.worker_registry import WorkerInfo
from backend.worker import jobs, wiring
from demo.scenes import make_scene
from ris_core.geometry import masks
from ris_core.profiles import read_profile
from ris_core.proposers._tiny_sam import TinyImageEncoder
from ris_core.proposers.sam import SamProposer
from ris_core.runtime.weights import WeightStore as Weights
from ris_core.types import Proposals
from tests.toy import toy_segmenter

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TRAFFIC = ROOT / "tests" / "data" / "label-studio-traffic"
CONFIG = (ROOT / "label_config" / "prompt_click_box.xml").read_text()
ONE_LABEL = '<Label value="Object" background="#A100FF"/>'
TWO_LABELS = CONFIG.replace(ONE_LABEL, '<Label value="Thing"/><Label value="Spot" predicted_values="click"/>')
OTHER_LABELS = CONFIG.replace(ONE_LABEL, '<Label value="Thing"/><Label value="Dog"/>')
SCENE = make_scene(38)
SIZE_HW = SCENE.image.shape[:2]
TRUTHS = [thing.mask for thing in SCENE.objects]


def data_uri() -> str:
    png = cv2.imencode(".png", SCENE.image[..., ::-1])[1].tobytes()
    return "data:image/png;base64," + base64.b64encode(png).decode()


@pytest.fixture(scope="module")
def sam() -> SamProposer:
    settings = {**read_profile("demo")["proposer"]["settings"], "points_per_side": 4}
    return SamProposer(Weights(), **settings)


@pytest.fixture
def bench(store, redis_url, tmp_path, sam, monkeypatch):
    """A desk, and a service that works on what it queues."""
    monkeypatch.setattr(sam, "_seen", None)
    segmenter = dataclasses.replace(toy_segmenter(), proposer=sam)
    service = InferenceService(store, FeatureCache(tmp_path, 1 << 24), ImageFetcher(), segmenter, 1_000_000, top_k=3)
    monkeypatch.setattr(wiring, "service", lambda: service)
    predict_service = PredictService(store, redis_client.connect(redis_url), "toy", deadline_s=60, max_queued=9)
    worker_registry.report_worker(
        predict_service.conn, WorkerInfo("w", "here", 1, 1.0, "toy", "cpu", "toy.v1", "ready")
    )
    return SimpleNamespace(predict_service=predict_service, service=service, store=store)


@pytest.fixture
def encoder_calls(monkeypatch) -> list[int]:
    """Grows whenever the image encoder runs."""
    calls, forward = [], TinyImageEncoder.forward
    monkeypatch.setattr(TinyImageEncoder, "forward", lambda self, x: calls.append(len(x)) or forward(self, x))
    return calls


def work(bench) -> None:
    """Do the next job, if one waits."""
    if taken := queueing.take(bench.predict_service.conn, "w", 0.01):
        queue, job_id = taken
        job = queueing._queue(bench.predict_service.conn, queue).fetch_job(job_id)
        jobs.ALLOWED[job.func_name](*job.args)
        queueing.announce(bench.predict_service.conn, job_id)
        queueing.drop_taken(bench.predict_service.conn, "w", queue, job_id)


def send(bench, *results, config=CONFIG, drafts=()) -> dict:
    """What Label Studio gets when these results were drawn, oldest first."""
    body = {
        "tasks": [{"id": 5, "project": 7, "data": {"image": data_uri()}, "drafts": list(drafts)}],
        "label_config": config,
        "params": {"context": {"result": list(results)}},
    }
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bench.predict_service.predict, protocol.read_predict(body))
        while not waiting.done():
            work(bench)
    [result] = waiting.result().results
    assert LabelInterface(config).validate_prediction(result, return_errors=True) == []
    return result


def regions(answer) -> list[dict]:
    return [result for result in answer["result"] if result["from_name"] != MESSAGE_NAME]


def told(answer) -> list[str]:
    return [text for result in answer["result"] for text in result["value"].get("text", ())]


def click(index: int, is_positive=True, **more) -> dict:
    """A click in the midst of one of the scene's things."""
    depth = cv2.distanceTransform(np.pad(TRUTHS[index], 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    value = {"x": 100 * (x + 0.5) / SIZE_HW[1], "y": 100 * (y + 0.5) / SIZE_HW[0], "keypointlabels": ["Click"]}
    kind = {"type": "keypointlabels", "from_name": "click", "to_name": "image", "is_positive": is_positive}
    return {"id": f"click{index}", "value": value, **kind, **more}


def box(index: int) -> dict:
    """A box around one of the scene's things."""
    (rows,), (columns,) = np.nonzero(TRUTHS[index].any(1)), np.nonzero(TRUTHS[index].any(0))
    height, width = SIZE_HW
    corner = {"x": 100 * columns[0] / width, "y": 100 * rows[0] / height}
    size = {"width": 100 * len(columns) / width, "height": 100 * len(rows) / height}
    kind = {"type": "rectanglelabels", "from_name": "box", "to_name": "image"}
    return {"id": "box", "value": {**corner, **size, "rotation": 0, "rectanglelabels": ["Box"]}, **kind}


def mask_of(region) -> np.ndarray:
    size_hw = region["original_height"], region["original_width"]
    assert size_hw == SIZE_HW
    return decode_rle(region["value"]["rle"]).reshape(*size_hw, 4)[..., 3] > 127


def overlap(mask, truth) -> float:
    return float(masks.iou(mask[None], truth[None])[0, 0])


def rows(store, table) -> list[dict]:
    with store._engine.connect() as db:
        return [dict(row) for row in db.execute(sa.select(table)).mappings()]


@pytest.mark.parametrize("draw", [click, box])
def test_thing_that_is_pointed_at_becomes_a_region(bench, draw):
    answer = send(bench, draw(5))
    [region] = regions(answer)
    assert overlap(mask_of(region), TRUTHS[5]) >= 0.8
    assert (region["from_name"], region["type"], region["value"]["brushlabels"]) == ("brush", "brushlabels", ["Object"])
    assert region["meta"] == {"ris": {"by": draw.__name__, "task": "5"}}
    assert answer["score"] == pytest.approx(region["score"])
    assert answer["model_version"] == bench.service.model_version
    assert told(answer) == [messages.TEXTS["accept_first"]]


def test_clicks_add_up_and_a_negative_one_takes_away(bench):
    [joined], [parted] = (regions(send(bench, click(1), click(0, is_positive))) for is_positive in (True, False))
    for index in (0, 1):
        assert mask_of(joined)[TRUTHS[index]].mean() > 0.8
    assert mask_of(parted)[TRUTHS[0]].mean() < 0.1
    assert joined["id"] != parted["id"]


def test_what_was_handed_out_is_recorded_with_all_candidates(bench):
    [region] = regions(send(bench, click(5)))
    [answer], [kept], [request] = (rows(bench.store, table) for table in (tables.answer, tables.region, tables.request))
    assert (kept["id"], kept["candidate_rank"], kept["label"]) == (region["id"], 1, "Object")
    assert (answer["expression"], answer["decision"], answer["selected"]) == ("", "match", [0])
    assert (answer["height"], answer["width"]) == SIZE_HW
    assert answer["encode_fp"] == bench.service.segmenter.proposer.embed_fp
    np.testing.assert_array_equal(masks.from_rle(answer["candidates"][0]["mask"]), mask_of(region))
    assert request["body"]["gesture"]["clicks"] == [[pytest.approx(v) for v in click_numbers(5)] + [True]]
    assert (request["prompt_id"], request["state"]) == ("click5", "done")


def click_numbers(index: int) -> tuple[float, float]:
    value = click(index)["value"]
    return value["x"], value["y"]


LABELS = {
    "the mask's control has the click's": (TWO_LABELS, "Spot", None),
    "it has another one": (OTHER_LABELS, "Thing", "Label guessed: Thing; correct it once it is accepted."),
}


@pytest.mark.parametrize(("config", "label", "said"), LABELS.values(), ids=LABELS)
def test_label_is_the_clicks_own_else_a_guess_that_is_told(bench, config, label, said):
    answer = send(bench, click(5), config=config)
    [region] = regions(answer)
    assert region["value"]["brushlabels"] == [label]
    assert region["meta"]["ris"].get("label_is_guess", False) is (said is not None)
    assert told(answer) == [" ".join(filter(None, (said, messages.TEXTS["accept_first"])))]


@pytest.mark.parametrize(("draw", "said"), [(click, "this click"), (box, "this box")])
def test_nothing_found_is_told(bench, monkeypatch, draw, said):
    nothing = Proposals.from_masks(np.zeros((0, *SIZE_HW), bool))
    monkeypatch.setattr(SamProposer, "mask", lambda *_: nothing)
    answer = send(bench, draw(5))
    assert (regions(answer), told(answer)) == ([], [f"Nothing found for {said}: undo it, so that it is not submitted."])
    [record] = rows(bench.store, tables.answer)
    assert (record["decision"], record["candidates"], record["selected"]) == ("no_match", [], [])


def test_negative_click_alone_asks_nothing(bench):
    answer = send(bench, click(5, is_positive=False))
    assert (regions(answer), told(answer)) == ([], [messages.TEXTS["click"]])
    assert rows(bench.store, tables.request) == []


def test_too_many_clicks_are_told(bench):
    answer = send(bench, *[click(5)] * 33)
    assert regions(answer) == []
    assert told(answer)[0].startswith("33 clicks are more than 32")


def test_profile_that_answers_no_clicks_says_so(bench, monkeypatch):
    monkeypatch.setattr(wiring, "service", lambda: dataclasses.replace(bench.service, segmenter=toy_segmenter()))
    answer = send(bench, click(5))
    assert (regions(answer), told(answer)) == (
        [],
        [messages.TEXTS["bad_config"].format(about="its models answer no clicks and boxes")],
    )
    assert "answers no clicks" in rows(bench.store, tables.request)[0]["error"]


def encode(bench, config=CONFIG) -> None:
    body = {"data": {"image": data_uri()}, "label_config": config, "expressions": []}
    bench.service.encode(bench.store.add_request("encode", "5", body, lifetime_s=60, project=7))


def test_click_on_an_encoded_image_costs_no_encoding(bench, encoder_calls):
    encode(bench)
    assert encoder_calls == [1]
    assert regions(send(bench, click(5)))
    assert regions(send(bench, click(5), click(4)))
    assert encoder_calls == [1]


@pytest.mark.parametrize("is_mended", [False, True], ids=["about itself", "about the expression"])
def test_click_after_an_expression_costs_no_encoding(bench, encoder_calls, monkeypatch, is_mended):
    monkeypatch.setattr(refinement_state, "DRAFT_LAG_S", -1.0)
    text = {"id": "p", "type": "textarea", "from_name": "prompt", "to_name": "image", "value": {"text": ["the fish"]}}
    send(bench, text)
    assert encoder_calls == [1]
    [region] = regions(send(bench, click(5), drafts=[{"user": 3, "result": [text]}] if is_mended else []))
    assert region["meta"].get("text") == (["the fish"] if is_mended else None)
    assert encoder_calls == [1]


def test_first_click_on_an_image_encodes_it_once(bench, encoder_calls):
    for _ in range(2):
        assert regions(send(bench, click(5)))
    assert encoder_calls == [1]


def test_image_that_was_encoded_without_clicks_gets_what_they_need_when_it_is_encoded_again(bench, encoder_calls, sam):
    encode(bench, CONFIG.replace('smart="true"', 'smart="false"'))
    image_sha256 = next(iter(rows(bench.store, tables.image_source)))["image_sha256"]
    assert bench.service.cache.get_embedding(sam.embed_fp, image_sha256) is None
    sam._seen = None  # another image came in between
    encode(bench)
    assert encoder_calls == [1, 1]
    assert regions(send(bench, click(5)))
    assert encoder_calls == [1, 1]


def test_mask_out_of_the_cache_is_the_one_that_was_made_afresh(bench):
    first, again = (regions(send(bench, click(5), click(4)))[0] for _ in range(2))
    np.testing.assert_array_equal(mask_of(first), mask_of(again))


@pytest.mark.parametrize(("name", "clicks"), [("keypoint", 1), ("keypoints_pos_neg", 3), ("rectangle", 0)])
def test_recorded_gesture_is_answered(bench, name, clicks):
    body = json.loads((TRAFFIC / f"predict_interactive_{name}.json").read_text())["request"]["body"]
    answer = send(bench, *body["params"]["context"]["result"], config=body["label_config"])
    [request], [record] = rows(bench.store, tables.request), rows(bench.store, tables.answer)
    assert (request["state"], len(request["body"]["gesture"]["clicks"])) == ("done", clicks)
    assert record["decision"] == ("match" if regions(answer) else "no_match")
