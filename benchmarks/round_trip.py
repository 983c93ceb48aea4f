"""`ris bench import`: a data set into a real Label Studio and out again, mask by mask and sentence by sentence."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pil

from backend.db.database import open_database
from backend.importers.reading import read_data_set
from benchmarks.label_studio_server import LabelStudioServer
from ris_core.geometry.masks import to_rle

SIZE_HW = 480, 640
OBJECTS = 3
"""Objects of an image, with a sentence each."""
TIMEOUT_S = 3600


@dataclass(frozen=True)
class RoundTrip:
    """What it took, and what became of it.

    Attributes:
        import_s, again_s, export_s: Seconds of the import, of the same import again, and of the export.
        made_again: Tasks that the second import made; 0 if each image is one task.
        wrong: Pairs of mask and sentence that are not in the export as they were in the data set.
        peak_bytes: Most memory of one of the commands.
    """

    images: int
    pairs: int
    import_s: float
    again_s: float
    export_s: float
    made_again: int
    wrong: int
    peak_bytes: int

    def to_json(self) -> str:
        """As one JSON document."""
        return json.dumps(asdict(self))

    def to_markdown(self) -> str:
        """As a table."""
        row = (
            f"| {self.images:,} | {self.pairs:,} | {self.import_s:.1f} | {self.again_s:.1f} | {self.export_s:.1f} | {self.made_again:,} "
            f"| {self.wrong:,} | {self.peak_bytes / 2**20:.0f} |"
        )
        names = (
            "images | masks and sentences | import, s | again, s | export, s | made again | wrong | most memory, MiB"
        )
        return "\n".join([f"| {names} |", "|" + " ---: |" * 8, row])


def measure(folder: Path, studio: LabelStudioServer, images: int) -> RoundTrip:
    """Make a data set, import it twice, export it, and compare.

    Args:
        folder: An empty one, for all files.
    """
    source = make_coco(folder / "source", images)
    state = folder / "state"
    open_database(f"sqlite:///{state / 'ris.sqlite3'}").dispose()  # as `ris up` makes it
    words = ("import", "coco", "--root", source, "--new-project", "Round trip")
    _, import_s = _run(studio, state, *words)
    said, again_s = _run(studio, state, *words)
    _, export_s = _run(studio, state, "export", "--project", 1, "--format", "coco", "--out", folder / "export")
    before, after = _read_pairs(source), _read_pairs(folder / "export")
    return RoundTrip(
        images=images,
        pairs=len(before),
        import_s=import_s,
        again_s=again_s,
        export_s=export_s,
        made_again=0 if "\n0 tasks with 0 masks were made" in f"\n{said}" else images,
        wrong=len(before.items() ^ after.items()),
        peak_bytes=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    )


def make_coco(root: Path, images: int) -> Path:
    """A data set in COCO's format: smooth pictures, and discs with a sentence each."""
    chance = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    height, width = SIZE_HW
    rows, columns = np.mgrid[:height, :width]
    listed: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for image_id in range(1, images + 1):
        small = Pil.fromarray(chance.integers(0, 256, (12, 16, 3), np.uint8))
        small.resize((width, height), Pil.Resampling.BICUBIC).save(root / "images" / f"{image_id}.jpg", quality=90)
        listed.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": height, "width": width})
        for number in range(OBJECTS):
            row, column, radius = (int(chance.integers(*span)) for span in ((80, 400), (80, 560), (30, 80)))
            disc = to_rle((rows - row) ** 2 + (columns - column) ** 2 < radius**2)
            about = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0}
            annotations.append({**about, "segmentation": disc, "sentences": [f"thing {number} of picture {image_id}"]})
    content = {"images": listed, "categories": [{"id": 1, "name": "thing"}], "annotations": annotations}
    (root / "annotations" / "instances.json").write_text(json.dumps(content))
    return root


def _read_pairs(root: Path) -> dict[str, str]:
    """Run lengths by sentence; each sentence is of one mask."""
    objects = (one for image in read_data_set("coco", root).images() for one in image.objects)
    return {sentence: str(to_rle(one.draw())["counts"]) for one in objects for sentence in one.sentences}


def _run(studio: LabelStudioServer, state: Path, *words: object) -> tuple[str, float]:
    """What a command of ours says, and its seconds."""
    own = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": studio.token, "RIS_STATE_DIR": str(state)}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "backend", *map(str, words)],
        env={**os.environ, **own, "RIS_PROFILE": "demo"},
        cwd=Path(__file__).parents[1],
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"`ris {words[0]}` failed: {done.stderr[-500:]}")
    return done.stdout, time.perf_counter() - began
