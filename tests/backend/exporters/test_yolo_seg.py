"""YOLO's segmentation labels, read back by the rules of its documentation, and by ultralytics itself."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image as Pil
from scipy.ndimage import binary_dilation, binary_erosion

from backend.exporters.splits import SplitShares
from backend.exporters.yolo_seg import _to_shares, draw
from ris_core.geometry.masks import from_rle
from ris_core.geometry.polygons import to_polygon
from tests.backend.corrections.made import HEIGHT, WIDTH, annotation, box, brush, event, send
from tests.backend.exporters.conftest import PARTS, RING, OthersPackage

READ = """
import json, sys
import numpy as np
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset, polygon2mask
data = check_det_dataset(sys.argv[1], autodownload=False)
found = []
for role in ("train", "val"):
    for label in YOLODataset(img_path=data[role], data=data, task="segment", augment=False).labels:
        height, width = label["shape"]
        masks = [polygon2mask((height, width), [one * (width, height)]) for one in label["segments"]]
        for number, mask in zip(label["cls"][:, 0], masks, strict=True):
            rows = [[int(one) for one in row] for row in mask]
            found.append([role, label["im_file"], data["names"][int(number)], rows])
        if not len(label["cls"]):
            found.append([role, label["im_file"], None, []])
print("READ" + json.dumps(found))
"""

Found = tuple[str, str, str | None, np.ndarray]


def read(root: Path) -> Iterator[Found]:
    """Split, image, class and mask of every line, by the rules of the documentation."""
    data = yaml.safe_load((root / "data.yaml").read_text(encoding="utf-8"))
    for split in ("train", "val"):
        for image in sorted((root / data[split]).iterdir()):
            with Pil.open(image) as opened:
                width, height = opened.size
            file = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
            lines = file.read_text().splitlines()
            for line in lines:
                number, *shares = line.split()
                points = np.array(shares, np.float32).reshape(-1, 2) * np.float32([width, height])
                assert 0 <= points.min() <= points.max()
                canvas = np.zeros((height, width), np.uint8)
                cv2.fillPoly(canvas, [points.astype(np.int32)], 1)
                yield split, image.name, data["names"][int(number)], canvas.astype(bool)
            if not lines:
                yield split, image.name, None, np.zeros((height, width), bool)


def read_by_ultralytics(root: Path, package: OthersPackage) -> Iterator[Found]:
    printed = package.run(READ, root, str(root / "data.yaml"))
    for split, image, name, rows in json.loads(printed.partition("READ")[2]):
        yield split, Path(image).name, name, np.array(rows, bool) if rows else np.zeros((HEIGHT, WIDTH), bool)


@pytest.fixture
def folder(export_as, store, correction_store) -> Path:
    """The small project, a label in another script, and an image that was saved empty, in two splits."""
    send(
        store,
        event(annotation(30, 30, [brush("n", box(4, 4), "n", label='犬: "x"')]), data={"image": "/30.png", "p": "val"}),
        event(annotation(31, 31, []), data={"image": "/31.png", "p": "val"}),
    )
    correction_store.read_events()
    return export_as("yolo-seg", split_field="p")


def near(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a mask that differs by one pixel at a boundary has at least, and at most."""
    square = np.ones((3, 3), bool)
    return binary_erosion(mask, square, border_value=1), binary_dilation(mask, square)


def check(found: list[Found], folder: Path) -> None:
    by_name = {(split, name): mask for split, _, name, mask in found}
    assert by_name.keys() == {("train", "Dog"), ("train", "Object"), ("val", '犬: "x"'), ("val", None)}
    assert len(found) == 9
    ring, parts = by_name["train", "Dog"], [mask for *_, mask in found if (mask & PARTS).sum() == PARTS.sum()]
    least, most = near(RING)
    assert (least <= ring).all()
    assert (ring <= most).all()
    assert any((mask >= PARTS).all() for mask in parts)
    assert not by_name["val", None].any()


def test_labels_are_read_by_the_rules_of_the_documentation(folder):
    found = list(read(folder))
    check(found, folder)
    records = {
        tuple(line["sources"][0].values())[:3]: line
        for line in map(json.loads, (folder / "provenance.jsonl").read_text().splitlines())
    }
    assert len(records) == 8
    for line in records.values():
        file, _, number = line["target"].partition(":")
        assert (folder / "labels" / file).read_text().splitlines()[int(number) - 1]


@pytest.mark.slow
def test_labels_are_read_by_ultralytics(folder, ultralytics):
    found = list(read_by_ultralytics(folder, ultralytics))
    check(found, folder)
    assert sorted(map(repr, found)) == sorted(map(repr, read(folder)))


def test_the_card_says_what_readers_lose(folder, export_as):
    said = re.search(
        r"an IoU of ([\d.]+) with the recorded ones on average, ([\d.]+) at least", (folder / "README.md").read_text()
    )
    masks = [
        from_rle(one["mask"])
        for one in map(json.loads, (export_as("jsonl") / "records.jsonl").read_text().splitlines())
        if one["mask"]
    ]
    drawn = [mask for *_, name, mask in read(folder) if name]
    ious = [max((mask & one).sum() / (mask | one).sum() for one in drawn) for mask in masks]
    assert float(said[2]) == pytest.approx(min(ious), abs=1e-3)
    assert float(said[1]) == pytest.approx(np.mean(ious), abs=1e-3)
    assert "| recorded sentences that this format has no place for | 9 |" in (folder / "README.md").read_text()


def test_a_data_set_without_splits_is_train_and_says_that_val_is_the_same(export_as):
    text = (export_as("yolo-seg") / "data.yaml").read_text()
    assert "# There is no split 'val'. Readers ask for one, so this is 'train'.\nval: \"images/train\"" in text


@pytest.mark.parametrize("word", ["names", "path", "download"])
def test_splits_of_other_names_are_no_keys_of_the_configuration(export_as, store, correction_store, word):
    """A reader would look for all images in the folder that `path` says, or run what `download` says."""
    send(store, event(annotation(30, 30, [brush("n", box(4, 4), "n")]), data={"image": "/30.png", "p": word}))
    correction_store.read_events()
    text = (export_as("yolo-seg", split_field="p") / "data.yaml").read_text()
    data = yaml.safe_load(text)
    assert data["names"] == {0: "Object", 1: "Dog"}
    assert set(data) == {"train", "val", "names"}
    assert f'# "{word}": "images/{word}"' in text


def test_an_image_of_a_hard_negative_alone_is_no_background(export_as):
    root = export_as("yolo-seg", only=("accepted",), hard_negatives=True, is_empty_allowed=True)
    [alone] = (root / "images").iterdir()
    assert alone.name in (root / "hard-negatives.jsonl").read_text()


@pytest.mark.parametrize("width", [1, 3, 640, 1000, 4032, 12_000])
def test_a_reader_of_32_bit_numbers_finds_the_same_pixels(width):
    polygon = np.stack([np.arange(width + 1), np.arange(width + 1)], 1)
    shares = np.array(_to_shares(polygon, (width, width)).split(), np.float32)
    np.testing.assert_array_equal((shares * np.float32(width)).astype(int), polygon.ravel())


def test_random_masks_of_one_part_differ_by_one_pixel_at_their_boundary():
    rng = np.random.default_rng(3)
    for _ in range(50):
        mask = binary_dilation(rng.random((40, 60)) > 0.995, iterations=int(rng.integers(2, 6)))
        drawn = draw(to_polygon(mask).reshape(-1, 2), mask.shape) if mask.any() else mask
        assert (drawn >= mask).all()


def test_shares_of_a_split_and_images_go_together(export_as):
    root = export_as("yolo-seg", shares=SplitShares(0.5, 0.3, 0.2))
    for file in root.glob("labels/*/*.txt"):
        [image] = (root / "images" / file.parent.name).glob(f"{file.stem}.*")
        assert image.stem == file.stem


def test_a_label_may_hold_what_yaml_does_not(export_as, store, correction_store):
    send(store, event(annotation(30, 30, [brush("n", box(4, 4), "n", label="a\uffffb\ufffe")])))
    correction_store.read_events()
    data = yaml.safe_load((export_as("yolo-seg") / "data.yaml").read_text(encoding="utf-8"))
    assert r"a\uffffb\ufffe" in data["names"].values()
