import subprocess
import sys
import threading

import pytest

from backend.base.logs import LONGEST_VALUE, tame

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
        "import structlog; from backend.base.logs import configure_logging; configure_logging('INFO'); "
        "[structlog.get_logger().warning('full', n=n) for n in range(1000)]; print('went on')"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.stdout == "went on\n"


SECRET = "0123456789abcdef-of-mine"
SAY = {
    "a value": "structlog.get_logger().warning('e', error=f'Illegal header {token!r}')",
    "a value inside a value": "structlog.get_logger().warning('e', found={'headers': [('Authorization', token)]})",
    "an object": "structlog.get_logger().warning('e', error=ValueError(token))",
    "the event": "structlog.get_logger().warning(token)",
    "a value that is cut in the middle of it": "structlog.get_logger().warning('e', error='x' * 490 + token)",
    "a traceback": "structlog.get_logger().exception('e', exc_info=ValueError(token))",
    "a line of a library": "logging.getLogger('uvicorn.error').error('Bad header %r', {'x': token})",
    "a library's traceback": "logging.getLogger('rq.worker').error('x', exc_info=ValueError(repr(token.encode())))",
    "a warning": "import warnings; warnings.warn(token)",
    "a thread that ends": "import threading; t = threading.Thread(target=lambda: int(token)); t.start(); t.join()",
    "a process that ends": "int(token)",
}


@pytest.mark.parametrize("code", SAY.values(), ids=SAY)
def test_no_secret_is_written(code):
    before = (
        "import logging, structlog; from backend.base import logs, redaction; "
        f"token = '{SECRET}'; redaction.learn([token]); logs.configure_logging('INFO'); logs.report_crashes(); "
    )
    done = subprocess.run([sys.executable, "-c", before + code], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "***" in said
    assert SECRET[:8] not in said


def test_a_command_that_breaks_down_shows_no_secret(monkeypatch, capsys):
    from backend.base import redaction
    from backend.commands import cli

    def break_down() -> None:
        raise ValueError(f"Illegal header value b'Token {SECRET}'")

    monkeypatch.setattr(cli, "app", break_down)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    redaction.learn([SECRET])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert (ended.value.code, "ValueError" in said, SECRET in said) == (1, True, False)
