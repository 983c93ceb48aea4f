"""One hard data set in every format, read back mask by mask: by readers of others, or by readers written from documentation.

It has splits, a hole, parts, a single pixel, a mask that covers another, several sentences, and names in four scripts.
"""

import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image as Pil
from pycocotools import mask as pycocotools
from pycocotools.coco import COCO
from scipy.ndimage import binary_erosion
from torchvision.datasets import CocoDetection

from ris_core.geometry.masks import from_rle
from tests.backend.corrections.made import HEIGHT, WIDTH, annotation, box, brush, event, send
from tests.backend.exporters.conftest import PARTS, RING, OthersPackage, png
from tests.backend.exporters.refer_reader import Refer

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pycocotools leaves it open

Bytes = bytes
"""The pixels of a mask."""


class Found(NamedTuple):
    """A mask as a reader finds it. What a format has no place for is None."""

    split: str | None
    colour: tuple[int, ...]
    """Of the image: each has its own."""
    label: str
    sentences: frozenset[str] | None
    mask: Bytes


def address_of(task: int) -> str:
    return f"/data/hard/{task}.png"


def colour_of(content: bytes) -> tuple[int, ...]:
    return Pil.open(io.BytesIO(content)).convert("RGB").getpixel((0, 0))  # type: ignore[return-value]  # a tuple in mode RGB


COLOURS = {task: colour_of(png(address_of(task), "")) for task in (31, 32)}
HARD = {
    Found("train", COLOURS[31], "犬", frozenset({"der Ring, links", "الكلب الأيمن"}), RING.tobytes()),
    Found("train", COLOURS[31], 'Stuhl, "grün"', frozenset({"लाल कुर्सी"}), PARTS.tobytes()),
    Found("val", COLOURS[32], "Object", frozenset({"a pixel"}), box(0, 0, 1, 1).tobytes()),
    Found("val", COLOURS[32], "犬", frozenset({"all\nbut\tone"}), (~box(3, 3)).tobytes()),
}


@pytest.fixture
def hard(export_as, store, correction_store) -> Callable[[str], Path]:
    """Exports it, in a format."""
    train, val = ({"image": address_of(task), "p": part} for task, part in ((31, "train"), (32, "val")))
    parts = brush("31b", PARTS, "लाल कुर्सी", label='Stuhl, "grün"')
    rest = brush("32b", ~box(3, 3), "all\nbut\tone", label="犬")
    send(
        store,
        event(annotation(31, 31, [brush("31a", RING, "der Ring, links", label="犬"), parts]), data=train),
        event(annotation(32, 31, [brush("31c", RING, "الكلب الأيمن", label="犬")], completed_by=2), data=train),
        event(annotation(33, 32, [brush("32a", box(0, 0, 1, 1), "a pixel"), rest]), data=val),
        event(annotation(34, 33, []), data={"image": "/33.png", "p": "val"}),
    )
    correction_store.read_events()
    return lambda format: export_as(format, split_field="p")


def by_pycocotools(root: Path) -> Iterator[Found]:
    for file in root.glob("annotations/instances_*.json"):
        coco = COCO(file)
        for one in coco.loadAnns(coco.getAnnIds()):
            image = root / "images" / coco.loadImgs(one["image_id"])[0]["file_name"]
            label = coco.loadCats(one["category_id"])[0]["name"]
            mask, split = coco.annToMask(one), file.stem.removeprefix("instances_")
            yield Found(split, colour_of(image.read_bytes()), label, frozenset(one["sentences"]), mask.tobytes())


def by_torchvision(root: Path) -> Iterator[Found]:
    for file in root.glob("annotations/instances_*.json"):
        data = CocoDetection(str(root / "images"), str(file))
        for image, annotations in data:
            for one in annotations:
                label, mask = data.coco.cats[one["category_id"]]["name"], data.coco.annToMask(one)
                sentences, split = frozenset(one["sentences"]), file.stem.removeprefix("instances_")
                yield Found(split, image.getpixel((0, 0)), label, sentences, mask.tobytes())


def by_refer(root: Path) -> Iterator[Found]:
    """The `refer` API is no package; this reader is written from its documentation."""
    refer = Refer(root, "refcoco", "unc")
    for ref in refer.refs:
        sentences = frozenset(sentence["raw"] for sentence in ref["sentences"])
        mask, label = refer.mask(ref["ann_id"]), refer.categories[ref["category_id"]]
        yield Found(ref["split"], colour_of(refer.image_file(ref).read_bytes()), label, sentences, mask.tobytes())


def by_grefer(root: Path) -> Iterator[Found]:
    refer = Refer(root, "grefcoco", "unc", "grefs")
    for ref in refer.refs:
        for target, category in zip(ref["ann_id"], ref["category_id"], strict=True):
            if target != -1:
                sentences, mask = frozenset(one["raw"] for one in ref["sentences"]), refer.mask(target)
                colour = colour_of(refer.image_file(ref).read_bytes())
                yield Found(ref["split"], colour, refer.categories[category], sentences, mask.tobytes())


def by_datasets(root: Path) -> Iterator[Found]:
    for split, rows in load_dataset(str(root), cache_dir=str(root.parent / "cache")).items():
        for row in rows:
            if row["mask"]:
                label, mask = rows.features["label"].int2str(row["label"]), np.asarray(row["mask"]) > 127
                colour = row["image"].convert("RGB").getpixel((0, 0))
                yield Found(str(split), colour, label, frozenset(row["sentences"]), mask.tobytes())


def by_pillow(root: Path) -> Iterator[Found]:
    for line in map(json.loads, (root / "index.jsonl").read_text(encoding="utf-8").splitlines()):
        mask, colour = np.asarray(Pil.open(root / line["mask"])) > 127, colour_of((root / line["image"]).read_bytes())
        yield Found(line["split"], colour, line["label"], frozenset(line["sentences"]), mask.tobytes())


def by_json(root: Path) -> Iterator[Found]:
    for line in map(json.loads, (root / "records.jsonl").read_text(encoding="utf-8").splitlines()):
        if line["mask"]:
            colour = colour_of((root / line["image"]["file"]).read_bytes())
            mask, sentences = pycocotools.decode(line["mask"]), frozenset(line["sentences"])
            yield Found(line["split"], colour, line["label"], sentences, mask.tobytes())


def of_hard(found: Iterator[Found]) -> set[Found]:
    """What is of the hard data set, each once; the project has other images too."""
    listed = [one for one in found if one.colour in COLOURS.values()]
    assert len(listed) == len(set(listed))
    return set(listed)


@pytest.mark.parametrize(
    ("format", "read"),
    [
        ("refcoco", by_refer),
        ("grefcoco", by_grefer),
        ("coco", by_pycocotools),
        ("coco", by_torchvision),
        ("coco-polygons", by_pycocotools),
        ("coco-polygons", by_torchvision),
        ("hf", by_datasets),
        ("masks", by_pillow),
        ("jsonl", by_json),
    ],
)
def test_every_mask_is_read_with_its_image_its_split_its_label_and_its_sentences(hard, format, read, capsys):
    assert of_hard(read(hard(format))) == HARD


def test_grefcocos_pickle_and_its_json_say_the_same(hard):
    folder = hard("grefcoco") / "grefcoco"
    assert pickle.loads((folder / "grefs(unc).p").read_bytes()) == json.loads((folder / "grefs(unc).json").read_text())


WRITE_DOWN = """
import json, sys
import numpy as np
from PIL import Image
from pycocotools import mask as coco
def write_down(split, image, label, mask):
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    print("READ" + json.dumps([split, list(Image.open(image).convert("RGB").getpixel((0, 0))), label, counts]))
"""
DATUMARO = """
from datumaro import AnnotationType, Dataset
for folder, format in [("coco", "coco_instances"), ("coco-polygons", "coco_instances")]:
    print("FORMAT" + folder)
    data = Dataset.import_from(folder, format)
    labels = data.categories()[AnnotationType.label]
    for item in data:
        for one in item.annotations:
            if one.type == AnnotationType.mask:
                write_down(item.subset, item.media.path, labels[one.label].name, one.image)
            elif one.type == AnnotationType.polygon:
                parts = coco.frPyObjects([one.points], *item.media.size)
                write_down(item.subset, item.media.path, labels[one.label].name, coco.decode(parts)[:, :, 0])
print("FORMATconverted")
Dataset.import_from("coco", "coco_instances").export("cvat", "cvat", save_media=True)
data = Dataset.import_from("cvat", "cvat")
labels = data.categories()[AnnotationType.label]
for item in data:
    for one in item.annotations:
        if one.type == AnnotationType.mask:
            write_down(item.subset, item.media.path, labels[one.label].name, one.image)
"""
SUPERVISION = """
from supervision import DetectionDataset
for folder in ("coco", "coco-polygons", "yolo-seg"):
    print("FORMAT" + folder)
    for split in ("train", "val"):
        if folder == "yolo-seg":
            given = f"yolo-seg/images/{split}", f"yolo-seg/labels/{split}", "yolo-seg/data.yaml"
            data = DetectionDataset.from_yolo(*given, force_masks=True)
        else:
            given = f"{folder}/images", f"{folder}/annotations/instances_{split}.json"
            data = DetectionDataset.from_coco(*given, force_masks=True)
        for path, _, found in data:
            for number, mask in zip(found.class_id, found.mask if len(found) else ()):
                write_down(split, path, data.classes[number], mask)
"""


def read_by(package: OthersPackage, code: str, folder: Path) -> dict[str, set[Found]]:
    """By format, without sentences, which these readers do not know."""
    found: dict[str, list[Found]] = {}
    for line in package.run(WRITE_DOWN + code, folder).splitlines():
        if line.startswith("FORMAT"):
            listed = found[line.removeprefix("FORMAT")] = []
        elif line.startswith("READ"):
            split, colour, label, counts = json.loads(line.removeprefix("READ"))
            mask = from_rle({"size": [HEIGHT, WIDTH], "counts": counts})
            listed.append(Found(split, tuple(colour), label, None, mask.tobytes()))
    return {format: of_hard(iter(listed)) for format, listed in found.items()}


UNSAID = {one._replace(sentences=None) for one in HARD}


@pytest.mark.slow
def test_datumaro_reads_every_mask_exactly_and_so_does_what_it_converts_to_cvat(hard, datumaro, tmp_path):
    for format in ("coco", "coco-polygons"):
        hard(format)
    assert read_by(datumaro, DATUMARO, tmp_path) == {"coco": UNSAID, "coco-polygons": UNSAID, "converted": UNSAID}


@pytest.mark.slow
def test_supervision_reads_every_mask_and_draws_the_borders_of_polygons(hard, supervision, tmp_path):
    for format in ("coco", "coco-polygons", "yolo-seg"):
        hard(format)
    found = read_by(supervision, SUPERVISION, tmp_path)
    assert found.pop("coco") == UNSAID
    assert found.keys() == {"coco-polygons", "yolo-seg"}
    expected = {one[:3]: pixels(one) for one in UNSAID}
    for listed in found.values():
        assert {one[:3] for one in listed} == expected.keys()
        for one in listed:
            mask = expected[one[:3]]
            assert (pixels(one) >= mask).all()
            assert not binary_erosion(pixels(one) & ~mask, np.ones((2, 2))).any()  # lines of one pixel


def pixels(one: Found) -> np.ndarray:
    return np.frombuffer(one.mask, bool).reshape(HEIGHT, WIDTH)
