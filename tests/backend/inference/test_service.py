import base64
import dataclasses

import numpy as np
import pytest
import sqlalchemy as sa
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image as Pil
from structlog.testing import capture_logs

from backend.db import request_store as tables
from backend.db.project_store import ProjectConnection
from backend.inference.feature_cache import FeatureCache
from backend.inference.segmenters import Segmenters
from backend.inference.service import WARM_UP_TEXT, InferenceService
from backend.label_studio.images import ImageFetcher
from ris_core import load_segmenter
from ris_core.geometry import masks
from ris_core.types import Image, Proposals
from tests.toy import ColourEncoder, toy_pixels, toy_png, toy_segmenter

CONFIG = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="false"><Label value="Object"/></BrushLabels></View>"""
TWO_LABELS = CONFIG.replace(
    '<Label value="Object"/>', '<Label value="Thing"/><Label value="Square" predicted_values="box"/>'
)


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


@pytest.fixture
def service(store, tmp_path):
    return make_service(store, tmp_path)


def make_service(store, tmp_path, segmenter=None, max_pixels=10_000, **more) -> InferenceService:
    fetcher = ImageFetcher(local_files_root=tmp_path)
    cache = FeatureCache(tmp_path / "features", 1 << 20)
    return InferenceService(store, cache, fetcher, segmenter or toy_segmenter(), max_pixels, top_k=3, **more)


def ask(
    service, *expressions, url=None, config=CONFIG, kind="interactive", lifetime_s=60, **extra_params
) -> tables.Request:
    """Have a request answered; the request afterwards."""
    body = {
        "data": {"image": url or data_uri(toy_png())},
        "label_config": config,
        "hostname": "http://label-studio",
        "expressions": list(expressions),
        "extra_params": extra_params,
    }
    request_id = service.store.add_request(kind, "5", body, lifetime_s=lifetime_s, project=1)
    (service.encode if kind == "encode" else service.segment)(request_id)
    return service.store.get_request(request_id)


def rows(store, table) -> list[dict]:
    with store._engine.connect() as db:
        return [dict(row) for row in db.execute(sa.select(table)).mappings()]


def mask_of(region) -> np.ndarray:
    size = (region["original_height"], region["original_width"])
    return decode_rle(region["value"]["rle"]).reshape(*size, 4)[..., 3] > 127


def quarter(row: int, column: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[row * 20 : row * 20 + 20, column * 30 : column * 30 + 30] = True
    return mask


def test_expression_is_answered_with_its_mask_at_the_images_size(service):
    request = ask(service, "the blue square")
    assert (request.state, request.error) == ("done", None)
    [region] = request.answer["result"]
    np.testing.assert_array_equal(mask_of(region), quarter(1, 0))
    assert (region["original_width"], region["original_height"]) == (60, 40)
    assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "image", "brushlabels")
    assert region["value"]["brushlabels"] == ["Object"]
    assert region["meta"] == {"text": ["the blue square"], "ris": {"decision": "match", "task": "5"}}
    assert request.answer["model_version"] == service.model_version
    assert request.answer["score"] == pytest.approx(region["score"])
    assert 0.5 < region["score"] <= 1


def test_what_was_handed_out_is_recorded_with_all_candidates(service, store):
    request = ask(service, "the blue square")
    [answer], [region] = rows(store, tables.answer), rows(store, tables.region)
    assert region["id"] == request.answer["result"][0]["id"]
    assert (region["answer_id"], region["candidate_rank"], region["from_name"], region["label"]) == (
        answer["id"],
        1,
        "brush",
        "Object",
    )
    assert region["task"] == "5"
    assert (answer["request_id"], answer["expression"], answer["decision"]) == (request.id, "the blue square", "match")
    assert (answer["height"], answer["width"], answer["selected"]) == (40, 60, [0])
    assert (answer["model_version"], answer["encode_fp"]) == (service.model_version, service.segmenter.encode_fp)
    assert [candidate["rank"] for candidate in answer["candidates"]] == [1, 2, 3]
    np.testing.assert_array_equal(masks.from_rle(answer["candidates"][0]["mask"]), quarter(1, 0))


def test_several_expressions_are_answered_together_and_the_score_is_the_lowest(service, store):
    request = ask(service, "the blue square", "a red or green square")
    first, second = request.answer["result"]
    np.testing.assert_array_equal(mask_of(first), quarter(1, 0))
    assert [region["meta"]["text"][0] for region in (first, second)] == ["the blue square", "a red or green square"]
    assert request.answer["score"] == min(first["score"], second["score"]) < max(first["score"], second["score"])
    assert len(rows(store, tables.answer)) == 2


def test_same_expression_again_gets_a_fresh_region_id(service):
    ids = {ask(service, "the blue square").answer["result"][0]["id"] for _ in range(3)}
    assert len(ids) == 3


LABELS = {
    "the head noun names it": ("the blue square", "Square", False),
    "an alias names it": ("the blue box", "Square", False),
    "a prefix names it": ("Thing: the blue square", "Thing", False),
    "nothing names it": ("the blue one", "Thing", True),
}


@pytest.mark.parametrize(("expression", "label", "is_guess"), LABELS.values(), ids=LABELS)
def test_label_is_chosen_by_what_was_typed(service, store, expression, label, is_guess):
    [region] = ask(service, expression, config=TWO_LABELS).answer["result"]
    assert region["value"]["brushlabels"] == [label]
    assert region["meta"]["ris"].get("label_is_guess", False) is is_guess
    assert region["meta"]["text"] == [expression.removeprefix("Thing: ")]
    np.testing.assert_array_equal(mask_of(region), quarter(1, 0))
    assert rows(store, tables.answer)[0]["label"] == label


SAID = {
    "plain match": (["the blue square"], CONFIG, ("uncalibrated", "put candidates in order")),
    "guessed label": (["the blue one"], TWO_LABELS, ("label_guessed", "Thing; write “Square: …”")),
    "not sure": (["the red or blue square"], CONFIG, ("ambiguous", "“the red or blue square”")),
    "not sure of one": (["the blue square", "the red or blue square"], CONFIG, ("ambiguous", "red or blue")),
    "another language": (
        ["\u0441\u0438\u043d\u0438\u0439 \u043a\u0432\u0430\u0434\u0440\u0430\u0442"],
        CONFIG,
        ("english", "read in English"),
    ),
    "unreadable": (["!!!"], CONFIG, ("bad_expression", "no letter or digit")),
    "one unreadable": (["!!!", "the blue square"], CONFIG, ("bad_expression", "no letter or digit")),
    "bad config": (["the blue square"], "<View/>", ("bad_config", "label config")),
}


@pytest.mark.parametrize(("expressions", "config", "said"), SAID.values(), ids=SAID)
def test_what_is_told_is_recorded_with_the_answer(service, expressions, config, said):
    request = ask(service, *expressions, config=config)
    assert request.message["kind"] == said[0]
    assert said[1] in request.message["text"]


def test_scores_that_are_no_probabilities_are_named_once_a_task(service):
    nothing = ask(service, "the blue square", min_score=1.0)
    assert nothing.message["kind"] == "nothing_found"
    assert "Scores here" not in nothing.message["text"]  # no score is shown
    first, second = ask(service, "the blue square"), ask(service, "the red square")
    assert "Scores here only put candidates in order" in first.message["text"]
    assert second.message is None


def test_an_opened_task_is_told_nothing(service):
    ask(service, kind="encode")
    assert ask(service, "the red or blue square", kind="open").message is None


def test_candidate_below_the_projects_score_is_recorded_but_not_handed_out(service, store):
    request = ask(service, "the blue square", min_score=1)
    assert (request.state, request.answer["result"]) == ("done", [])
    assert request.message == {
        "kind": "nothing_found",
        "text": "Nothing found for “the blue square”. “next” shows what comes nearest.",
    }
    [answer] = rows(store, tables.answer)
    assert (answer["decision"], answer["selected"], len(answer["candidates"])) == ("match", [0], 3)
    assert ask(service, "the blue square", min_score=0.5).answer["result"] != []


def test_a_project_is_answered_by_its_own_profile(store, tmp_path):
    other = dataclasses.replace(toy_segmenter(cells=1), profile="whole", version_prefix="whole")
    service = make_service(store, tmp_path, segmenters=Segmenters({"whole": other}.__getitem__))
    request = ask(service, "the blue square", profile="whole")
    assert mask_of(request.answer["result"][0]).all()
    assert request.answer["model_version"] == other.model_version
    assert [row["encode_fp"] for row in rows(store, tables.answer)] == [other.encode_fp]
    own = ask(service, "the blue square", profile="toy")
    np.testing.assert_array_equal(mask_of(own.answer["result"][0]), quarter(1, 0))


def test_a_profile_that_cannot_be_loaded_fails_the_request(service):
    request = ask(service, "the blue square", profile="huge")
    assert (request.state, "'huge'" in request.error, request.message["kind"]) == ("failed", True, "bad_setting")


def test_a_setting_that_cannot_be_used_fails_the_request(service):
    request = ask(service, "the blue square", min_score="high")
    assert (request.state, request.message["kind"]) == ("failed", "bad_setting")
    assert "min_score is 'high'" in request.error


def test_hosts_of_a_project_are_asked_for_that_project_only(store, tmp_path):
    made = []

    class Named:
        def fetch(self, *_args, **_kwargs):
            return toy_png()

    service = make_service(store, tmp_path, make_fetcher=lambda hosts: made.append(hosts) or Named())
    url = "http://images.example/a.png"
    assert ask(service, "the blue square", url=url).state == "failed"
    assert ask(service, "the blue square", url=url, image_hosts=["images.example"]).state == "done"
    assert made == [("images.example",)]


UNPLANNED = {
    "without a number": {"task": "abc"},
    "of no project": {"project": None},
    "stale": {"lifetime_s": -1},
}


@pytest.mark.parametrize("fields", UNPLANNED.values(), ids=UNPLANNED)
def test_nothing_is_planned_after_a_task(store, tmp_path, fields):
    """Nobody is asked for tasks: the fetcher of these tests reaches no Label Studio."""
    service = make_service(store, tmp_path, ahead=5)
    body = {
        "data": {"image": "/a.png"},
        "label_config": CONFIG,
        "hostname": None,
        "expressions": [],
        "extra_params": {},
    }
    given = {"task": "5", "project": 1, "lifetime_s": 60, **fields}
    request_id = store.add_request("encode", given.pop("task"), body, **given)
    service.store.start_request(request_id)
    with capture_logs() as logs:
        assert service.plan_ahead(request_id) == []
        assert service.plan_ahead("nobody") == []
    assert logs == []


def test_image_without_proposals_gets_no_region_but_a_record(store, tmp_path):
    request = ask(make_service(store, tmp_path, toy_segmenter(cells=0)), "the blue square")
    assert (request.state, request.answer["result"], request.answer["score"]) == ("done", [], 0.0)
    assert rows(store, tables.answer)[0]["decision"] == "no_match"
    assert rows(store, tables.region) == []


def test_expression_that_cannot_be_read_does_not_fail_the_others(service, store):
    request = ask(service, "!!!", "the blue square")
    assert request.state == "done"
    assert "no letter or digit" in request.error
    assert [region["meta"]["text"] for region in request.answer["result"]] == [["the blue square"]]
    assert len(rows(store, tables.answer)) == 1


BAD = {
    "no image field": ({"url": None, "config": CONFIG.replace("$image", "$picture")}, "'picture'"),
    "not an image": ({"url": data_uri(b"GIF, I promise")}, "not an image"),
    "too many pixels": ({"url": data_uri(toy_png(200, 300))}, "megapixels"),
    "host that is not allowed": ({"url": "http://elsewhere/a.png"}, "IMAGE_HOSTS"),
    "no control": ({"config": '<View><Image name="image" value="$image"/></View>'}, "BrushLabels"),
    "no config": ({"config": ""}, "label config"),
}


@pytest.mark.parametrize(("fields", "message"), BAD.values(), ids=BAD)
def test_bad_request_fails_with_its_reason_and_an_empty_prediction(service, store, fields, message):
    request = ask(service, "the blue square", **fields)
    assert request.state == "failed"
    assert message in request.error
    assert request.answer == {"result": [], "score": 0.0, "model_version": service.model_version}
    assert rows(store, tables.answer) == []


def test_only_unreadable_expressions_fail_the_request(service):
    request = ask(service, "!!!", "   ")
    assert request.state == "failed"
    assert "no letter or digit" in request.error
    assert "blank" in request.error


def test_second_expression_fetches_and_encodes_nothing(store, tmp_path):
    file = tmp_path / "scene.png"
    file.write_bytes(toy_png())
    url = "/data/local-files/?d=scene.png"
    assert ask(make_service(store, tmp_path), "the blue square", url=url).state == "done"
    file.unlink()
    again = make_service(store, tmp_path, toy_segmenter(encoder=ForgetfulEncoder()))
    request = ask(again, "the red square", url=url)
    assert request.state == "done"
    np.testing.assert_array_equal(mask_of(request.answer["result"][0]), quarter(0, 0))


class ForgetfulEncoder(ColourEncoder):
    """Cannot encode images any more."""

    def encode(self, image, proposals):
        raise RuntimeError("this image was encoded before")


def test_same_image_under_another_address_is_not_encoded_again(store, tmp_path):
    (tmp_path / "scene.png").write_bytes(toy_png())
    ask(make_service(store, tmp_path), "the blue square", url="/data/local-files/?d=scene.png")
    again = make_service(store, tmp_path, toy_segmenter(encoder=ForgetfulEncoder()))
    assert ask(again, "the blue square", url=data_uri(toy_png())).state == "done"


def test_lost_cache_is_filled_again(service, tmp_path):
    ask(service, "the blue square")
    for file in (tmp_path / "features").rglob("*.safetensors"):
        file.write_bytes(b"")
    assert ask(service, "the blue square").state == "done"


def test_encoding_puts_the_image_into_the_cache_and_answers_nothing(service, store):
    request = ask(service, kind="encode")
    assert (request.state, request.answer) == ("done", None)
    assert service.cache.size_bytes() > 0
    assert rows(store, tables.answer) == []


def test_encoding_of_an_unreachable_image_fails_with_its_reason(service):
    request = ask(service, kind="encode", url="http://elsewhere/a.png")
    assert request.state == "failed"
    assert "IMAGE_HOSTS" in request.error


def test_opened_task_is_answered_from_the_cache_only(service):
    before = ask(service, "the blue square", kind="open")
    assert (before.state, before.answer) == ("done", [])
    assert service.cache.size_bytes() == 0
    ask(service, kind="encode")
    after = ask(service, "the blue square", kind="open")
    np.testing.assert_array_equal(mask_of(after.answer["result"][0]), quarter(1, 0))


def test_expired_request_costs_nothing(store, tmp_path):
    service = make_service(store, tmp_path, toy_segmenter(encoder=ForgetfulEncoder()))
    request = ask(service, "the blue square", lifetime_s=-1)
    assert (request.state, request.answer) == ("expired", None)


def test_unknown_request_is_dropped(service):
    with capture_logs() as logs:
        service.segment("nobody")
    assert (logs[0]["event"], logs[0]["reason"]) == ("dropped", "unknown")


def test_fault_of_our_own_is_recorded_and_goes_on_upwards(store, tmp_path):
    service = make_service(store, tmp_path, toy_segmenter(encoder=ForgetfulEncoder()))
    with pytest.raises(RuntimeError, match="encoded before"):
        ask(service, "the blue square")
    [request] = rows(store, tables.request)
    assert request["state"] == "failed"
    assert "internal error (RuntimeError" in request["error"]
    assert request["answer"]["result"] == []


def test_answer_that_comes_second_is_discarded(store, tmp_path):
    class Slower(ColourEncoder):
        def encode(self, image, proposals):
            [request] = rows(store, tables.request)
            store.finish_request(request["id"], {"result": ["first"]})  # another worker was faster
            return super().encode(image, proposals)

    with capture_logs() as logs:
        request = ask(make_service(store, tmp_path, toy_segmenter(encoder=Slower())), "the blue square")
    assert request.answer == {"result": ["first"]}
    assert rows(store, tables.region) == []
    assert logs[-1]["discarded"] == "too late, or answered already"


def test_rotated_photo_is_answered_upright(service, tmp_path):
    exif = Pil.Exif()
    exif[274] = 6  # the camera was held upright: turn by 90 degrees clockwise
    Pil.fromarray(toy_pixels()).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    request = ask(service, "the blue square", url="/data/local-files/?d=photo.jpg")
    [region] = request.answer["result"]
    assert (region["original_width"], region["original_height"]) == (40, 60)
    np.testing.assert_array_equal(mask_of(region), np.rot90(quarter(1, 0), -1))


def test_job_writes_one_line_with_image_expression_and_seconds_of_each_part(service):
    with capture_logs() as logs:
        ask(service, "the blue square")
    [line] = [entry for entry in logs if entry["event"] == "done"]
    assert line["expressions"] == ["the blue square"]
    assert len(line["image"]) == 12
    assert all(line[part] >= 0 for part in ("seconds", "fetch_s", "encode_s", "segment_s"))


def test_token_of_a_connection_goes_only_with_its_own_hostname(store, tmp_path):
    asked = []

    class Recorder:
        def fetch(self, url, hostname=None, token=None, task_id=None):
            asked.append((url, hostname, token, task_id))
            return toy_png()

    cache = FeatureCache(tmp_path, 0)
    service = InferenceService(store, cache, Recorder(), toy_segmenter(), 10_000, 3)
    store.projects.save_connection(ProjectConnection(1, "http://label-studio", "secret", CONFIG))
    ask(service, "the blue square", url="/data/upload/a.png")
    store.projects.save_connection(ProjectConnection(1, "http://other", "secret", CONFIG))
    ask(service, "the blue square", url="/data/upload/b.png")
    assert asked == [
        ("/data/upload/a.png", "http://label-studio", "secret", "5"),
        ("/data/upload/b.png", "http://label-studio", None, "5"),
    ]


def test_warm_up_runs_every_component_and_keeps_nothing(service, store):
    service.warm_up()
    assert service.cache.size_bytes() == 0
    assert rows(store, tables.request) == []


def test_a_model_of_few_words_can_warm_up():
    segmenter, picture = load_segmenter("demo"), np.full((64, 64, 3), (255, 0, 0), np.uint8)
    encoding = segmenter.encode(Image.from_array(picture), Proposals.from_masks(np.ones((1, 64, 64), bool)))
    assert segmenter.segment(encoding, WARM_UP_TEXT, 1)


def test_overdue_requests_are_closed(service, store):
    request_id = store.add_request("interactive", "5", {}, lifetime_s=-1)
    service.expire_overdue()
    assert store.get_request(request_id).state == "expired"
