import json

import pytest

from ris_core.errors import BadInput
from ris_core.evaluation.journal import Journal
from tests.ris_core.evaluation.made import asked, outcome, record

SETTINGS = {"dataset": "refcoco", "methods": {"m": "toy.1"}}


def written(file, *ids):
    with Journal(file, SETTINGS) as journal:
        for image_id in ids:
            journal.append(record(image_id, asked(outcome(1, 2))))
    return file.read_bytes()


def test_what_is_appended_is_there_when_it_is_opened_again(tmp_path):
    written(tmp_path / "new" / "run.jsonl", "1", "2")
    with Journal(tmp_path / "new" / "run.jsonl", SETTINGS) as journal:
        assert list(journal.records) == ["1", "2"]
        assert journal.records["1"] == record("1", asked(outcome(1, 2)))


def test_wherever_a_run_is_killed_only_the_unfinished_line_is_lost(tmp_path):
    """Cut everywhere, and around each end of line at every byte: whole lines are kept, and the run that goes on is whole."""
    file = tmp_path / "run.jsonl"
    whole = written(file, "1", "2")
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in sorted(
        {*range(0, len(whole), 23), *(end + near for end in ends for near in (-2, -1, 0, 1))} - {len(whole) + 1}
    ):
        file.write_bytes(whole[:cut])
        with Journal(file, SETTINGS) as journal:
            assert len(journal.records) == max(0, sum(end <= cut for end in ends) - 1)
            for image_id in {"1", "2"} - set(journal.records):
                journal.append(record(image_id, asked(outcome(1, 2))))
        lines = [json.loads(line) for line in file.read_bytes().splitlines()]
        assert sorted(line["image_id"] for line in lines[1:]) == ["1", "2"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**SETTINGS, "dataset": "refcoco+"}, r"dataset was 'refcoco', now 'refcoco\+'"),
        ({**SETTINGS, "methods": {"m": "toy.2"}}, r"methods was \{'m': 'toy.1'\}, now \{'m': 'toy.2'\}"),
        ({**SETTINGS, "top_k": 5}, "top_k was None, now 5"),
        ({"dataset": "refcoco"}, "methods was .* now None"),
    ],
)
def test_other_settings_are_refused_with_what_differs_and_nothing_is_changed(tmp_path, settings, says):
    before = written(tmp_path / "run.jsonl", "1")
    with pytest.raises(BadInput, match=rf"other settings \({says}\).*--out.*--fresh"):
        Journal(tmp_path / "run.jsonl", settings)
    assert (tmp_path / "run.jsonl").read_bytes() == before


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b"{}\n{}\n"])
def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path, content):
    file = tmp_path / "run.jsonl"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=r"--out"):
        Journal(file, SETTINGS)
    assert file.read_bytes() == content


def test_a_damaged_line_is_refused(tmp_path):
    file = tmp_path / "run.jsonl"
    file.write_bytes(written(file, "1") + b'{"image_id": "2"}\n')
    with pytest.raises(BadInput, match="no journal of a run"):
        Journal(file, SETTINGS)


def test_two_runs_never_write_one_journal(tmp_path):
    with Journal(tmp_path / "run.jsonl", SETTINGS), pytest.raises(BadInput, match="Another run is writing"):
        Journal(tmp_path / "run.jsonl", SETTINGS)
    Journal(tmp_path / "run.jsonl", SETTINGS).close()


@pytest.mark.parametrize("content", [b"my notes", b"a line\nand half", b'{"format":1}\nand half'])
def test_a_file_of_somebody_keeps_what_stands_after_its_last_line(tmp_path, content):
    """It looks like what a killed run left half written."""
    file = tmp_path / "journal.jsonl"
    file.write_bytes(content)
    with pytest.raises(BadInput):
        Journal(file, SETTINGS)
    assert file.read_bytes() == content
