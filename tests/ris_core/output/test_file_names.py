from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core.errors import BadInput
from ris_core.output.file_names import LONGEST_BYTES, check_distinct, check_name, inside

GOOD = ["train", "val 2", "Test-A", "weiß", "训练", "v1.0", "a" * LONGEST_BYTES]
BAD = {
    "empty": "",
    "blanks": "   ",
    "parent": "..",
    "here": ".",
    "hidden": ".git",
    "climbs": "../../etc/cron.d/x",
    "absolute": "/etc/passwd",
    "folder": "a/b",
    "backslash": "..\\x",
    "zero": "a\0b",
    "line": "a\nb",
    "escape": "a\x1b[2Jb",
    "tab": "a\tb",
    "delete": "a\x7f",
    "surrogate": "a\ud800",
    "turned": "a\u202eb",
    "long": "a" * (LONGEST_BYTES + 1),
    "long in bytes": "ä" * LONGEST_BYTES,
    "drive": "C:x",
    "stream": "a:b",
    "device": "NUL",
    "device with ending": "com1.json",
    "option": "-rf",
    "home": "~root",
    "dot at the end": "a.",
    "blank at the end": "a ",
    "pattern": "a*",
}


@pytest.mark.parametrize("name", GOOD)
def test_plain_names_stay_as_they_are(name):
    assert check_name(name, "It") == name


@pytest.mark.parametrize("name", BAD.values(), ids=BAD)
def test_other_names_are_refused_and_shown_without_harm(name):
    with pytest.raises(BadInput, match="The split of task 7 is ") as refused:
        check_name(name, "The split of task 7")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


@given(st.text())
def test_what_passes_is_one_file_in_its_folder(name):
    try:
        check_name(name, "It")
    except BadInput:
        return
    folder = Path("/a/b")
    assert (folder / name).parent == folder
    assert Path(f"/a/b/instances_{name}.json").resolve().parent == folder


@pytest.mark.parametrize("names", [("Train", "train"), ("straße", "STRASSE"), ("é", "e\u0301"), ("ﬁ", "fi")])
def test_names_of_one_file_on_some_disks_are_refused(names):
    with pytest.raises(BadInput, match="same file"):
        check_distinct(names, "The splits")


def test_distinct_names_pass():
    check_distinct(["train", "val", "train", ""], "The splits")


@pytest.mark.parametrize("name", ["x.jpg", "train2014/x.jpg", "a b/ü.png"])
def test_files_below_a_folder_are_found(name, tmp_path):
    assert inside(tmp_path, name, "It") == tmp_path / name


@pytest.mark.parametrize("name", ["", "/x", "../x", "a/../../x", "a//b", "./x", "a\\..\\x", "a/\0"])
def test_files_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(BadInput, match="no file below"):
        inside(tmp_path, name, "The file of image 3")
