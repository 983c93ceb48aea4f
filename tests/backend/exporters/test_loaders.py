"""The lines of the docs that read a data set with code that is not ours."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend.exporters.formats import FORMATS
from backend.exporters.splits import SplitShares
from tests.backend.exporters.refer_reader import Refer
from tests.command_blocks import ROOT

PAGE = (ROOT / "docs/leads/datasets.md").read_text(encoding="utf-8")
READERS = {
    reader: (tuple(re.findall("`(.*?)`", sentence.partition(".")[0])), code)
    for reader, sentence, code in re.findall(r"^\*\*(\w+)\*\*(.*?)\n\n```python\n(.*?)```", PAGE, re.M | re.S)
}
"""By reader: the formats that it reads, and the lines."""
OTHERS = ("supervision", "ultralytics", "datumaro")
"""Readers that are installed for the tests alone."""


class REFER(Refer):
    """As the `refer` and `grefer` modules name what the docs use."""

    def __init__(self, data_root: str, dataset: str, splitBy: str) -> None:  # noqa: N803
        super().__init__(Path(data_root), dataset, splitBy, "grefs" if dataset == "grefcoco" else "refs")

    def getRefIds(self, split: str) -> list[int]:  # noqa: N802
        return [ref["ref_id"] for ref in self.refs if ref["split"] == split]

    def loadRefs(self, ids: list[int]) -> list[dict]:  # noqa: N802
        return [ref for ref in self.refs if ref["ref_id"] in ids]

    def getMask(self, ref: dict) -> dict:  # noqa: N802
        return {"mask": self.mask(ref["ann_id"])}

    def getMaskByRef(self, ref: dict, merge: bool) -> dict:  # noqa: N802
        return {"mask": sum(map(self.mask, ref["ann_id"])).clip(0, 1)}


def test_every_format_has_a_reader_in_the_docs():
    assert {format for formats, _ in READERS.values() for format in formats} == set(FORMATS)
    assert set(READERS) == {
        *OTHERS, "refer", "grefer", "pycocotools", "torchvision", "datasets", "json", "Pillow",
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a few lines leave it open
@pytest.mark.parametrize(
    ("reader", "format"),
    [(reader, format) for reader, (formats, _) in READERS.items() if reader not in OTHERS for format in formats],
)
def test_the_lines_read_a_mask(export_as, reader, format, monkeypatch, tmp_path, capsys):
    export_as(format, "fruit", shares=SplitShares(1.0, 0.0, 0.0))
    monkeypatch.setitem(sys.modules, "refer", SimpleNamespace(REFER=REFER))
    monkeypatch.setitem(sys.modules, "grefer", SimpleNamespace(G_REFER=REFER))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(READERS[reader][1], names)
    if reader == "torchvision":
        assert (names["image"].size, bool(names["annotations"])) == ((40, 30), True)
    elif reader == "json":
        assert len(names["masks"]) == 7
    else:
        mask = names["mask"]
        assert mask.size == (40, 30) if hasattr(mask, "getbbox") else mask.shape == (30, 40)


@pytest.mark.slow
def test_supervision_draws_run_lengths_exactly(export_as, supervision, tmp_path):
    export_as("coco", "fruit", shares=SplitShares(1.0, 0.0, 0.0))
    code = READERS["supervision"][1]
    printed = supervision.run(
        f"{code}\nprint(sorted(int(one.sum()) for *_, each in data for one in each.mask))", tmp_path
    )
    assert eval(printed) == [50, 100, 100, 100, 100, 100, 128]


@pytest.mark.slow
def test_ultralytics_reads_a_polygon(export_as, ultralytics, tmp_path):
    export_as("yolo-seg", "fruit", shares=SplitShares(1.0, 0.0, 0.0))
    printed = ultralytics.run(f"{READERS['ultralytics'][1]}\nprint('READ', polygon.shape)", tmp_path)
    assert re.search(r"READ \(\d+, 2\)", printed)


@pytest.mark.slow
def test_datumaro_reads_and_converts(export_as, datumaro, tmp_path):
    export_as("coco", "fruit", shares=SplitShares(1.0, 0.0, 0.0))
    printed = datumaro.run(f"{READERS['datumaro'][1]}\nprint(sum(len(one.annotations) for one in data))", tmp_path)
    assert printed == "14\n"  # a mask and a box for each target
    assert (tmp_path / "fruit-cvat" / "train.xml").read_text().count("<mask ") == 7
