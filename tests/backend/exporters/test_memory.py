"""Masks never are all in memory: measured from outside, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from backend.db.correction_tables import annotation_version, outcome
from ris_core.geometry.masks import to_rle
from tests.backend.corrections.made import START, box, drawn

PER_TASK = 20
SMALL, LARGE, HUGE = 1_000, 5_000, 100_000
"""Regions: the first two are exported, and what the third would take follows from them."""
GIB = 2**30
SIDE = 256

EXPORT = """
import re, sys
from pathlib import Path
from backend.corrections.store import open_correction_store
from backend.exporters.export import export
from backend.exporters.request import ExportFilter, ExportRequest
from backend.exporters.splits import SplitShares
url, project, folder = sys.argv[1:]
order = ExportRequest("refcoco", Path(folder), ExportFilter(int(project), shares=SplitShares(0.8, 0.1, 0.1)), "large", images="none")
counts = export(open_correction_store(url), order, fetch=None, pool=Path(folder), max_pixels=10**7)
kilobytes = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(counts.targets, 1024 * int(kilobytes))
"""
"""`getrusage` would say what the process that started it has taken, where that is more."""


def fill(correction_store, project: int, regions: int) -> None:
    """20 regions a task, whose polygons are long."""
    noise = box(20, 20, 200, 200, (SIDE, SIDE))
    noise[::2, ::20] ^= True
    masks = [np.roll(noise, (2 * i, i), (0, 1)) for i in range(PER_TASK)]
    version = {
        "annotator": 1,
        "created_at": START,
        "updated_at": START,
        "was_cancelled": False,
        "is_reviewed": False,
        "task_data": {},
        "texts": [],
        "problems": [],
        "source": "api",
        "seen_at": START,
    }
    judged = {"outcome": "missed", "label": "Object", "is_relabelled": False, "is_reworded": False}
    with correction_store.writing() as db:
        for task in range(1, regions // PER_TASK + 1):
            row = {"annotation": 10**6 * project + task, "project": project, "task": str(task), "image": f"/{task}.png"}
            row["regions"] = [drawn(f"{task}.{i}", mask, f"thing {i}").to_json() for i, mask in enumerate(masks)]
            number = db.execute(sa.insert(annotation_version).values(**version, **row)).inserted_primary_key[0]
            made = (
                {"region": f"{task}.{i}", "expression": f"thing {i}", "mask": to_rle(mask)}
                for i, mask in enumerate(masks)
            )
            db.execute(sa.insert(outcome), [{"version_id": number, **one, **judged} for one in made])


def measure(correction_store, project: int, folder: Path) -> tuple[int, int, int]:
    """Targets written, and in bytes the most memory that was taken and the file of the masks."""
    root = str(Path(__file__).parents[3])
    command = [sys.executable, "-c", EXPORT, correction_store._engine.url.render_as_string(), str(project), str(folder)]
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=250, check=True)
    targets, peak = map(int, done.stdout.split())
    return targets, peak, (folder / "refcoco" / "instances.json").stat().st_size


@pytest.mark.slow
def test_memory_does_not_grow_with_the_masks_and_is_less_than_a_gibibyte_for_100_000_regions(
    correction_store, tmp_path
):
    measured = []
    for project, regions in ((1, SMALL), (2, LARGE)):
        fill(correction_store, project, regions)
        measured.append(measure(correction_store, project, tmp_path / str(project)))
    (small, before, small_file), (large, after, large_file) = measured
    assert (small, large) == (SMALL, LARGE)
    assert after - before < (large_file - small_file) / 4
    assert before + (after - before) * (HUGE - SMALL) / (LARGE - SMALL) < GIB
