"""Learning curves of made-up answers: what is counted, and that equal numbers give equal bytes."""

import pytest

from benchmarks import learning_plots
from benchmarks.learning import AnswerSet
from tests.ris_core.learning.made import draw


@pytest.fixture
def plots(monkeypatch, tmp_path):
    judged = {style: draw(600, 120, seed=seed) for style, seed in (("templates", 1), ("everyday", 2))}
    answers = {style: AnswerSet(one, ~one.has_target) for style, one in judged.items()}
    monkeypatch.setattr(
        learning_plots, "load_answers", lambda _folder, style, _report: (answers[style], answers[style])
    )
    monkeypatch.setattr(learning_plots, "OUTCOMES", (100, 200))
    return learning_plots.measure(tmp_path, projects=2)


def test_parts_and_curves_are_counted_and_drawn_the_same_each_time(plots, tmp_path):
    nothing, *_, both = plots.parts
    assert [one.part for one in plots.parts] == ["nothing", "a threshold", "the calibrator", "both"]
    assert (nothing.handed_out, nothing.kept) == (1.0, 1.0)
    assert nothing.wrong == pytest.approx(1 - plots.is_right.mean())
    assert both.wrong < nothing.wrong
    assert [(one.outcomes, len(one.eces)) for one in plots.curve] == [(100, 2), (200, 2)]
    assert plots.to_markdown().count("\n") == 10
    first, second = (plots.write(tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second
    assert first.startswith(b"<?xml")
    assert len(first) < 100_000
