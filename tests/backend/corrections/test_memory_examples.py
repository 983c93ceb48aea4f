"""What a memory is learnt from besides answers, and that its nouns are those that annotators' expressions are read with."""

from dataclasses import replace

import numpy as np
import pytest

from backend.corrections.judged_answers import PastPrompt, SavedTruth, read_drawn_prompts, read_past_prompts
from backend.corrections.memory_examples import read_examples
from backend.label_studio.label_config import read_config
from ris_core import Image
from ris_core.geometry.masks import from_rle, to_rle
from ris_core.language.parser import Parser
from ris_core.learning.words import Words
from ris_core.runtime.weights import BUNDLED_FOLDER
from tests.backend.corrections.made import PROJECT, brush, rle
from tests.backend.corrections.test_learning import FAR, RIGHT, hand_out, save
from tests.toy import guided_toy, toy_pixels


def test_what_is_drawn_for_words_that_were_never_answered_can_be_learnt_from(store, correction_store):
    for task in (1, 2, 3, 5):
        hand_out(store, task, f"r{task}", kind="interactive")
    save(store, 1, 1, brush("r1", from_rle(RIGHT), "the box"), brush("n1", from_rle(FAR), "the  Wug"))
    save(store, 2, 2, texts=["none: the wug"])
    save(store, 3, 3, brush("n3", from_rle(FAR), "the wug"), completed_by=-12)  # a pseudonym
    save(store, 4, 4, brush("n4", from_rle(FAR), "the wug"))  # which image it is was never recorded
    save(
        store, 5, 5, brush("n5", from_rle(FAR), "the box"), brush("n6", from_rle(rle(20, 15)))
    )  # answered; without words
    correction_store.read_events()
    with correction_store.reading() as db:
        drawn = list(read_drawn_prompts(db, PROJECT))
        past = list(read_past_prompts(db, PROJECT))
    assert [(one.task, one.image, one.expression, one.truth.has_target) for one in drawn] == [
        ("1", "sha-1", "the wug", True),
        ("2", "sha-2", "the wug", False),
    ]
    assert [one.truth.masks for one in drawn] == [(FAR,), ()]
    assert "the wug" not in {one.expression for one in past}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "words", "label", "noun"),
    [
        pytest.param("the widgets box", Words(), "Object", "box", id="as typed"),
        pytest.param("the tap", Words(phrases={"tap": "faucet"}), "Object", "faucet", id="words of the project"),
        pytest.param("the one on the left", Words(), "Widgets", "widget", id="the only label"),
        pytest.param("the one on the left", Words(), "Object", None, id="a label that names nothing"),
    ],
)
def test_the_noun_is_the_one_that_annotators_expressions_are_read_with(typed, words, label, noun):
    segmenter = replace(guided_toy(), parser=Parser(BUNDLED_FOLDER / "parser"))
    encoded = segmenter.encode(Image.from_array(toy_pixels()))
    [control] = read_config(
        '<View><TextArea name="prompt" toName="image"/><Image name="image" value="$image"/>'
        f'<BrushLabels name="brush" toName="image"><Label value="{label}"/></BrushLabels></View>'
    ).controls
    truth = SavedTruth(True, (to_rle(np.asarray(encoded.proposals.masks)[0]),))
    past = PastPrompt("1", "sha", encoded.size_hw, label, typed, "", (), (), truth)
    found = [one.noun for one in read_examples([past], segmenter, lambda _: encoded, words, control)]
    assert found == ([noun] if noun else [])
