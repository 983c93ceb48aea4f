"""`ris bench speed`: what it times, on the demo's models."""

import json

import pytest

from benchmarks import speed
from ris_core.profiles import read_profile
from ris_core.proposers.sam import SamProposer

pytestmark = pytest.mark.slow


def test_a_first_prompt_is_timed_in_its_stages_on_the_masks_that_were_kept():
    report = speed.measure("demo", "cpu", repeats=0, kept=7)
    assert [stage.name for stage in report.stages] == [
        "SAM's image encoder",
        "proposals of an encoded image",
        "features of 7 proposals",
        "3 new texts",
    ]
    assert all(stage.first_cpu_s > 0 and stage.median_s == stage.first_s for stage in report.stages)
    assert report.peak_bytes > 100 * 2**20
    assert "| features of 7 proposals | " in report.to_markdown()
    assert json.loads(report.to_json())["peak_bytes"] == report.peak_bytes


def test_made_up_weights_of_mobile_sam_load(tmp_path, monkeypatch):
    """Without making up a CLIP as well."""
    monkeypatch.setattr("open_clip.create_model", lambda name: speed.torch.nn.Linear(1, 1))
    sections = read_profile("cpu")
    store = speed.make_up(sections, tmp_path)
    settings = {**sections["proposer"]["settings"], "points_per_side": 1}
    assert SamProposer(store, **settings).fingerprint["architecture"] == "mobile"
