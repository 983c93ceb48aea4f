"""Small data sets in the formats that the real ones are published in."""

import json
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image as Pil

from tests.toy import toy_pixels

HEIGHT, WIDTH = 40, 60
RED = [0, 0, 30, 0, 30, 20, 0, 20]
"""Polygon (x, y, x, y, …) of the red quarter of `toy_pixels`: 600 px."""
GREEN = [30, 0, 60, 0, 60, 20, 30, 20]
BLUE = [0, 20, 30, 20, 30, 40, 0, 40]
LEFT_OF_RED = [0, 0, 20, 0, 20, 20, 0, 20]
RIGHT_OF_RED = [10, 0, 30, 0, 30, 20, 10, 20]
"""The last two overlap between x = 10 and x = 20: 200 px."""


class Python2Pickler(pickle._Pickler):
    """Writes strings as Python 2 wrote its `str`: bytes without a word about their encoding."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012  (the pickler's own way to be extended)

    def __init__(self, file: BytesIO, encoding: str = "utf-8") -> None:
        super().__init__(file, protocol=2)
        self.encoding = encoding

    def save_str(self, text: str) -> None:
        data = text.encode(self.encoding)
        code, size = (pickle.SHORT_BINSTRING, 1) if len(data) < 256 else (pickle.BINSTRING, 4)
        self.write(code + len(data).to_bytes(size, "little") + data)
        self.memoize(text)

    dispatch[str] = save_str


def python2_pickle(value: Any, encoding: str = "utf-8") -> bytes:
    """What `cPickle.dump(value, file, 2)` of Python 2 wrote."""
    file = BytesIO()
    Python2Pickler(file, encoding).dump(value)
    return file.getvalue()


def ref(ref_id: int, ann_id: Any, *texts: str, image_id: int = 1, split: str = "val") -> dict[str, Any]:
    """A ref as `refs(*).p` has it; the cleaned text differs from the raw one."""
    sentences = [
        {"sent_id": ref_id * 10 + i, "raw": text, "sent": text.lower().rstrip("."), "tokens": text.split()}
        for i, text in enumerate(texts)
    ]
    return {
        "ref_id": ref_id,
        "ann_id": ann_id,
        "category_id": 1,
        "image_id": image_id,
        "split": split,
        "sent_ids": [s["sent_id"] for s in sentences],
        "file_name": f"COCO_train2014_{image_id:012}_{ref_id}.jpg",  # not the name of a file
        "sentences": sentences,
    }


def annotation(
    ann_id: int, segmentation: Any, image_id: int = 1, category_id: int = 1, iscrowd: int = 0
) -> dict[str, Any]:
    """An annotation as `instances.json` has it."""
    return {
        "id": ann_id,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": iscrowd,
        "segmentation": segmentation,
        "bbox": [0.0, 0.0, 1.0, 1.0],
        "area": 1.0,
    }


def write_refer(
    root: Path, name: str, refs: list[dict[str, Any]], annotations: list[dict[str, Any]], partition: str = "unc"
) -> Path:
    """A data set of the RefCOCO family with the images its refs name, each `toy_pixels`."""
    images = root / "images/mscoco/images/train2014"
    images.mkdir(parents=True, exist_ok=True)
    ids = sorted({r["image_id"] for r in refs})
    for image_id in ids:
        # PNG under the name of a JPEG: its pixels are exact
        Pil.fromarray(toy_pixels(HEIGHT, WIDTH)).save(images / f"COCO_train2014_{image_id:012}.jpg", format="PNG")
    folder = root / name
    folder.mkdir(exist_ok=True)
    stem = "grefs" if name == "grefcoco" else "refs"
    (folder / f"{stem}({partition}).p").write_bytes(python2_pickle(refs))
    pictures = [
        {"id": i, "file_name": f"COCO_train2014_{i:012}.jpg", "height": HEIGHT, "width": WIDTH, "license": 1}
        for i in ids
    ]
    instances = {"images": pictures, "annotations": annotations, "categories": [{"id": 1, "name": "square"}]}
    (folder / "instances.json").write_text(json.dumps(instances))
    return root


def write_phrasecut(root: Path, tasks: list[dict[str, Any]], split: str = "val") -> Path:
    """PhraseCut with the images its tasks name; the files are twice as large as the JSON says."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    ids = sorted({task["image_id"] for task in tasks})
    for image_id in ids:
        picture = Pil.fromarray(toy_pixels(2 * HEIGHT, 2 * WIDTH))
        picture.save(root / "images" / f"{image_id}.jpg", format="PNG")
    about = [{"image_id": i, "coco_id": None, "width": WIDTH, "height": HEIGHT, "split": split} for i in ids]
    (root / "image_data_split3000.json").write_text(json.dumps(about))
    (root / f"refer_{split}.json").write_text(json.dumps(tasks))
    return root


def phrase(task_id: str, text: str, *instances: list, image_id: int = 1) -> dict[str, Any]:
    """A task as `refer_*.json` has it; an instance is a list of polygons, a polygon a list of corners."""
    return {
        "task_id": task_id,
        "image_id": image_id,
        "ann_ids": list(range(len(instances))),
        "instance_boxes": [[0, 0, 1, 1] for _ in instances],
        "Polygons": list(instances),
        "phrase": text,
        "phrase_structure": {
            "name": text,
            "attributes": [],
            "relation_ids": [],
            "relation_descriptions": [],
            "type": "name",
        },
    }
