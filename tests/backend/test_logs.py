import subprocess
import sys

import pytest

from backend.logs import LONGEST_VALUE, tame

LONG = "x" * (LONGEST_VALUE + 1)
TAMED = {
    "text": ("the red apple, ü", "the red apple, ü"),
    "number": (1.5, 1.5),
    "too long": (LONG, f"{LONG[:-1]}… ({len(LONG)} characters)"),
    "line break": ("a\nb", r"a\nb"),
    "escape sequence": ("\x1b[31m", r"\x1b[31m"),
    "half a pair": ("\ud800", r"\ud800"),
    "in a list": (["a", "\n", 1], ["a", r"\n", 1]),
}


@pytest.mark.parametrize(("value", "expected"), TAMED.values(), ids=TAMED)
def test_values_that_callers_chose_are_tame(value, expected):
    assert tame(None, "info", {"event": "e", "value": value}) == {"event": "e", "value": expected}


def test_a_log_that_cannot_be_written_stops_nobody():
    code = (
        "import structlog; from backend.logs import configure_logging; configure_logging('INFO'); "
        "[structlog.get_logger().warning('full', n=n) for n in range(1000)]; print('went on')"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "went on\n"
