"""What is typed, read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.label_studio import protocol
from backend.label_studio.label_config import read_config
from backend.label_studio.prompt import find_asked, pick_label, read_prompt, split_expressions
from ris_core.errors import BadExpression
from tests.backend.configs import BRUSH, IMAGE, PROMPT, config_of, control_of, request_body

patiently = settings(deadline=None, max_examples=50)
words = st.text("abcdefgh ", min_size=1).filter(str.strip)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("predict_interactive_textarea.json", ("the dog left of the bench",)),
        ("predict_interactive_textarea_second_prompt.json", ("the dog left of the bench", "the bench")),
        ("predict_interactive_keypoint.json", None),
        ("predict_interactive_rectangle.json", None),
        ("predict_interactive_empty_context.json", None),
        ("predict_open_unlabelled_task.json", None),
    ],
)
def test_prompts_are_found_in_recorded_contexts(name, texts):
    call = protocol.read_predict(request_body(name))
    prompt = read_prompt(call.context, read_config(call.label_config))
    assert (prompt and prompt.texts) == texts


def test_a_per_region_textarea_is_no_prompt():
    config = config_of(IMAGE, BRUSH, PROMPT, '<TextArea name="note" toName="image" perRegion="true"/>')
    note = {"type": "textarea", "from_name": "note", "id": "a", "value": {"text": ["x"]}}
    assert read_prompt([note], config) is None


@pytest.mark.parametrize(
    ("texts", "last_texts", "expressions"),
    [
        (["a"], None, ("a",)),  # the first
        (["a", "b"], ["a"], ("b",)),  # one more
        (["a2", "b"], ["a", "b"], ("a2",)),  # an earlier one was edited
        (["b", "c"], ["a", "b"], ("c",)),  # one was removed, then one added
        (["a", "a"], ["a"], ("a",)),  # the same again
        (["a", "b"], ["a", "b"], ("b",)),  # nothing changed
        (["a", "b"], None, ("b",)),  # seen for the first time with two
        (["a ; b;;a"], None, ("a", "b")),  # several at once
        ([" ; "], None, ()),  # blank
        ([], ["a"], ()),  # empty
    ],
)
def test_the_entry_that_changed_is_asked_else_the_last(texts, last_texts, expressions):
    assert find_asked(texts, last_texts) == expressions


@patiently
@given(st.lists(words, min_size=1), st.data())
def test_an_edited_entry_is_always_found(texts, data):
    index = data.draw(st.integers(0, len(texts) - 1))
    edited = [*texts]
    edited[index] = "something new"
    assert find_asked(edited, texts) == ("something new",)


def test_too_many_expressions_at_once_are_refused():
    with pytest.raises(BadExpression, match="17"):
        split_expressions(";".join(str(i) for i in range(17)))


FRUIT = '<Label value="Fruit" predicted_values="apple, pear,Passion Fruit"/>'
LIGHT = '<Label value="Traffic light"/>'
ANIMAL = '<Label value="Dog" alias="animal"/>'


@pytest.mark.parametrize(
    ("text", "head", "label", "expression", "is_guess"),
    [
        ("the red apple", "apple", "Fruit", "the red apple", False),  # predicted_values
        ("two apples", "apples", "Fruit", "two apples", False),  # plural
        (
            "the traffic light on the left",
            "light",
            "Traffic light",
            "the traffic light on the left",
            False,
        ),  # two words
        ("the light on the left", "light", "Fruit", "the light on the left", True),  # only half of the name
        ("the dog", "dog", "animal", "the dog", False),  # a label is written as its alias
        ("animal: the brown one", "one", "animal", "the brown one", False),  # prefix
        ("TRAFFIC LIGHT :  the left one", "one", "Traffic light", "the left one", False),  # in any case
        ("the sign: stop", "sign", "Fruit", "the sign: stop", True),  # a colon that follows no label
        ("Dog:", "", "Fruit", "Dog:", True),  # nothing after the prefix
        ("the man", "", "Fruit", "the man", True),  # no head
    ],
)
def test_the_label_comes_from_prefix_else_noun_else_is_a_guess(text, head, label, expression, is_guess):
    picked = pick_label(control_of(FRUIT, LIGHT, ANIMAL), text, head)
    assert (picked.label, picked.expression, picked.is_guess) == (label, expression, is_guess)


def test_the_only_label_is_no_guess():
    picked = pick_label(control_of('<Label value="Object"/>'), "object: the red apple", "apple")
    assert (picked.label, picked.expression, picked.is_guess) == ("Object", "the red apple", False)


def test_a_labels_own_name_beats_another_labels_alias():
    control = control_of('<Label value="A" predicted_values="B"/>', '<Label value="B"/>')
    assert pick_label(control, "the b", "b").label == "B"
