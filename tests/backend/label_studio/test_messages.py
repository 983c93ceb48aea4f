"""What annotators are told."""

import json
import math
import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.base.errors import BadConfig, BadSettings, Busy, ImageUnreachable, Unreachable
from backend.label_studio import messages, protocol
from backend.label_studio.images import ImageFetcher
from backend.label_studio.messages import (
    Message,
    about_answer,
    about_candidate,
    about_error,
    about_outcome,
    about_prefix,
    join,
    say,
)
from backend.settings.project import BadProjectSetting
from ris_core.errors import BadExpression, BadImage, NegatedTarget, RisError, UnknownWord, WeightsMissing

ANSWERS = {
    "plain match": (("the dog", "match", False), []),
    "nothing": (("the dog", "no_match", True), ["Nothing found for “the dog”."]),
    "nothing good enough": (("the dog", "match", True), ["Nothing found for “the dog”."]),
    "ambiguous": (
        ("the dog", "ambiguous", False),
        [f"Not sure about “the dog”: {messages.AMBIGUOUS_HINT.format(rank=2)}"],
    ),
    "guessed label": (
        ("the dog", "match", False, "Object", "Dog"),
        ["Label guessed: Object; write “Dog: …” to choose."],
    ),
    "both": (
        ("it", "ambiguous", False, "A", "B"),
        [f"Not sure about “it”: {messages.AMBIGUOUS_HINT.format(rank=2)}", "Label guessed: A; write “B: …” to choose."],
    ),
}


@pytest.mark.parametrize(("answer", "texts"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_told_where_it_is_no_plain_match(answer, texts):
    assert [message.text for message in about_answer(*answer)] == texts


ERRORS = {
    "expression": (BadExpression('The expression "!" has no letter or digit.'), "bad_expression", "no letter"),
    "negated": (
        NegatedTarget("not the dog"),
        "negated",
        "“not the dog” only says what is not meant. Say what is, as in",
    ),
    "unknown word": (UnknownWord(["kitten"]), "unknown_word", "This model does not know “kitten”."),
    "image": (BadImage("scene.png is broken", cause="damaged"), "bad_image", "damaged"),
    "config": (BadConfig("The label config has no <Image>."), "bad_config", "set the project up"),
    "config with a reason": (
        BadConfig("<Image/> at /data", reason="it has no image"),
        "bad_config",
        ": it has no image. Ask",
    ),
    "setting": (BadProjectSetting("min_score", "high", "…"), "bad_setting", "min_score"),
    "profile": (BadProjectSetting("profile", "huge", "…"), "bad_setting", "profile (“huge”)"),
    "full queue": (Busy("100 requests wait"), "busy", "Try again"),
    "no Redis": (Unreachable("Redis does not answer at unix:///state/redis.sock"), "unreachable", "ask whoever"),
    "weights": (WeightsMissing(name="a", folder="/models", command="c"), "failed", "Something went wrong"),
    "any other": (BadSettings("DATABASE_URL is postgresql://u:secret@h"), "failed", "Something went wrong"),
}


def test_a_slip_is_asked_about_and_not_applied():
    told = messages.about_answer("the zerba", "no_match", True, has_candidates=True, meant={"zerba": "zebra"})
    assert messages.join(told).text == (
        "Nothing found for “the zerba”. “next” shows what comes nearest. Did you mean “zebra”?"
    )


def test_how_it_was_read_is_told_where_that_is_wanted():
    told = messages.about_answer("the red cup", "match", False, reading="red cup")
    assert messages.join(told).text == "Read as: red cup."


def test_words_that_were_not_used_are_told():
    [told] = about_answer("the shiny frog left of the kitten", "match", False, unused=["shiny", "kitten"])
    assert (told.kind, told.text) == ("unused", "Not used: “shiny”, “kitten”.")


def test_the_hint_names_the_rank_of_what_fits_nearly_as_well():
    [told] = about_answer("the dog", "ambiguous", False, rival=3)
    assert "Type #3 to see it" in told.text


def test_a_refusal_has_room_however_long_the_expression():
    assert about_error(NegatedTarget("not " + "very " * 100 + "big")).text.endswith("“everything except the cup”.")


def test_where_nothing_is_likely_enough_the_nearest_can_be_seen():
    [told] = about_answer("the dog", "no_match", True, has_candidates=True)
    assert told.text == "Nothing found for “the dog”. “next” shows what comes nearest."


@pytest.mark.parametrize(("error", "kind", "says"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_told_without_what_is_internal(error, kind, says):
    message = about_error(error)
    assert (message.kind, says in message.text) == (kind, True)
    assert not re.search(r"/|://|secret|[A-Z]+_[A-Z]+", message.text)


def test_every_error_of_the_tree_can_be_told():
    def below(kind):
        return [kind, *(deeper for child in kind.__subclasses__() for deeper in below(child))]

    for kind in below(RisError):
        assert any(base in messages.ERRORS for base in kind.__mro__)


OUTCOMES = {
    "answered": None,
    "unmatched": None,
    "idle": None,
    "superseded": None,
    "expired": "too_slow",
    "failed": "failed",
}


@pytest.mark.parametrize(("outcome", "kind"), OUTCOMES.items(), ids=OUTCOMES)
def test_an_outcome_without_a_word_of_its_own_is_told_if_the_annotator_gets_nothing(outcome, kind):
    message = about_outcome(outcome)
    assert (message and message.kind) == kind


@pytest.fixture
def answers(serve):
    """A host that answers what the path says."""

    def answer(request):
        if request.path == "/elsewhere":
            return 302, {"Location": "http://other.example/"}, b""
        if request.path == "/large":
            return 200, {}, b"x" * 2000
        return int(request.path[1:4]), {}, b""

    return serve(answer)


UNREACHABLE = {
    "missing": ("{host}/404.png", "it does not exist"),
    "forbidden": ("{host}/403.png", "its address has expired, or its server does not let the backend read it"),
    "failing": ("{host}/500.png", "its server does not give it out"),
    "redirected": ("{host}/elsewhere", "its address leads elsewhere"),
    "too large": ("{host}/large", "it is too large"),
    "another host": ("http://images.example/a.png", "its host is not allowed"),
    "relative without a Label Studio": ("/data/upload/a.png", "its host is not known"),
    "in a storage": ("s3://bucket/a.png", "only Label Studio can open its storage"),
    "damaged data": ("data:image/png;base64,%%%", "the task's data is damaged"),
    "no address": ("ftp://host/a.png", "the task has no usable address"),
}


@pytest.mark.parametrize(("url", "cause"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_why_an_image_cannot_be_reached_is_told_shortly(answers, url, cause):
    fetcher = ImageFetcher(image_hosts=[f"127.0.0.1:{answers.port}"], max_bytes=1000)
    with pytest.raises(ImageUnreachable) as caught:
        fetcher.fetch(url.format(host=answers.url))
    assert about_error(caught.value).text == f"The image cannot be reached: {cause}."


def test_an_unknown_cause_is_told_as_such():
    assert about_error(ImageUnreachable("what nobody foresaw in /secret/path")) == say(
        "image_unreachable", "ask whoever set the project up"
    )


def test_every_kind_has_its_place_in_the_one_table():
    assert sorted(messages.URGENCY) == sorted(messages.TEXTS) == sorted(get_args(messages.Kind))


def test_a_guess_is_told_before_what_it_was_guessed_for():
    told = about_answer("the frog on the left", "ambiguous", False, "vehicle", "amphibian")
    joined = join([say("absent", "the zebra"), *told])
    assert joined.kind == "label_guessed"
    assert joined.text.startswith("Label guessed: vehicle; write “amphibian: …” to choose.")


@pytest.mark.parametrize("length", [10, 40, 300])
def test_a_guess_is_told_however_long_the_expression_is(length):
    joined = join(about_answer("x" * length, "ambiguous", False, "v" * length, "a" * 80, seems_several=True))
    assert joined.text.startswith("Label guessed: v")
    assert set(joined.left_out) == {part.text for part in joined.parts} - {
        part.text for part in joined.parts if part.text in joined.text
    }
    assert "ambiguous" in {part.kind for part in joined.parts}


def test_what_is_left_out_is_known_also_of_what_was_joined_twice():
    first = join([say("label_guessed", "A" * 200), say("ambiguous", "b" * 100)])
    second = join([Message.from_json(json.loads(json.dumps(first.to_json()))), say("absent", "c" * 100)])
    assert (second.kind, len(second.parts), len(second.left_out)) == ("label_guessed", 3, 2)
    assert Message.from_json({"kind": "busy", "text": "Busy."}) == Message("busy", "Busy.")  # as version 0.1 kept it


LISTS = {
    "one": (["Object"], "“Dog” is no label here; there is only Object."),
    "some": (["Cat", "Frog"], "“Dog” is no label here; there are Cat, Frog."),
    "many": ([f"label {i}" for i in range(50)], "label 9 and 40 more."),
}


@pytest.mark.parametrize(("labels", "says"), LISTS.values(), ids=LISTS)
def test_a_label_that_does_not_exist_is_told_with_those_that_do(labels, says):
    told = about_prefix("Dog", labels)
    assert told.text.endswith(says)
    assert len(told.text) <= 160


@pytest.mark.parametrize(
    ("probability", "says"),
    [
        (0.03, "Candidate 2 of 5, fits with 3 %. “next” shows the next."),
        (0.0, "Candidate 2 of 5, fits with less than 1 %. “next” shows the next."),
        (0.9999, "Candidate 2 of 5, fits with more than 99 %. “next” shows the next."),
        (None, "Candidate 2 of 5. “next” shows the next."),
    ],
)
def test_a_candidate_says_how_well_it_fits_where_that_is_known(probability, says):
    assert about_candidate(2, 5, probability).text == says


def test_several_are_joined_the_most_urgent_first():
    told = [say("label_guessed", "A"), say("nothing_found", "“a”"), say("nothing_found", "“a”")]
    assert join(told) == Message("nothing_found", "Nothing found for “a”. Label guessed: A")
    assert join([]) is None


@given(st.lists(st.tuples(st.sampled_from(list(messages.TEXTS)), st.text(max_size=300)), min_size=1, max_size=5))
def test_no_message_is_longer_than_it_may_be_or_has_a_second_line(told):
    message = join(say(kind, about) for kind, about in told)
    assert len(message.text) <= messages.MAX_LENGTH
    assert message.text.isprintable()


@given(st.text(max_size=300), st.sampled_from(["match", "ambiguous", "no_match"]), st.booleans(), st.text(max_size=80))
def test_whatever_was_typed_can_be_told(expression, decision, is_empty, label):
    for message in about_answer(expression, decision, is_empty, label, label):
        assert 0 < len(message.text) <= messages.MAX_LENGTH
        result = protocol.message_result("image", message.text)
        assert result["value"]["text"] == [message.text]


@pytest.mark.parametrize("words", [[f"kitten{i}" for i in range(40)], ["k" * 400]], ids=["many", "a long one"])
def test_what_to_do_about_unknown_words_is_said_however_many_they_are(words):
    error = UnknownWord(words)
    error.add_note("“Dog” is no label here; there are Car, Tree.")
    told = messages.about_error(error)
    assert len(told.text) <= messages.MAX_LENGTH
    assert "show it by a click or a box." in told.text
    assert told.left_out == ()


@pytest.mark.parametrize(
    ("left_s", "says"),
    [
        (1, "about 10 s"),
        (31, "about 40 s"),
        (120, "about 120 s"),
        (130, "about 3 minutes"),
        (math.inf, "a minute or more"),
    ],
)
def test_how_long_a_picture_takes_is_rounded_up(left_s, says):
    message = messages.about_encoding(left_s)
    assert message.kind == "encoding"
    assert says in message.text
    assert "“again”" in message.text
