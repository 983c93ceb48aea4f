"""The corrections of a small project, and the images of its tasks."""

import fcntl
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from backend.base.errors import ImageUnreachable
from backend.corrections.store import CorrectionStore, open_correction_store
from backend.db.request_store import RequestStore
from backend.exporters.export import export
from backend.exporters.reporting import keep_quiet
from backend.exporters.request import ExportFilter, ExportRequest
from tests.backend.corrections.made import HEIGHT, PROJECT, WIDTH, annotation, box, brush, event, hand_out, rle, send

RING = box(2, 2, 12, 12) & ~box(5, 5, 4, 4)
PARTS = box(20, 2, 5, 5) | box(30, 20, 5, 5)
PROMPT = {"id": "p", "type": "textarea", "from_name": "prompt", "to_name": "image"}


def png(address: str, task: str) -> bytes:
    """A picture of its own for each address."""
    if "missing" in address:
        raise ImageUnreachable(f"{address} is not there.")
    colour = np.frombuffer(hashlib.sha256(address.encode()).digest()[:3], np.uint8)
    buffer = io.BytesIO()
    Pil.fromarray(np.broadcast_to(colour, (HEIGHT, WIDTH, 3)).copy()).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def correction_store(store: RequestStore) -> Iterator[CorrectionStore]:
    opened = open_correction_store(store._engine.url.render_as_string(hide_password=False))
    yield opened
    opened.close()


@pytest.fixture
def project(store: RequestStore, correction_store: CorrectionStore) -> CorrectionStore:
    """Task 1: a ring with a hole, and a thing in two parts. Task 2: two annotators agree on one of two things. Task 3: two
    things by one name, a region without any, and a sentence that means nothing. Task 4: skipped. Task 10: its image is gone."""
    hand_out(store, 1, [("ring", 1)], [rle(2, 2, 12, 12), rle(20, 2)], expression="the ring", label="Dog")
    hand_out(store, 2, [("bulk", 1)], [rle(25, 15)], kind="open", at=10, expression="the bulk")
    hand_out(store, 9, [("elsewhere", 1)], [rle(0, 0)])
    none = {**PROMPT, "value": {"text": ["the dog; None: the zebra"]}}
    send(
        store,
        event(annotation(1, 1, [brush("ring", RING, "the Ring, left", label="Dog"), brush("r2", PARTS, "two parts")])),
        event(annotation(2, 2, [brush("r3", box(0, 0, 10), "a box")], at=100, completed_by=1, parent_prediction=5)),
        event(annotation(3, 2, [brush("r4", box(0, 0, 9), "the box"), brush("r5", box(20, 0), "x")], completed_by=2)),
        event(
            annotation(
                4,
                3,
                [brush("r6", box(0, 0), "boxes"), brush("r7", box(20, 0), "boxes"), brush("r8", box(0, 15)), none],
            )
        ),
        event(annotation(5, 4, [brush("r9", box(0, 0), "skipped")], was_cancelled=True)),
        event(annotation(6, 10, [brush("r10", box(0, 0), "gone")]), data={"image": "/missing.png"}),
        event(annotation(7, 3, [brush("elsewhere", box(0, 0), "foreign")], completed_by=3)),
    )
    correction_store.read_events()
    return correction_store


Export = Callable[..., Path]
ABOUT = ("images", "hard_negatives", "is_replaced", "category", "is_empty_allowed")


@pytest.fixture
def export_as(project: CorrectionStore, tmp_path: Path) -> Export:
    """Exports the project: `export_as("coco", shares=…)`; the folder."""

    def run(
        format: str,
        name: str = "",
        fetch=png,
        correction_store: CorrectionStore = project,
        report=keep_quiet,
        **given,
    ) -> Path:
        about = {key: given.pop(key) for key in ABOUT if key in given}
        folder = tmp_path / (name or format)
        request = ExportRequest(format, folder, ExportFilter(PROJECT, **given), title="Small", licence="CC0", **about)
        export(correction_store, request, fetch=fetch, pool=tmp_path / "pool", max_pixels=10_000_000, report=report)
        return folder

    return run


@dataclass(frozen=True)
class OthersPackage:
    """A package of others in a folder of its own, with what it needs beyond our environment."""

    folder: Path

    def run(self, code: str, folder: Path, *arguments: str) -> str:
        """What code prints in a process that can import the package."""
        env = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "YOLO_CONFIG_DIR": str(self.folder),
            "YOLO_AUTOINSTALL": "false",  # it would install into our environment
            "YOLO_OFFLINE": "true",
        }
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def _install_aside(config: pytest.Config, name: str, *pins: str) -> OthersPackage:
    """Install packages into the cache of the tests, once; the test is skipped where that is not possible."""
    folder = config.cache.mkdir(f"{name}-{hashlib.sha256(' '.join(pins).encode()).hexdigest()[:8]}")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the same run may be at it
        _install(folder, name, pins)
    return OthersPackage(folder)


def _install(folder: Path, name: str, pins: Sequence[str]) -> None:
    if not (folder / "complete").exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-deps", "--upgrade"]
        command = [*pip, "--target", str(folder), *pins]
        done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr.strip()[-200:]}")
        (folder / "complete").touch()


@pytest.fixture
def ultralytics(pytestconfig) -> OthersPackage:
    """The reader of YOLO's labels. It is under the AGPL, and so no part of any environment of ours."""
    return _install_aside(pytestconfig, "ultralytics", "ultralytics==8.4.190", "ultralytics-thop==2.2.3")


@pytest.fixture
def supervision(pytestconfig) -> OthersPackage:
    """A reader of COCO and of YOLO's labels."""
    return _install_aside(pytestconfig, "supervision", "supervision==0.31.2", "pyDeprecate==0.14.0")


@pytest.fixture
def datumaro(pytestconfig) -> OthersPackage:
    """A reader of COCO that converts to CVAT's and other formats. It asks for older versions of what we use."""
    own = ("datumaro==1.13.12", "cachetools==8.0.2", "imagesize==2.0.1", "json-stream==2.5.1", "orjson==3.13.0")
    return _install_aside(pytestconfig, "datumaro", *own, "json-stream-rs-tokenizer==0.5.4", "shapely==2.2.0")
