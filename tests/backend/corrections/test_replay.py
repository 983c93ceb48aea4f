"""Past prompts answered again, and judged by what was saved."""

import pytest
import sqlalchemy as sa

from backend.corrections.judged_answers import read_past_prompts
from backend.corrections.replay import replay, summarise
from backend.db.tables import answer
from backend.inference.expressions import AnswerOptions
from backend.label_studio.label_config import read_config
from ris_core.geometry.masks import from_rle, to_rle
from ris_core.types import Image
from tests.backend.corrections.made import PROJECT, annotation, brush, event, hand_out, send
from tests.toy import GridProposer, toy_pixels, toy_segmenter

CONFIG = """<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Object"/></BrushLabels></View>"""
PIXELS = toy_pixels()
RED, GREEN, BLUE, YELLOW = (to_rle(mask) for mask in GridProposer().propose(Image.from_array(PIXELS)).masks)


@pytest.fixture
def ask(store):
    """Record that an expression was answered with candidates, the first handed out, and what was saved for it."""

    def ask(task, expression, candidates, saved=None, is_absent=False):
        hand_out(store, task, [(f"r{task}", 1)], candidates, expression=expression)
        results = [brush(f"r{task}", from_rle(saved), expression)] if saved else []
        if is_absent:
            value = {"text": [f"none: {expression}"]}
            results.append(
                {"id": f"p{task}", "type": "textarea", "from_name": "prompt", "to_name": "image", "value": value}
            )
        send(store, event(annotation(task, task, results, at=90.0)))
        with store._engine.begin() as db:
            height, width = PIXELS.shape[:2]
            own = sa.update(answer).where(answer.c.task == str(task))
            db.execute(own.values(image_sha256=f"image {task % 3}", height=height, width=width))

    return ask


def answered_again(store, correction_store, encoded_images=None):
    correction_store.read_events()
    with correction_store.reading() as db:
        past = list(read_past_prompts(db, PROJECT))
    segmenter = toy_segmenter()
    encoded = segmenter.encode(Image.from_array(PIXELS))
    known = {f"image {i}" for i in range(3)} if encoded_images is None else encoded_images
    control = read_config(CONFIG).controls[0]
    return list(
        replay(past, segmenter, lambda image: encoded if image in known else None, control, AnswerOptions(top_k=3))
    )


def test_answers_of_now_are_judged_by_what_was_saved_for_those_of_then(ask, store, correction_store):
    ask(1, "the red square", [BLUE, RED], saved=RED)  # the wrong candidate was first
    ask(2, "the blue square", [BLUE, RED], saved=BLUE)
    ask(3, "the yellow square", [YELLOW], saved=GREEN)  # somebody meant another than the model of now
    ask(4, "the purple square", [GREEN], is_absent=True)
    replayed = answered_again(store, correction_store)
    assert {one.past.task: one.change for one in replayed} == {"1": 1, "2": 0, "3": 0, "4": 0}
    figures = {one.name: (one.then.value, one.now.value, one.then.n) for one in summarise(replayed)}
    assert figures["right"] == (pytest.approx(1 / 3), pytest.approx(2 / 3), 3)
    assert figures["T-acc"] == (1.0, 1.0, 3)
    assert figures["N-acc"] == (0.0, 0.0, 1)
    assert figures["mIoU"][:2] == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_the_same_answers_change_nothing_and_the_interval_says_so(ask, store, correction_store):
    for task in range(1, 10):
        ask(task, "the blue square", [BLUE, RED], saved=BLUE if task % 2 else GREEN)
    [right, *_] = summarise(answered_again(store, correction_store))
    assert (right.change.value, right.change.low, right.change.high) == (0.0, 0.0, 0.0)
    assert right.then.low < right.then.value < right.then.high


def test_prompts_that_cannot_be_read_any_more_are_answered_by_nothing(ask, store, correction_store):
    ask(1, "!!!", [RED], saved=RED)
    ask(2, "???", [RED], is_absent=True)
    assert {one.past.task: (one.change, one.now.is_found) for one in answered_again(store, correction_store)} == {
        "1": (-1, False),
        "2": (1, False),
    }


def test_images_that_are_not_encoded_are_left_out(ask, store, correction_store):
    for task in (1, 2, 3):
        ask(task, "the blue square", [BLUE], saved=BLUE)
    assert [one.past.task for one in answered_again(store, correction_store, {"image 1"})] == ["1"]


def test_what_nothing_is_known_of_is_not_asked(ask, store, correction_store):
    hand_out(store, 1, [("r1", 1)], [BLUE], expression="the red square")  # nothing was submitted
    ask(2, "the blue square", [BLUE], saved=BLUE)
    ask(3, "the green square", [GREEN], saved=GREEN, is_absent=True)  # annotators differ
    assert [one.past.task for one in answered_again(store, correction_store)] == ["2"]
