import pickle
import pickletools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_core.errors import BadInput
from ris_core.evaluation import pickles
from tests.ris_core.evaluation.files import python2_pickle

REFS = [
    {
        "ref_id": 1,
        "ann_id": [-1],
        "split": "val",
        "sentences": [{"sent": "a", "raw": "the caf\u00e9"}],
        "x": 0.5,
        "y": None,
    }
]


class Evil:
    def __init__(self, callable_, *arguments):
        self.call = (callable_, arguments)

    def __reduce__(self):
        return self.call


def load(tmp_path, content):
    file = tmp_path / "refs(unc).p"
    file.write_bytes(content)
    return pickles.load(file)


def test_the_tests_write_strings_as_python_2_did():
    used = {opcode.name for opcode, _, _ in pickletools.genops(python2_pickle(["short", "long" * 100]))}
    assert {"SHORT_BINSTRING", "BINSTRING", "PROTO"} <= used
    assert "BINUNICODE" not in used


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(python2_pickle(REFS), id="python 2, utf-8"),
        pytest.param(python2_pickle(REFS, "latin-1"), id="python 2, latin-1"),
        *(pytest.param(pickle.dumps(REFS, protocol), id=f"python 3, protocol {protocol}") for protocol in range(6)),
    ],
)
def test_plain_values_come_back(tmp_path, content):
    assert load(tmp_path, content) == REFS


def test_sets_are_harmless(tmp_path):
    assert load(tmp_path, pickle.dumps({1, 2}, 2)) == {1, 2}


@pytest.mark.parametrize("call", [(print, "ran"), (eval, "1"), (getattr, "a", "upper"), (bytearray, 9)])
def test_what_could_run_is_refused_by_name_and_does_not_run(tmp_path, call, capsys):
    with pytest.raises(BadInput, match=rf"names \w+\.{call[0].__name__}, which could run code.*original file"):
        load(tmp_path, pickle.dumps([Evil(*call)], 2))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("cut", range(0, len(python2_pickle(REFS)), 7))
def test_a_cut_file_is_called_damaged(tmp_path, cut):
    with pytest.raises(BadInput, match="no whole pickle"):
        load(tmp_path, python2_pickle(REFS)[:cut])


@given(st.binary(max_size=60))
def test_noise_is_refused_or_plain(tmp_path_factory, noise):
    try:
        value = load(tmp_path_factory.mktemp("noise"), noise)
    except BadInput:
        return
    assert isinstance(value, (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, type(None)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"none\.p cannot be read"):
        pickles.load(tmp_path / "none.p")
