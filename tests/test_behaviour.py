"""No change of what is encoded or answered goes out under an old version."""

import json

import pytest

from ris_core import behaviour
from ris_core.language import lexicon
from tests import behaviour as corpus
from tests.toy import toy_segmenter

REMEDY = (
    "What the code does has changed, its version has not. If it was meant: raise {} in ris_core/behaviour.py and run "
    "`python -m tests.behaviour`. What changed:\n{}"
)


@pytest.mark.parametrize("part", ["encode", "answer"])
def test_what_is_recorded_is_what_the_code_does(observed, part):
    recorded = json.loads(corpus.FILE.read_text(encoding="utf-8"))[part]
    changed = "\n".join(corpus.differences(recorded, observed[part], part))
    assert not changed, REMEDY.format(f"{part.upper()}_BEHAVIOUR", changed)


def test_word_that_is_skipped_no_more_is_seen(observed, monkeypatch):
    monkeypatch.setattr(lexicon, "SKIPPED", lexicon.SKIPPED - {"just"})
    changed = corpus._digest_constants(lexicon)
    assert changed != observed["answer"]["constants"]["ris_core.language.lexicon"]


def test_number_of_encoding_is_in_both_versions_and_that_of_answers_in_one(monkeypatch):
    segmenter = toy_segmenter()
    encode_fp, version = segmenter.encode_fp, segmenter.model_version
    monkeypatch.setattr(behaviour, "ANSWER_BEHAVIOUR", -1)
    answers_changed = segmenter.model_version
    assert (segmenter.encode_fp, answers_changed) != (encode_fp, version)
    assert segmenter.encode_fp == encode_fp
    monkeypatch.setattr(behaviour, "ENCODE_BEHAVIOUR", -1)
    assert segmenter.encode_fp != encode_fp
    assert segmenter.model_version not in (version, answers_changed)


def test_recording_refuses_a_change_under_the_old_number(observed, monkeypatch, tmp_path, capsys):
    changed = {**observed, "answer": {**observed["answer"], "cleaned": [1, 2]}}
    monkeypatch.setattr(corpus, "FILE", tmp_path / "behaviour.json")
    corpus.FILE.write_text(json.dumps(observed), encoding="utf-8")
    monkeypatch.setattr(corpus, "observe", lambda: changed)
    assert corpus.main() == 1
    assert "Raise ANSWER_BEHAVIOUR" in capsys.readouterr().err
    changed["answer"]["number"] = -1
    assert corpus.main() == 0
    assert json.loads(corpus.FILE.read_text(encoding="utf-8")) == changed


@pytest.fixture(scope="module")
def observed():
    return json.loads(json.dumps(corpus.observe()))
