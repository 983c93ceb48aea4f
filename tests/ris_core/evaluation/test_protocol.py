import pytest

from ris_core.errors import UnknownName
from ris_core.evaluation.protocol import PROTOCOLS, QUIRKS, read_protocol


def test_protocols_are_named_choices_of_quirks():
    assert read_protocol("fixed") == frozenset()
    assert read_protocol("paper") == {"Q-GTOVERLAP", "Q-EMPTY-GL"}
    assert frozenset.union(*PROTOCOLS.values()) == QUIRKS


def test_quirks_can_be_switched_on_one_by_one():
    assert read_protocol("Q-GTOVERLAP,Q-EMPTY-HY") == {"Q-GTOVERLAP", "Q-EMPTY-HY"}


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(UnknownName, match=r"'Q-AA'\. Protocols: fixed, paper, paper-hybrid; quirks.*Q-EMPTY-GL"):
        read_protocol("Q-GTOVERLAP,Q-AA")
