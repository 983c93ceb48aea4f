"""The register of quirks in docs/developers/method.md: every switch is in it, and every line of it names a test."""

import re
from pathlib import Path

import pytest

from ris_core.encoders import clip
from ris_core.evaluation import protocol
from ris_core.language import grammar
from ris_core.methods import global_local, hybrid_gl
from ris_core.proposers import sam

HERE = Path(__file__).parent
REGISTER = dict(
    re.findall(
        r"^\| (Q-[A-Z0-9-]+) \|.*\| `([\w/]+\.py)` \|$",
        (HERE.parents[1] / "docs/developers/method.md").read_text(),
        re.MULTILINE,
    )
)
NEVER = {"Q-MODE", "Q-EMPTYTEXT", "Q-GEMLIB"}


def test_every_switch_is_registered_and_nothing_else():
    switches = [grammar, clip, protocol, global_local, hybrid_gl, sam]
    assert set(REGISTER) == set().union(NEVER, *(module.QUIRKS for module in switches))


@pytest.mark.parametrize("quirk", REGISTER)
def test_every_quirk_has_a_test(quirk: str):
    assert re.search(rf"{quirk}\b", (HERE / REGISTER[quirk]).read_text())
