"""Parquet files that `datasets` writes and reads."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from datasets import ClassLabel, Image, List, Value, load_dataset
from PIL import Image as Pil
from pyarrow import parquet

from backend.exporters import hf
from ris_core.errors import BadInput
from ris_core.geometry.masks import from_rle
from tests.backend.corrections.made import HEIGHT, WIDTH, annotation, box, brush, event, hand_out, rle, send
from tests.backend.exporters.conftest import png


@pytest.fixture
def load(monkeypatch, tmp_path):
    """`load_dataset` of a folder, with a cache of its own."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    return lambda folder: load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


@pytest.fixture
def folder(export_as, store, correction_store):
    """The small project, a label in another script, and an image that was saved empty, in two splits."""
    data = {"image": "/30.png", "p": "val"}
    send(
        store,
        event(annotation(30, 30, [brush("n", box(4, 4), "लाल कुर्सी", label="犬")]), data=data),
        event(annotation(31, 31, []), data={"image": "/31.png", "p": "val"}),
    )
    correction_store.read_events()
    return export_as("hf", split_field="p")


def test_load_dataset_of_the_folder_gives_the_rows(folder, load, export_as):
    found = load(folder)
    assert list(found) == ["train", "val"]
    features = found["train"].features
    assert isinstance(features["image"], Image)
    assert isinstance(features["mask"], Image)
    assert features["sentences"] == List(Value("string"))
    assert isinstance(features["label"], ClassLabel)
    expected = [
        json.loads(line) for line in (export_as("jsonl", split_field="p") / "records.jsonl").read_text().splitlines()
    ]
    rows = [row for split in found.values() for row in split]
    assert len(rows) == len(expected) == 10
    for row, record in zip(sorted(rows, key=order), sorted(expected, key=order), strict=True):
        assert row["sentences"] == record["sentences"]
        assert row["image_key"] == record["image"]["key"]
        assert row["image"].size == (WIDTH, HEIGHT)
        assert row["image"].getpixel((0, 0)) == Pil.open(io.BytesIO(png(record["image"]["address"], ""))).getpixel(
            (0, 0)
        )
        if record["mask"] is None:
            assert (row["id"], row["mask"], row["label"]) == (None, None, None)
            continue
        np.testing.assert_array_equal(np.asarray(row["mask"]), from_rle(record["mask"]) * np.uint8(255))
        assert features["label"].int2str(row["label"]) == record["label"]
        assert (row["verified"], row["agreement"]) == (record["verified"], record["agreement"])


def order(row) -> tuple:
    return row["id"] or 0, row["sentences"], row.get("image_key") or row["image"]["key"]


def test_rows_are_named_in_the_provenance_and_pictures_are_in_the_rows_only(folder, load):
    ids = {json.loads(line)["target"] for line in (folder / "provenance.jsonl").read_text().splitlines()}
    assert ids == {row["id"] for split in load(folder).values() for row in split} - {None}
    assert sorted(file.name for file in folder.rglob("*.p*") if file.is_file()) == [
        "train-00000-of-00001.parquet",
        "val-00000-of-00001.parquet",
    ]
    assert not (folder / "images").exists()


def test_the_card_begins_with_what_the_hub_reads(export_as, load):
    card = (export_as("hf") / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    assert (head["pretty_name"], head["license"], head["license_name"]) == ("Small", "other", "CC0")
    assert card.split("---\n")[2].startswith("\n# Small\n")


def test_many_pictures_are_several_shards_whose_labels_agree(store, correction_store, export_as, load, monkeypatch):
    """A label of predictions is known only when it comes, after the first shard."""
    monkeypatch.setattr(hf, "SHARD_BYTES", 1)
    hand_out(store, 20, [("m", 1)], [rle(0, 0)], kind="open", expression="late", label="Late")
    config = json.loads(event(annotation(1, 1, [])))["project"]["label_config"]
    body = json.dumps({"label_config": config, "data": {"image": "/data/20.png"}, "expressions": []})
    with store._engine.begin() as db:
        db.exec_driver_sql("UPDATE request SET body = ? WHERE task = '20'", (body,))
    folder = export_as("hf", source="both")
    rows = load(folder)["train"]
    files = sorted(file.name for file in (folder / "data").iterdir())
    assert len(files) == len(rows) > 1
    assert files[-1] == f"train-{len(files) - 1:05}-of-{len(files):05}.parquet"
    assert {"Dog", "Late"} <= {rows.features["label"].int2str(row["label"]) for row in rows if row["label"] is not None}


def test_a_data_set_without_image_files_has_rows_without_images(export_as, load):
    rows = load(export_as("hf", images="none"))["train"]
    assert {row["image"] for row in rows} == {None}
    assert sum(row["mask"] is not None for row in rows) == 8  # one is of an image that cannot be fetched


def test_an_empty_data_set_has_a_shard_without_rows(export_as):
    allowed = {"source": "predictions", "review": ("approved",), "is_empty_allowed": True}
    [shard] = (export_as("hf", **allowed) / "data").iterdir()
    assert parquet.read_metadata(shard).num_rows == 0


def test_a_split_that_hugging_face_has_no_name_for_is_refused(export_as, store, correction_store, tmp_path):
    send(store, event(annotation(30, 30, [brush("n", box(0, 0), "n")]), data={"image": "/30.png", "p": "part-1"}))
    correction_store.read_events()
    with pytest.raises(BadInput, match=r"The split 'part-1' cannot be one of Hugging Face's"):
        export_as("hf", split_field="p")
    assert not (tmp_path / "hf").exists()


def test_what_is_linked_stays_in_the_pool(export_as, load, tmp_path):
    rows = load(export_as("hf", images="link"))["train"]
    assert {row["file_name"] for row in rows} <= {file.name for file in (tmp_path / "pool").iterdir()}


FULL_DISK = """
import errno, json, os, resource, signal, sys
from pathlib import Path
from backend.exporters.categories import Categories
from backend.exporters.hf import HfWriter
from backend.exporters.targets import AnnotatedImage, DatasetImage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
(folder / "images").mkdir()
writer = HfWriter(folder, Categories())
for number in range(15):
    (folder / "images" / f"{number}.png").write_bytes(os.urandom(90_000))
    writer.add(AnnotatedImage(DatasetImage(str(number), f"{number}.png", (1, 1), "", "train", ""), (), ("nothing",) * 20))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    writer.close({})
except OSError as error:
    print(error.errno == errno.EFBIG)
"""


def test_a_shard_that_cannot_be_written_is_an_error_like_any_other(tmp_path):
    """The Parquet library ends the process where the file that it writes to cannot be written."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
