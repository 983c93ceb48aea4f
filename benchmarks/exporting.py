"""`ris bench export`: the memory, the time and the disk space that each format takes, with pictures.

The record is written by SQL: tasks with 20 masks that are ragged ellipses, as large as things in photographs, each with a sentence. Each
format is then exported by a process of its own, whose memory is read at its end.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from PIL import Image as Pil

from backend.corrections.store import open_correction_store
from backend.db.correction_tables import annotation_version, outcome
from backend.db.database import open_database
from backend.exporters.export import export
from backend.exporters.formats import FORMATS
from backend.exporters.request import ExportFilter, ExportRequest
from backend.exporters.splits import SplitShares
from backend.label_studio.drawn_regions import DrawnRegion
from ris_core.arrays import Array
from ris_core.geometry.masks import Rle, to_rle

PER_TASK = 20
POOL = 400
"""Different masks."""
HEIGHT, WIDTH = 480, 640
PICTURES = 20
"""Different pictures; the bytes of each image are different."""
PROJECT = 1
START = 1_790_000_000.0
BATCH = 100
"""Tasks of one transaction."""
TIMEOUT_S = 3 * 3600


@dataclass(frozen=True)
class FormatCost:
    """What one export took.

    Attributes:
        peak_bytes: Most memory of its process.
        folder_bytes: Size of the data set.
    """

    format: str
    targets: int
    seconds: float
    peak_bytes: int
    folder_bytes: int


def measure(
    folder: Path, regions: int, formats: Sequence[str] = (), report: Callable[[str], None] = lambda text: None
) -> list[FormatCost]:
    """Export a record of so many regions in each format.

    Args:
        folder: An empty one. Data sets are deleted when they are measured.
        formats: All if none is named.
        report: Is told what is being done.
    """
    report(f"Recording {regions:,} regions")
    url = f"sqlite:///{folder / 'ris.sqlite3'}"
    record(url, regions)
    costs = []
    for format in formats or FORMATS:
        report(f"Exporting {format}")
        command = [sys.executable, "-m", "benchmarks.exporting", url, format, str(folder / format)]
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode:
            raise RuntimeError(f"The export as {format} failed: {done.stderr[-500:]}")
        costs.append(FormatCost(**json.loads(done.stdout)))
        shutil.rmtree(folder / format)
    return costs


def to_json(costs: Sequence[FormatCost]) -> str:
    """As one JSON document."""
    return json.dumps([asdict(cost) for cost in costs], indent=1)


def to_markdown(costs: Sequence[FormatCost]) -> str:
    """As a table."""
    lines = ["| format | targets | most memory, GiB | seconds | data set, GiB |", "| --- | ---: | ---: | ---: | ---: |"]
    for cost in costs:
        sizes = f"{cost.peak_bytes / 2**30:.2f} | {cost.seconds:.0f} | {cost.folder_bytes / 2**30:.2f}"
        lines.append(f"| `{cost.format}` | {cost.targets:,} | {sizes} |")
    return "\n".join(lines)


def record(url: str, regions: int) -> None:
    """Write what annotators saved: a region each of 20 things in an image, with a sentence."""
    engine = open_database(url)
    masks = [to_rle(mask) for mask in map(_draw, range(POOL))]
    tasks = range(1, max(1, regions // PER_TASK) + 1)
    for first in tasks[::BATCH]:
        with engine.begin() as db:
            for task in range(first, min(first + BATCH, tasks.stop)):
                _record_task(db, task, [masks[(task * 7 + number * 19) % POOL] for number in range(PER_TASK)])
    engine.dispose()


def _record_task(db: sa.Connection, task: int, masks: Sequence[Rle]) -> None:
    named = [(f"{task}.{number}", f"thing {number} of picture {task}", mask) for number, mask in enumerate(masks)]
    version = {
        "annotation": task,
        "project": PROJECT,
        "task": str(task),
        "image": f"/data/{task}.jpg",
        "regions": [_region(region, sentence, mask).to_json() for region, sentence, mask in named],
        "annotator": 1,
        "created_at": START,
        "updated_at": START + task,
        "was_cancelled": False,
        "is_reviewed": False,
        "task_data": {},
        "texts": [],
        "problems": [],
        "source": "api",
        "seen_at": START,
    }
    number = db.scalar(sa.insert(annotation_version).values(**version).returning(annotation_version.c.id))
    judged = {"outcome": "missed", "label": "Object", "is_relabelled": False, "is_reworded": False}
    rows = [
        {"region": id, "expression": text, "mask": mask, "version_id": number, **judged} for id, text, mask in named
    ]
    db.execute(sa.insert(outcome), rows)


def _region(id: str, sentence: str, mask: Rle) -> DrawnRegion:
    return DrawnRegion(
        id=id,
        from_name="brush",
        label="Object",
        expression=sentence,
        wording="meta",
        origin="manual",
        score=None,
        made_for=None,
        mask=mask,
    )


def _draw(seed: int) -> Array:
    chance = np.random.default_rng(seed)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    row, column, radius = chance.uniform(100, 380), chance.uniform(100, 540), chance.uniform(20, 140)
    around = np.arctan2(rows - row, columns - column)
    waves = sum(chance.normal() * 0.1 / f * np.cos(f * around + chance.uniform(0, 6)) for f in range(1, 8))
    return np.asarray(np.hypot(rows - row, columns - column) < radius * (1 + waves))


def make_picture(address: str, task: str) -> bytes:
    """A JPEG file of about 90 kB; the address is a comment in it, so no two files are equal."""
    content, comment = _make_jpeg(int(task) % PICTURES), address.encode()
    return content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]


@lru_cache(PICTURES)
def _make_jpeg(seed: int) -> bytes:
    chance = np.random.default_rng(seed)
    smooth = Pil.fromarray(chance.integers(0, 256, (60, 80, 3), np.uint8)).resize(
        (WIDTH, HEIGHT), Pil.Resampling.BICUBIC
    )
    grain = chance.normal(0, 6, (HEIGHT, WIDTH, 1))
    buffer = io.BytesIO()
    Pil.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _export(url: str, format: str, folder: Path) -> FormatCost:
    shares = SplitShares(0.8, 0.1, 0.1)
    request = ExportRequest(format, folder, ExportFilter(PROJECT, shares=shares), "Large", is_empty_allowed=True)
    began = time.perf_counter()
    store = open_correction_store(url)
    counts = export(store, request, fetch=make_picture, pool=folder, max_pixels=10**7)
    seconds = time.perf_counter() - began
    store.close()
    # `getrusage` would say what the process that started this one has taken, where that is more
    [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    size = sum(os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names)
    return FormatCost(format, counts.targets, seconds, 1024 * int(kilobytes), size)


if __name__ == "__main__":
    print(json.dumps(asdict(_export(sys.argv[1], sys.argv[2], Path(sys.argv[3])))))
