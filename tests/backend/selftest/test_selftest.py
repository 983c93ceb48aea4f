"""`ris selftest`: photographs with masks drawn by hand, and what is said of a profile."""

import dataclasses
import platform

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.commands.cli import app
from backend.selftest.asking import SelftestAnswer, SelftestResult, run_selftest
from backend.selftest.photographs import FOLDER, read_photographs
from ris_core.geometry import masks
from ris_core.types import Proposals
from tests.toy import ColourEncoder, GridProposer, toy_segmenter


@pytest.fixture(scope="module")
def photographs():
    return read_photographs()


def test_twelve_expressions_of_at_least_six_photographs_each_with_a_mask_of_its_own(photographs):
    assert len(photographs) >= 6
    assert sum(len(one.asked) for one in photographs) == 12
    for one in photographs:
        height, width = one.image.size_hw
        for asked in one.asked:
            assert asked.mask.shape == (height, width)
            assert 0.005 < asked.mask.mean() < 0.6
        stack = np.stack([asked.mask for asked in one.asked])
        assert (masks.iou(stack, stack) - np.eye(len(stack))).max() < 0.5  # no answer is right for another expression


def test_every_photograph_has_its_source_and_licence():
    notices = (FOLDER / "README.md").read_text()
    assert sorted(FOLDER.glob("*.jpg"))
    for file in FOLDER.glob("*.jpg"):
        assert f"| `{file.name}` |" in notices


class Knowing(GridProposer):
    """Proposes all masks that are meant, and what is around each."""

    def __init__(self, photographs):
        super().__init__()
        self._meant = {one.image.sha256: np.stack([asked.mask for asked in one.asked]) for one in photographs}

    def propose(self, image):
        meant = self._meant[image.sha256]
        return Proposals.from_masks(np.concatenate([meant, ~meant]))


class Guessing(ColourEncoder):
    """An encoder of random weights."""

    def __init__(self):
        self._rng = np.random.default_rng(3)

    def encode(self, image, proposals):
        return {name: self._draw(len(proposals)) for name in ("global", "local")}

    def encode_texts(self, texts):
        return self._draw(len(texts))

    def _draw(self, count):
        return self._rng.normal(size=(count, 64)).astype(np.float32)


def test_an_encoder_of_random_weights_does_not_pass_even_with_perfect_proposals(photographs):
    segmenter = dataclasses.replace(toy_segmenter(encoder=Guessing()), proposer=Knowing(photographs))
    said = []
    result = run_selftest(segmenter, photographs, said.append)
    assert [round(one.nearest_iou, 6) for one in result.answers] == [1.0] * 12
    assert not result.is_passed
    assert "not passed" in result.to_text()
    assert said[:2] == ["Encoding astronaut", "Asking astronaut: the black helmet"]
    assert (len(result.encode_s), len(result.answer_s)) == (7, 12)


@pytest.mark.parametrize(("ious", "is_passed"), [([0.5] * 9 + [0.0] * 3, True), ([0.9] * 8 + [0.49] * 4, False)])
def test_nine_of_twelve_must_be_found(ious, is_passed):
    answers = [SelftestAnswer("cat", "the eye", iou, 1.0) for iou in ious]
    result = SelftestResult(answers, [1.0, 2.0, 6.0], [0.25], 3 << 30)
    assert result.is_passed is is_passed
    report = result.to_report("0.2.0", toy_segmenter(), "cpu", {"clip": "ab12"})
    for part in (
        f"{result.found} of 12 found",
        "2.0 a photograph, 0.25 an expression",
        "3.0 GiB",
        "sha256 of clip: ab12",
    ):
        assert part in report
    assert platform.node() not in report


def test_a_profile_of_drawings_is_told_that_it_does_not_pass():
    ended = CliRunner().invoke(app, ["selftest", "--profile", "demo"])
    assert ended.exit_code == 1
    assert "never run with them there" in ended.stdout
    assert "it takes 9: not passed." in ended.stdout
    assert "product: label-studio-ris" in ended.stdout
    assert "ris models verify" in ended.stderr
    assert "note: The demo profile knows only its own synthetic scenes" in ended.stderr
