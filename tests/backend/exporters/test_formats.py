"""Every format, read back by others, mask by mask."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil
from pycocotools import mask as pycocotools
from pycocotools.coco import COCO

from backend.exporters.splits import SplitShares
from ris_core.evaluation.refer import read_refer
from ris_core.geometry.masks import from_rle
from tests.backend.corrections.made import HEIGHT, WIDTH, box
from tests.backend.exporters.conftest import PARTS, RING
from tests.backend.exporters.refer_reader import Refer

EXPECTED = {
    "the Ring, left": RING,
    "two parts": PARTS,
    "a box": box(0, 0, 10),
    "x": box(20, 0),
    "boxes": box(0, 0) | box(20, 0),
}
"""By what they are called; "boxes" are two things. "the box" is another name of "a box"."""


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_refcoco_is_what_the_refer_interface_reads(export_as):
    refer = Refer(export_as("refcoco"), "refcoco", "unc")
    found = {}
    for ref in refer.refs:
        assert refer.annotations[ref["ann_id"]]["image_id"] == ref["image_id"]
        assert refer.annotations[ref["ann_id"]]["category_id"] == ref["category_id"]
        assert ref["sent_ids"] == [sentence["sent_id"] for sentence in ref["sentences"]]
        mask = refer.mask(ref["ann_id"])
        assert mask.max() == 1  # parts do not overlap
        assert np.array(Pil.open(refer.image_file(ref))).shape[:2] == mask.shape
        for sentence in ref["sentences"]:
            found[sentence["raw"]] = found.get(sentence["raw"], 0) | mask
    assert set(found) == {*EXPECTED, "the box"}
    for name, mask in EXPECTED.items():
        np.testing.assert_array_equal(found[name], mask)


def test_refcocos_sentences_have_their_cleaned_form_and_words(export_as):
    refs = json.loads((export_as("refcoco") / "refcoco" / "refs(unc).json").read_text())
    [first] = [ref for ref in refs if ref["sentences"][0]["raw"] == "the Ring, left"]
    assert first["sentences"][0]["sent"] == "the ring left"
    assert first["sentences"][0]["tokens"] == ["the", "ring", "left"]
    assert len({sentence["sent_id"] for ref in refs for sentence in ref["sentences"]}) == 7


def test_regions_of_several_annotators_are_one_ref_with_the_newest_mask(export_as):
    refs = json.loads((export_as("refcoco") / "refcoco" / "refs(unc).json").read_text())
    assert [sorted(s["raw"] for s in ref["sentences"]) for ref in refs if len(ref["sentences"]) > 1] == [
        ["a box", "the box"]
    ]


def test_what_is_exported_can_be_evaluated(export_as):
    dataset = read_refer(export_as("refcoco"), "refcoco", "train")
    samples = {}
    for item in dataset.items:
        case = item.load()
        for sample in case.samples:
            samples[sample.text] = case.objects[list(sample.targets)].any(0)
    np.testing.assert_array_equal(samples["the Ring, left"], RING)
    np.testing.assert_array_equal(samples["two parts"], PARTS)


def test_grefcoco_has_several_targets_and_none_where_somebody_said_so(export_as):
    root = export_as("grefcoco")
    refer = Refer(root, "grefcoco", "unc", "grefs")
    found = {s["raw"]: ref["ann_id"] for ref in refer.refs for s in ref["sentences"]}
    assert found["the zebra"] == [-1]
    assert [ref["category_id"] for ref in refer.refs if ref["ann_id"] == [-1]] == [[-1]]
    for name, mask in EXPECTED.items():
        np.testing.assert_array_equal(np.sum([refer.mask(id) for id in found[name]], axis=0), mask)
    case = {s.text: s for item in read_refer(root, "grefcoco", "train").items for s in item.load().samples}
    assert (len(case["boxes"].targets), len(case["the zebra"].targets)) == (2, 0)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # pycocotools leaves it open
@pytest.mark.parametrize("format", ["coco", "coco-polygons"])
def test_coco_is_what_pycocotools_reads(export_as, format, capsys):
    root = export_as(format)
    coco = COCO(root / "annotations" / "instances.json")
    found = {}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        assert annotation["area"] == mask.sum()
        image = coco.loadImgs(annotation["image_id"])[0]
        assert Pil.open(root / "images" / image["file_name"]).size == (image["width"], image["height"])
        for name in annotation["sentences"] or ["-"]:
            found[name] = found.get(name, 0) | mask
    for name, mask in {**EXPECTED, "-": box(0, 15)}.items():
        np.testing.assert_array_equal(found[name], mask)
    assert {category["name"] for category in coco.loadCats(coco.getCatIds())} == {"Dog", "Object"}


def instances(root: Path) -> list[dict[str, Any]]:
    [file] = root.rglob("instances.json")
    return json.loads(file.read_text())["annotations"]


@pytest.mark.parametrize("format", ["refcoco", "grefcoco", "coco-polygons"])
def test_a_target_is_one_polygon_that_is_drawn_exactly(export_as, format):
    """With its holes and all its parts, and with the area and the box of the run lengths that COCO can hold instead."""
    found, expected = instances(export_as(format)), instances(export_as("coco"))
    assert len(found) == len(expected) == 7
    for one, other in zip(found, expected, strict=True):
        [polygon] = one["segmentation"]
        assert len(polygon) >= 6
        [drawn] = np.moveaxis(pycocotools.decode(pycocotools.frPyObjects([polygon], HEIGHT, WIDTH)), 2, 0)
        np.testing.assert_array_equal(drawn.astype(bool), from_rle(other["segmentation"]))
        assert {**one, "segmentation": None} == {**other, "segmentation": None}


def test_masks_are_pictures_of_black_and_white(export_as):
    root = export_as("masks")
    found = {}
    for line in lines(root / "index.jsonl"):
        mask = np.array(Pil.open(root / line["mask"]))
        assert set(np.unique(mask)) == {0, 255}
        assert (root / line["image"]).exists()
        for name in line["sentences"]:
            found[name] = found.get(name, False) | (mask > 127)
    for name, mask in EXPECTED.items():
        np.testing.assert_array_equal(found[name], mask)


def test_lines_leave_nothing_out(export_as):
    found = lines(export_as("jsonl") / "records.jsonl")
    masks = {name: from_rle(line["mask"]) for line in found if line["mask"] for name in line["sentences"]}
    np.testing.assert_array_equal(masks["the Ring, left"], RING)
    assert [line["sentences"] for line in found if line["mask"] is None] == [["the zebra"]]
    [ring] = [line for line in found if "the Ring, left" in line["sentences"]]
    assert ring["sources"] == [
        {
            "task": "1",
            "annotation": 1,
            "region": "ring",
            "annotator": 1,
            "updated_at": pytest.approx(1_790_000_100),
            "is_reviewed": False,
            "outcome": "edited",
            "model_version": "v1",
            "shape": "brush",
        }
    ]


@pytest.mark.parametrize("format", ["refcoco", "grefcoco", "coco", "yolo-seg", "hf", "masks", "jsonl"])
def test_beside_each_format_stands_what_is_not_in_it_and_a_card(export_as, format):
    root = export_as(format)
    assert lines(root / "unnamed.jsonl") == [{"task": "3", "annotation": 4, "region": "r8"}]
    assert [(line["task"], line.get("region")) for line in lines(root / "left-out.jsonl")] == [
        ("10", None),
        ("3", "elsewhere"),
    ]
    card = (root / "README.md").read_text()
    assert "| licence | CC0 |" in card
    assert re.search(r"\| targets \| 7 \|", card)
    assert len(lines(root / "provenance.jsonl")) == 7


class REFER(Refer):
    """As the `refer` API names what the card uses."""

    def __init__(self, data_root: str, dataset: str, splitBy: str) -> None:  # noqa: N803
        super().__init__(Path(data_root), dataset, splitBy)

    def getRefIds(self, split: str) -> list[int]:  # noqa: N802
        return [ref["ref_id"] for ref in self.refs if ref["split"] == split]

    def loadRefs(self, ids: list[int]) -> list[dict]:  # noqa: N802
        return [ref for ref in self.refs if ref["ref_id"] in ids]

    def getMask(self, ref: dict) -> dict:  # noqa: N802
        return {"mask": self.mask(ref["ann_id"])}


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # the card's few lines, and pycocotools, leave it open
@pytest.mark.parametrize("format", ["refcoco", "grefcoco", "coco", "coco-polygons", "hf", "masks", "jsonl"])
def test_the_card_says_how_the_format_is_read(export_as, format, monkeypatch, capsys, tmp_path):
    root = export_as(format, shares=SplitShares(1.0, 0.0, 0.0))
    [code] = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    monkeypatch.setitem(sys.modules, "refer", SimpleNamespace(REFER=REFER))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(root)
    names: dict[str, Any] = {}
    exec(code, names)
    assert (names["mask"].shape, names["mask"].any()) == (RING.shape, True)
