"""`ris try`: one page on one's own images."""

import re
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import escape
from PIL import Image as Pil
from typer.testing import CliRunner

from backend.commands.cli import app
from backend.report.trial import StageCost, Stopwatch, try_image
from backend.report.trial_page import TrialFacts, render_trial
from ris_core.errors import BadImage, BadInput
from ris_core.methods.guided import GuidedMethod
from ris_core.types import Image
from tests.toy import toy_pixels, toy_segmenter

LOAD = StageCost("load the models", 1.0, 2.0, 3 << 20)


def render(texts, segmenter=None, name="toy.png", unread=()):
    segmenter = segmenter or toy_segmenter()
    said = []
    tried = try_image(segmenter, name, Image.from_array(toy_pixels()), texts, said.append)
    return tried, render_trial(TrialFacts.of(segmenter, "About it", "cpu", LOAD), [tried], unread), said


def test_page_has_proposals_answers_and_what_each_stage_cost():
    tried, page, said = render(["the red square", "?!"])
    assert [one.name for one in tried.costs] == [
        "propose masks",
        f"encode {len(tried.proposals)} masks",
        "answer “the red square”",
        "answer “?!”",
    ]
    assert said[0] == "Proposing masks in toy.png"
    assert f"{len(tried.proposals)} proposals" in page
    assert page.count("data:image/jpeg;base64,") == 2  # the proposals, and the answer; the other one has none
    assert "Match: what is marked with * answers." in page
    assert escape(tried.expressions[1].refusal) in page
    assert "3 MiB" in page


def test_page_says_whether_scores_are_probabilities():
    segmenter = toy_segmenter()
    assert "are no probabilities" in render([], segmenter)[1]
    for method, is_calibrated in ((GuidedMethod(), False), (GuidedMethod(calibration="demo"), True)):
        assert TrialFacts.of(replace(segmenter, method=method), "", "cpu", LOAD).is_calibrated == is_calibrated


def test_names_and_expressions_are_no_markup():
    evil = "<script>alert(1)</script>"
    _, page, _ = render([f"the red square {evil}"], name=f"{evil}.png", unread=[evil])
    assert "<script" not in page


def test_the_page_follows_the_browser_in_the_dark_and_the_words_in_their_direction():
    _, page, _ = render(["the red square", "المربع الأحمر 3"], name="صورة.png")
    assert "prefers-color-scheme: dark" in page
    assert '<meta name="viewport"' in page
    assert '<h2 dir="auto">صورة.png</h2>' in page
    assert "“<bdi>المربع الأحمر 3</bdi>”" in page


def test_an_image_without_proposals_says_so():
    segmenter = toy_segmenter()
    image = Image.from_array(np.zeros((8, 8, 3), np.uint8))
    none = segmenter.proposer.propose(Image.from_array(toy_pixels()))
    empty = type(none).from_masks(np.zeros((0, 8, 8), bool))
    proposer = type("None", (), {"propose": lambda self, _: empty, "fingerprint": {}})()
    tried = try_image(replace(segmenter, proposer=proposer), "a.png", image, ["the red square"], lambda _: None)
    page = render_trial(TrialFacts.of(segmenter, "", "cpu", LOAD), [tried], ())
    assert "Nothing was proposed" in page


def test_stages_are_measured():
    watch = Stopwatch()
    with watch.stage("busy"):
        sum(range(2_000_000))
    [cost] = watch.costs
    assert cost.cpu_s > 0
    assert cost.seconds > 0
    assert cost.peak_bytes > 10 << 20


@pytest.fixture
def ris(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return lambda *args: CliRunner().invoke(app, ["try", *map(str, args)])


def test_command_reads_what_it_can_and_names_the_rest(ris, tmp_path, monkeypatch):
    monkeypatch.setattr("ris_core.load_segmenter", lambda *_, **__: toy_segmenter())
    Pil.fromarray(toy_pixels()).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    done = ris("a.png", "b.png", "--profile", "demo", "--ask", "the red apple")
    assert done.exit_code == 0, done.output
    assert "b.png" in done.stderr
    assert "1 image in trial.html" in done.stdout
    assert re.search(r'<h2 dir="auto">a\.png</h2>', (tmp_path / "trial.html").read_text())


def test_command_refuses_before_models_are_loaded(ris, tmp_path):
    (tmp_path / "b.png").write_text("no image")
    assert isinstance(ris("b.png").exception, BadImage)
    Pil.fromarray(toy_pixels()).save(tmp_path / "a.png")
    assert isinstance(ris("a.png", "--out", "nowhere/page.html").exception, BadInput)
    assert isinstance(ris("a.png", "--ask", " ").exception, BadInput)
