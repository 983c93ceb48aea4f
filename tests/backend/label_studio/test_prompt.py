"""What is typed, read."""

from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.label_studio import protocol
from backend.label_studio.label_config import read_config
from backend.label_studio.prompt import (
    PromptEntries,
    advise,
    find_asked,
    is_again,
    list_absent,
    pick_label,
    read_absent,
    read_command,
    read_prompt,
    seems_several,
    split_expressions,
    split_label,
)
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
        (["the frog; The  Frog; the frog."], None, ("the frog", "the frog.")),  # the same twice
        ([" ; "], None, ()),  # blank
        ([], ["a"], ()),  # empty
    ],
)
def test_the_entry_that_changed_is_asked_else_the_last(texts, last_texts, expressions):
    entries = find_asked(texts, last_texts)
    assert (split_expressions(entries.asked) if entries else ()) == expressions


@patiently
@given(st.lists(words, min_size=1), st.data())
def test_an_edited_entry_is_always_found(texts, data):
    index = data.draw(st.integers(0, len(texts) - 1))
    edited = [*texts]
    edited[index] = "something new"
    entries = find_asked(edited, texts)
    assert (entries.asked, entries.at) == ("something new", index)


@pytest.mark.parametrize(
    ("texts", "at", "parts", "kept"),
    [
        (("the dog", "the cat"), 1, ("the cat",), ("the dog", "the cat")),
        (("the dog", "#2"), 1, (), ("the dog",)),  # a command leaves
        (("the dog", "#2"), 1, ("the dog",), ("the dog",)),  # what it is about is there already
        (("#2",), 0, ("the dog",), ("the dog",)),  # what it is about comes back
        (("the dog", "The  dog"), 1, ("The  dog",), ("the dog",)),  # the same again
        (("a; b; c", "d"), 0, ("a", "c"), ("a; c", "d")),  # what brought nothing leaves
        (("nothing here",), 0, (), ()),
        (("none: the cat", "the dog; none: the cow"), 1, ("none: the cow",), ("none: the cat", "none: the cow")),
    ],
)
def test_entries_keep_what_brought_something_once(texts, at, parts, kept):
    assert PromptEntries(texts, at).keep(parts) == kept


@pytest.mark.parametrize("text", ["help", " Help! ", "?", "ok", "OK.", "undo", "No", "wrong"])
def test_words_that_are_no_expression_are_commands(text):
    assert read_command(text)


@pytest.mark.parametrize("text", ["the help desk", "no hat", "the ok sign", "undo the dog", "", "next", "right"])
def test_expressions_are_no_commands(text):
    assert read_command(text) is None


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


# Labels as they are shown, with colons and separators in them

TYPED = {
    "a colon": (("class:frog", "class:car"), "class:car: the pink car", "class:car", "the pink car"),
    "a time": (("9:15", "10:30"), "10:30: the clock", "10:30", "the clock"),
    "the longer of two": (("class", "class:car"), "class:car: the pink one", "class:car", "the pink one"),
    "the exact one of two": (("class", "class car"), "class: car: the pink one", "class", "car: the pink one"),
    "a separator": (("Car", "Frog; green"), "Frog; green: the biggest frog", "Frog; green", "the biggest frog"),
    "a separator, in another case": (("Car", "Frog; green"), "frog;green : the biggest frog", "Frog; green", "the biggest frog"),
    "folded": (("Car", "Traffic_Lights"), "traffic light: the left one", "Traffic_Lights", "the left one"),
    "a part": (("Vehicle/Car", "Animal/Frog"), "frog: the left one", "Animal/Frog", "the left one"),
    "emoji": (("🚗", "🐸"), "🐸: the left one", "🐸", "the left one"),
    "a full-width colon": (("Car", "Frog"), "Frog：the left one", "Frog", "the left one"),
    "as the page shows it": (("Car", "traffic_light"), "Traffic  LIGHT: the left one", "traffic_light", "the left one"),
    "a colon at its end": (("Frog:", "Car"), "Frog:: the left one", "Frog:", "the left one"),
}  # fmt: skip


@pytest.mark.parametrize(("labels", "text", "label", "expression"), TYPED.values(), ids=TYPED)
def test_a_label_can_be_typed_as_it_is_shown(labels, text, label, expression):
    control = labelled(*labels)
    assert split_expressions(text, control) == (text,)
    assert split_label(control, text) == (label, expression)


def test_only_the_separators_of_labels_are_kept():
    control = labelled("Car", "Frog; green", "Frog; green; big")
    text = "Frog; green; big: a; the car; Frog; green: b ; frog; green"
    assert split_expressions(text, control) == ("Frog; green; big: a", "the car", "Frog; green: b", "frog", "green")


def test_a_prefix_that_means_two_labels_is_a_guess():
    picked = pick_label(labelled("Frog (toy)", "Frog (animal)", "Car"), "frog: the left one", "one")
    assert (picked.label, picked.expression, picked.is_guess) == ("Frog (toy)", "the left one", True)
    assert picked.others[0] == "Frog (animal)"


def test_a_guess_between_two_names_the_other_one_first():
    picked = pick_label(labelled("Car", "frog_1", "frog_2"), "the frog", "frog")
    assert (picked.label, picked.is_guess, picked.others) == ("frog_1", True, ("frog_2", "Car"))


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(
    str.strip
)
odd = st.text(" :;；：aB1._/#()", min_size=1, max_size=8).filter(str.strip)

usual = st.sampled_from(["None", "none", "next", "#2", "A", "a", "a: b", "a; b"])


@settings(deadline=None, max_examples=300)
@given(st.lists(names | odd | usual, min_size=1, max_size=5, unique=True))
@example(["None", "Car"])
@example(["Frog; green", "Frog"])
@example(["a: b", "a", "b"])
@example(["x" * 200, "y"])
def test_what_is_advised_chooses_that_label_when_it_is_typed(labels):
    control = labelled(*labels)
    for label in control.labels:
        if typed := advise(control, [label]):
            text = f"{typed}: the green one"
            assert read_absent(text) is None
            [asked] = split_expressions(text, control)
            picked = pick_label(control, asked, "one")
            assert (picked.label, picked.expression, picked.is_guess) == (label, "the green one", False)


@pytest.mark.parametrize(
    "label", ["Frog", "class:frog", "Frog; green", "Frog (animal)", "2. Frog", "🐸 Frog", "Animal/Frog"]
)
def test_usual_labels_are_advised_as_they_are_written(label):
    assert advise(labelled("Car", label), [label]) == label


def test_what_cannot_be_typed_is_not_advised():
    assert advise(labelled("None", "x" * 200), ["None", "x" * 200]) == ""
    assert advise(labelled("None", "x" * 200, "Car"), ["None", "x" * 200, "Car"]) == "Car"


NO_LABELS = {
    "a name": ("Dog: the brown one", "Dog"),
    "in lower case": ("dog: the brown one", "dog"),
    "several words": ("Traffic sign: left", "Traffic sign"),
    "a full-width colon": ("Dog：the brown one", "Dog"),
    "a time": ("the clock at 9:15", ""),
    "a time alone": ("9:15", ""),
    "what is written there": ("sign: STOP", ""),
    "quoted": ("sign: “stop here”", ""),
    "with an article": ("the sign: stop here", ""),
    "a long sentence": ("the man who says this: hello there", ""),
    "no colon": ("the brown dog", ""),
    "a score": ("score: 3 to 2", ""),
    "a label": ("frog: the brown one", ""),
}


@pytest.mark.parametrize(("text", "prefix"), NO_LABELS.values(), ids=NO_LABELS)
def test_a_prefix_that_is_no_label_is_noticed(text, prefix):
    assert pick_label(labelled("Frog", "Car"), text, "").no_label == prefix


@pytest.mark.parametrize("text", ["the dog； the cat", "the dog；the cat", "the dog ;the cat"])
def test_a_full_width_separator_is_one(text):
    assert split_expressions(text) == ("the dog", "the cat")
    assert list_absent([f"none: a giraffe；{text}"]) == ("a giraffe",)
    assert list_absent(["none：a giraffe"]) == ("a giraffe",)


@pytest.mark.parametrize(
    ("text", "is_list"),
    [
        ("frog . car .", True),
        ("frog . car", True),
        ("frog, car, tree", True),
        ("red frog, the car, tree", True),
        ("青蛙、汽车、树", True),
        ("the frog, the green one", False),
        ("the frog.", False),
        ("the biggest frog that sits there, left of the car, and in front of the tree", False),
        ("no. 5", False),
    ],
)
def test_lists_of_other_tools_are_noticed(text, is_list):
    assert seems_several(text) is is_list


# Fields that are no prompts

AREA = '<Text name="told" value="$image"/><TextArea name="ris_message" toName="told" maxSubmissions="0"/>'
FIELDS = {
    "a comment beside a prompt": (["prompt", "comment"], True, ("prompt",)),
    "a comment before a prompt": (["comment", "prompt"], True, ("prompt",)),
    "two prompts": (["prompt", "prompt_2"], True, ("prompt", "prompt_2")),
    "a field named for expressions": (["notes", "my expression"], True, ("my expression",)),
    "only one, connected before": (["comment"], True, ("comment",)),
    "only one, written by hand": (["say"], False, ("say",)),
    "only remarks, never connected": (["comment"], False, ()),
    "several, connected before": (["comment", "say", "more"], True, ("say",)),
}


@pytest.mark.parametrize(("areas", "is_connected", "prompts"), FIELDS.values(), ids=FIELDS)
def test_what_is_named_as_a_prompt_is_one(areas, is_connected, prompts):
    tags = [f'<TextArea name="{name}" toName="image"/>' for name in areas]
    config = config_of(IMAGE, BRUSH, *tags, AREA if is_connected else "")
    assert config.prompts == prompts
    for name in areas:
        typed = {"type": "textarea", "from_name": name, "id": "a", "value": {"text": ["x"]}}
        assert (read_prompt([typed], config) is not None) == (name in prompts)


def test_a_project_can_name_its_prompt():
    config = config_of(IMAGE, BRUSH, PROMPT, '<TextArea name="ask" toName="image"/>')
    assert config.with_prompt("ask").prompts == ("ask",)
    assert config.with_prompt("other").prompts == config.with_prompt(None).prompts == ("prompt",)


def labelled(*labels: str):
    return control_of(*(f"<Label value={quoteattr(label)}/>" for label in labels))


@pytest.mark.parametrize(
    ("text", "is_it"), [("again", True), (" Again! ", True), ("retry", True), ("again the dog", False)]
)
def test_again_is_a_word_by_itself(text, is_it):
    assert is_again(text) is is_it
