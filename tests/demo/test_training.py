"""Training in the smallest: a few real steps, stopped and resumed."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from demo import train_clip, train_sam
from demo.training import Optimiser
from ris_core.proposers._tiny_sam import build_tiny_sam

pytestmark = pytest.mark.slow


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]


def test_sam_resumes_where_it_was_stopped(tmp_path, capsys, monkeypatch):
    """Two runs of one step end with the same weights as one run of two, and saw the same scenes."""
    monkeypatch.setattr(train_sam, "SAVE_STEPS", 1)
    whole, halves = tmp_path / "whole.safetensors", tmp_path / "halves.safetensors"

    def run(steps_done: int, out, state):
        """Train up to a step of a schedule of two."""
        scenes = train_sam.SamScenes
        monkeypatch.setattr(train_sam, "SamScenes", lambda first, last: scenes(first, min(last, steps_done)))
        train_sam.train(2, 1, out, state, workers=0, threads=1)
        monkeypatch.setattr(train_sam, "SamScenes", scenes)

    run(2, whole, tmp_path / "whole.pt")
    run(1, halves, tmp_path / "halves.pt")
    capsys.readouterr()
    run(2, halves, tmp_path / "halves.pt")
    assert [line["step"] for line in lines(capsys)] == [2]
    one, other = load_file(whole), load_file(halves)
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-3) for name in one)


def test_batched_decoding_is_the_stock_decoder_image_by_image():
    torch.manual_seed(0)
    sam = build_tiny_sam()
    embeddings, points, soft = torch.randn(2, 128, 16, 16), torch.rand(2, 3, 2) * 256, torch.rand(2, 3, 64, 64)
    clicked, boxed = train_sam.first_prompts(soft, points)
    corrected = [group.correct(torch.randn(2, 64, 64)) for group in (clicked, boxed)]
    for groups in ((clicked, boxed), corrected):
        logits, predicted_iou = train_sam.predict_masks(sam, embeddings, groups)
        position, row = sam.prompt_encoder.get_dense_pe(), 0
        for group in groups:
            sparse, dense = group.encode(sam)
            for i, image in enumerate(group.image.tolist()):
                one = slice(i, i + 1)
                stock = sam.mask_decoder.predict_masks(embeddings[[image]], position, sparse[one], dense[one])
                torch.testing.assert_close((logits[[row]], predicted_iou[[row]]), stock)
                row += 1
        assert row == len(logits) > 0


def test_a_correction_clicks_on_what_is_wrong():
    soft, logits = torch.zeros(2, 64, 64), torch.full((2, 64, 64), -1.0)
    soft[0, 10:20, 30:40] = 1  # all of it was missed
    soft[1, :32], logits[1] = 1, 1.0  # too much was found
    before = train_sam.TrainingPrompts(torch.arange(2), soft, torch.zeros(2, 1, 2), torch.ones(2, 1))
    after = before.correct(logits)
    x, y = after.clicks[0, 1]
    assert 120 <= x < 160
    assert 40 <= y < 80
    assert after.clicks[1, 1, 1] >= 128
    assert after.labels.tolist() == [[1, 1], [1, 0]]


def test_boxes_are_drawn_around_the_thing():
    soft = torch.zeros(1, 64, 64)
    soft[0, 8:24, 16:48] = 1
    box = train_sam.loose_boxes(soft.expand(200, -1, -1)).mean(0)
    torch.testing.assert_close(box, torch.tensor([64.0, 32.0, 192.0, 96.0]), atol=2.0, rtol=0)


def test_clip_writes_its_state_weights_and_accuracy(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(train_clip, "measure", lambda model, tokenizer, scenes: {"crop": 0.0})
    out, state = tmp_path / "clip.safetensors", tmp_path / "clip.pt"
    train_clip.train(1, 1, out, state, workers=0, threads=1, measure_every=1)
    printed = lines(capsys)
    assert {"step", "of", "views", "texts", "heads", "patches", "views_per_s", "minutes_left"} <= set(printed[0])
    assert printed[1] == {"step": 1, "top1": {"crop": 0.0}}
    assert all(tensor.dtype == torch.float16 for tensor in load_file(out).values() if tensor.is_floating_point())
    assert torch.load(state, weights_only=True)["step"] == 1


def test_the_rate_rises_then_falls_to_a_hundredth():
    optimiser = Optimiser([torch.nn.Linear(64, 64)], muon_lr=1.0, adam_lr=1.0)

    def rate(step: int) -> float:
        optimiser.schedule(step, 1000, warmup=100)
        return optimiser.parts[0][0].param_groups[0]["lr"]

    rates = [rate(step) for step in (0, 99, 500, 999)]
    assert np.argmax(rates) == 1
    assert rates[0] == pytest.approx(0.01, rel=0.01)
    assert rates[3] == pytest.approx(0.01, rel=0.01)
