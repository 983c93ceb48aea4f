"""What `ris bench export` measures, on few regions."""

import json

import pytest

from backend.exporters.formats import FORMATS
from benchmarks.exporting import PER_TASK, measure, to_json, to_markdown


@pytest.mark.slow
def test_every_region_is_exported_and_what_it_took_is_told(tmp_path):
    said: list[str] = []
    costs = measure(tmp_path, 2 * PER_TASK, ("coco", "hf"), said.append)
    assert said == ["Recording 40 regions", "Exporting coco", "Exporting hf"]
    assert [(cost.format, cost.targets) for cost in costs] == [("coco", 40), ("hf", 40)]
    coco, hf = costs
    assert 2 * 80_000 < coco.folder_bytes < hf.folder_bytes  # a picture in each row
    assert all(2**26 < cost.peak_bytes < 2**30 and cost.seconds > 0 for cost in costs)
    assert json.loads(to_json(costs))[0]["targets"] == 40
    assert "| `coco` | 40 | 0.1" in to_markdown(costs)
    assert not {*FORMATS} & {file.name for file in tmp_path.iterdir()}
