"""The command line as a user types it."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from PIL import Image as Pil

from backend.commands.bench import keep_logs_apart
from backend.commands.cli import main
from demo.expressions import make_expressions
from demo.scenes import make_scene
from ris_core.geometry.masks import from_rle, iou
from tests.ris_core.runtime.origins import Origin, serve

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
KEPT = ("PATH", "HOME", "OMP_NUM_THREADS")
"""Of the variables that are set: the others are settings of whoever runs the tests."""
Done = subprocess.CompletedProcess[str]


def ris_process(*arguments: str, **env: str) -> Done:
    """`ris` in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    command = [sys.executable, "-m", "backend", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env={**kept, **env})


@pytest.fixture
def ris(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """`ris` in this process: torch and the packages of models take eight seconds to load, once."""

    def run(*arguments: str, **env: str) -> Done:
        for name in set(os.environ) - set(KEPT):
            monkeypatch.delenv(name)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["ris", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), said.out, said.err)

    monkeypatch.chdir(ROOT)
    for module in (sys, threading):
        monkeypatch.setattr(module, "excepthook", module.excepthook)  # put back in the end
    yield run
    logging.captureWarnings(False)


@pytest.fixture(scope="module")
def scene():
    return make_scene(31)


@pytest.fixture(scope="module")
def scene_file(scene, tmp_path_factory):
    file = tmp_path_factory.mktemp("scene") / "scene.png"
    Pil.fromarray(scene.image).save(file)
    return file


def test_segment_answers_with_one_document_and_a_picture(scene, scene_file, tmp_path):
    expression = make_expressions(scene, ("attribute",))[0]
    overlay = tmp_path / "answer.png"
    done = ris_process(
        "segment", str(scene_file), expression.text, "--profile", "demo", "--json", "--overlay", str(overlay)
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["image"]["size_hw"] == list(scene.image.shape[:2])
    assert document["model_version"].startswith("demo-scenes-only.guided.")
    answer = from_rle(document["candidates"][document["selected"][0]]["mask"])
    assert iou(answer[None], scene.objects[expression.targets[0]].mask[None])[0, 0] > 0.6
    with Pil.open(overlay) as picture:
        assert picture.width == scene.image.shape[1]
    assert "knows only its own synthetic scenes" in done.stderr


def test_segment_prints_a_table_for_people(ris, scene_file):
    done = ris("segment", str(scene_file), "the thing", "--profile", "demo", "--top-k", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("match: ", "ambiguous: "))
    assert "#1" in done.stdout
    assert "#2" in done.stdout
    assert "look" in done.stdout
    for row in done.stdout.splitlines()[1:]:
        [score] = re.findall(r" p (\d\.\d{3}) ", row)
        assert f"probability {score}" not in row  # it is said once


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["nothing.png", "dog"], 2, ["nothing.png", "Check the path"], id="no such file"),
        pytest.param(["README.md", "dog"], 2, ["README.md", "not an image", "JPEG"], id="not an image"),
        pytest.param(["SCENE", "  "], 2, ["blank", "Type what to find"], id="blank expression"),
        pytest.param(["SCENE", "dog", "--profile", "huge"], 2, ["'huge'", "base, cpu, demo"], id="unknown profile"),
        pytest.param(["SCENE", "dog", "--method", "x"], 2, ["'x'", "global_local"], id="unknown method"),
        pytest.param(["SCENE", "dog", "--top-k", "0"], 2, ["--top-k is 0"], id="no candidates"),
        pytest.param(
            ["SCENE", "dog", "--overlay", "/nowhere/a.png"],
            2,
            ["/nowhere/a.png", "no folder /nowhere"],
            id="overlay cannot be written",
        ),
    ],
)
def test_bad_input_ends_with_a_message_not_a_traceback(ris, arguments, code, says, scene_file):
    typed = [str(scene_file) if argument == "SCENE" else argument for argument in arguments]
    done = ris("segment", *(typed if "--profile" in typed else [*typed, "--profile", "demo"]))
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith("ris: ")
    assert [part for part in says if part not in done.stderr] == []
    assert "Traceback" not in done.stderr


def test_a_device_that_is_not_there_ends_with_a_message(ris, scene_file):
    done = ris("segment", str(scene_file), "dog", "--profile", "demo", DEVICE="gpu")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("ris: The device 'gpu' cannot be used here")


def test_missing_weights_end_with_exit_code_3(ris, scene_file, tmp_path):
    done = ris("segment", str(scene_file), "dog", "--profile", "base", MODEL_DIR=str(tmp_path), HF_HUB_OFFLINE="1")
    assert done.returncode == 3
    assert [
        part for part in ("sam_vit_b_01ec64.pth", str(tmp_path), "ris models pull base") if part not in done.stderr
    ] == []


def test_models_list_says_what_is_there(ris, tmp_path):
    done = ris("models", "list", MODEL_DIR=str(tmp_path), RIS_STATE_DIR=str(tmp_path / "state"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("sam-tiny" in line and "ready" in line for line in lines)
    assert any("sam-vit-b" in line and "missing" in line for line in lines)
    assert any(line.split()[:3] == ["sam-mobile", "missing", "Apache-2.0"] for line in lines)
    assert "    first expression on an image: not measured yet on this machine" in lines


def test_models_pull_says_before_loading_what_it_is(ris, tmp_path):
    done = ris("models", "pull", "cpu", "--dry-run", MODEL_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for part in (
        "40.7 MB from https://github.com/ChaoningZhang/MobileSAM/",
        "sha256 as widely observed",
        "code Apache-2.0, weights Apache-2.0 (commercial use allowed)",
        "SA-1B (for research only)",
        "To be downloaded: 394.7 MB",
    ):
        assert part in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_models_verify_names_what_is_missing_and_what_was_changed(ris, tmp_path):
    (tmp_path / "mobile_sam.pt").write_bytes(b"something else")
    done = ris("models", "verify", "cpu", MODEL_DIR=str(tmp_path))
    assert done.returncode == 3
    states = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[:3]}
    assert states == {"sam-mobile": "damaged", "clip-vit-b-32": "missing", "parser-tiny": "ready"}
    assert "has sha256" in done.stdout
    assert "ViT-B-32.pt is missing" in done.stdout
    assert ris("models", "verify", RIS_PROFILE="demo", MODEL_DIR=str(tmp_path)).returncode == 0


def test_a_mirror_of_weights_is_asked_first(ris, tmp_path):
    with serve() as url:
        nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # the publisher itself is not asked
        mirrors = f"{url}/a, {url}/b/"
        done = ris("models", "pull", "sam-mobile", MODEL_DIR=str(tmp_path), MODEL_MIRRORS=mirrors, **nowhere)
        assert [path for path, _ in Origin.requests] == ["/a/mobile_sam.pt", "/b/mobile_sam.pt"]
    assert done.returncode == 3
    assert "3,072,000 bytes there, not 40,728,226" in done.stderr


def test_a_bad_setting_is_named(scene_file):
    done = ris_process("segment", str(scene_file), "dog", PORT="many")
    assert done.returncode == 2
    assert "PORT has the value 'many'" in done.stderr


def test_the_world_is_not_served_without_credentials(ris, tmp_path):
    done = ris("serve", HOST="0.0.0.0", RIS_STATE_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "HOST is 0.0.0.0" in done.stderr


def test_an_image_of_one_colour_is_answered_without_a_crash(ris, tmp_path):
    file = tmp_path / "plain.png"
    Pil.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(file)
    done = ris("segment", str(file), "dog", "--profile", "demo", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decision"] in ("match", "ambiguous", "no_match")


def test_benchmarks_keep_what_is_logged_out_of_their_report(capsys):
    keep_logs_apart()
    structlog.get_logger("backend.transport.redis_server").warning("Redis started")
    captured = capsys.readouterr()
    assert (captured.out, "Redis started" in captured.err) == ("", True)
