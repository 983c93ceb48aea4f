import io
import re

import pytest

from backend.local.progress import Steps


def test_each_step_says_its_number_its_seconds_and_its_note():
    out = io.StringIO()
    steps = Steps(["Redis", "Worker"], out)
    with steps.take("Redis"):
        pass
    with steps.take("Worker") as step:
        step.note = "already running"
    seconds = r"\d+\.\d s"
    assert re.fullmatch(
        rf"1/2 Redis … ok \({seconds}\)\n2/2 Worker … ok \({seconds}, already running\)\n", out.getvalue()
    )


def test_failed_step_is_named_and_its_error_passes_through():
    out = io.StringIO()
    with pytest.raises(OSError, match="disk full"), Steps(["Redis"], out).take("Redis"):
        raise OSError("disk full")
    assert out.getvalue().startswith("1/1 Redis … failed (")


@pytest.mark.parametrize("name", [pytest.param("Worker", id="out of turn"), pytest.param("Tea", id="unknown")])
def test_steps_are_taken_in_order(name: str):
    steps = Steps(["Redis", "Worker"], io.StringIO())
    with pytest.raises(ValueError, match="not the next one, which is 'Redis'"), steps.take(name):
        pass
