"""The image and its compose file, as far as they can be read; `make image-check` runs the lines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from backend.settings.environment import Settings
from tests.docker.run_lines import split_stages, tracked_files

ROOT = Path(__file__).parents[2]
BUILD, FINAL = split_stages(ROOT / "Dockerfile")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SETTINGS = {name for field in Settings.model_fields.values() for name in field.validation_alias.choices}  # type: ignore[union-attr]


def values(stage: list[dict], instruction: str) -> list[str]:
    return [line["value"] for line in stage if line["instruction"] == instruction]


def test_the_linter_has_nothing_to_say():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("line", values(BUILD, "RUN"))
def test_a_run_line_calls_make_targets_that_exist(line: str):
    command, *words = line.split()
    targets = [word for word in words if "=" not in word]
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command == "make"
    assert targets
    assert set(targets) <= set(known)


@pytest.mark.parametrize("line", values(BUILD, "COPY"))
def test_what_is_copied_is_tracked_and_travels(line: str):
    *sources, _ = line.split()
    allowed = {entry[1:] for entry in (ROOT / ".dockerignore").read_text().split() if entry.startswith("!")}
    assert set(sources) <= allowed
    assert all(any(tracked_files([source])) for source in sources)


def test_the_image_runs_as_nobody_special():
    assert values(FINAL, "USER") == ["10001:10001"]
    assert values(FINAL, "RUN") == []  # nothing is installed where it runs


def test_every_service_restarts_and_says_how_it_is():
    for name, service in COMPOSE["services"].items():
        assert service["restart"] == "unless-stopped", name
        assert "healthcheck" in service or name == "backend", name  # the image has the backend's


def test_the_settings_it_passes_exist():
    for name in ("backend", "worker"):
        assert set(COMPOSE["services"][name]["environment"]) <= SETTINGS


def test_the_example_env_holds_what_must_be_set():
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", (ROOT / "docker-compose.yml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert needed <= given


def test_nothing_but_label_studio_is_published_and_that_on_loopback():
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published == {"label-studio": ["${LABEL_STUDIO_ADDRESS:-127.0.0.1:8080}:8080"]}
