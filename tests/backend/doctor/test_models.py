"""Weights, and the device that torch finds."""

from pathlib import Path

import pytest

from backend.doctor import models
from backend.doctor.finding import exit_code
from tests.backend.doctor.looking import MakeContext, look

pytestmark = pytest.mark.slow


def test_weights_in_the_repository_are_there(make_context: MakeContext):
    findings = look(models.check_weights, make_context())
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert {"Packages", "sam-tiny", "clip-tiny", "parser-tiny"} <= set(findings)


def test_missing_and_damaged_weights_are_named_with_the_command_that_gets_them(
    make_context: MakeContext, tmp_path: Path
):
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"half of it")
    findings = look(models.check_weights, make_context(RIS_PROFILE="base", MODEL_DIR=tmp_path))
    assert "has sha256" in findings["sam-vit-b"].value
    assert "is missing" in findings["clip-vit-b-16"].value
    assert all("ris models pull" in findings[name].remedy for name in ("sam-vit-b", "clip-vit-b-16"))
    assert exit_code(findings.values()) == 3


def test_a_profile_that_no_setting_names_is_said_with_its_reason(make_context: MakeContext, tmp_path: Path):
    findings = look(models.check_weights, make_context(RIS_PROFILE="", DEVICE="cpu", MODEL_DIR=tmp_path))
    assert findings["Profile"].value == "cpu, because DEVICE is cpu"
    assert "sam-mobile" in findings


def test_unknown_profile_is_a_bad_setting(make_context: MakeContext):
    [finding] = look(models.check_weights, make_context(RIS_PROFILE="huge")).values()
    assert (finding.exit_code, "demo" in finding.remedy) == (2, True)


@pytest.mark.parametrize(
    ("wanted", "seen", "state", "says"),
    [
        ("auto", {"gpus": [], "device": "cpu"}, "ok", "auto means cpu"),
        ("auto", {"gpus": ["H200"], "device": "cuda"}, "ok", "GPUs: H200"),
        ("cuda:1", {"gpus": ["H200"], "error": "invalid device ordinal"}, "fail", "invalid device ordinal"),
    ],
)
def test_device_is_judged_by_what_torch_says(wanted: str, seen: dict, state: str, says: str):
    finding = models.judge_device(wanted, {"torch": "2.14.0", "error": "", **seen})
    assert (finding.state, says in finding.value) == (state, True)


def test_torch_is_asked_for_the_device(make_context: MakeContext):
    [finding] = look(models.check_device, make_context(DEVICE="abacus")).values()
    assert (finding.state, finding.exit_code, "DEVICE=abacus cannot be used" in finding.value) == ("fail", 2, True)
