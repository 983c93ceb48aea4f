"""Accepted words decide what is looked for and which label it gets; an expression without them is answered bit by bit as before."""

from typing import Any

import pytest

from backend.db.tables import answer, region
from ris_core.learning.lesson import Lesson
from ris_core.learning.words import Words
from tests.backend.inference.test_service import CONFIG, ask, make_service, rows
from tests.toy import guided_toy

COLOURS = CONFIG.replace(
    '<Label value="Object"/>', '<Label value="Thing"/><Label value="Square"/><Label value="Cell"/>'
)
WORDS = Words({"blue cell": "Cell", "azure cell": "Gone"}, {"azure": "blue", "crimson thing": "red cell"})


@pytest.fixture
def service(store, tmp_path):
    return make_service(store, tmp_path, guided_toy())


def learn(service, words: Words = WORDS) -> Lesson:
    lesson = Lesson(service.model_version, words=words)
    service.store.lessons.apply(1, lesson, {}, 1)
    return lesson


def ask_one(service, text: str, config: str = COLOURS, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The request and the stored answer."""
    request = ask(service, text, config=config, **settings)
    assert request.answer["result"], request.error
    return request, rows(service.store, answer)[-1]


def test_a_phrase_is_looked_for_in_the_words_that_were_accepted(service):
    _, blue = ask_one(service, "the blue thing")
    before, plain = ask_one(service, "the azure thing")
    lesson = learn(service)
    request, learned = ask_one(service, "the azure thing")
    assert plain["candidates"] != blue["candidates"] == learned["candidates"]
    assert (learned["expression"], learned["model_version"]) == ("the azure thing", lesson.model_version)
    assert learned["reading"]["replaced"] == {"azure": "blue"}
    assert "Looked for “blue” in place of “azure”, as this project has learnt." in request.message["text"]
    assert request.answer["result"][-1]["meta"]["text"] == ["the azure thing"]
    assert before.message is None or "Looked for" not in before.message["text"]
    silent, _ = ask_one(service, "the azure thing", read_back="never")
    assert "Looked for" not in (silent.message or {"text": ""})["text"]


@pytest.mark.parametrize("text", ["the blue square", "Thing: the red one", "azured cell", "the yellow Blue-Cell"])
def test_an_expression_without_these_words_is_answered_bit_by_bit_as_before(service, text):
    _, before = ask_one(service, text)
    learn(service)
    _, after = ask_one(service, text)
    differ = {name for name in before if before[name] != after[name]}
    assert differ <= {"id", "request", "request_id", "created_at", "model_version"}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("the blue cell", "Cell"),
        ("The  Blue cell", "Cell"),
        ("Thing: the blue cell", "Thing"),  # who types a label means it
        ("the azure cell", "Cell"),  # as it is read; a label that is gone counts for nothing
        ("the red cell", "Cell"),  # its noun names a label
        ("the blue cells", "Cell"),
        ("the blue box", "Thing"),
    ],
)
def test_a_phrase_gets_its_label(service, text, label):
    learn(service)
    ask_one(service, text)
    assert rows(service.store, region)[-1]["label"] == label


def test_a_label_that_words_give_is_no_guess(service):
    _, before = ask_one(service, "the blue box")
    assert before["is_guess"]
    learn(service, Words({"blue box": "Square"}))
    request, after = ask_one(service, "the blue box")
    assert (after["label"], after["is_guess"]) == ("Square", False)
    assert "guessed" not in (request.message or {"text": ""})["text"]


def test_what_cannot_be_read_names_the_words_that_were_looked_for(service):
    learn(service, Words({}, {"azure": "x" * 1001}))
    request = ask(service, "the azure thing")
    assert "at most 1,000 are read" in request.error
    assert "in place of “azure”" in " ".join(one["text"] for one in request.message["parts"])
