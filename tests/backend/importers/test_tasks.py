"""What an import sends to Label Studio, and how it is stopped and started."""

import io
import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from backend.importers.importing import ImageSettings, _Uploads, read_image
from backend.importers.journal import SETTLE_S, ImportJournal
from backend.importers.new_project import make_label_config
from backend.importers.reading import read_data_set
from backend.importers.source import DataSource
from backend.importers.tasks import ImportTarget, choose_labels, make_task
from backend.label_studio.drawn_regions import read_drawn
from backend.label_studio.label_config import read_config
from backend.label_studio.task_import import ImportClient
from ris_core.errors import BadInput
from ris_core.geometry.masks import from_rle
from tests.backend.importers.test_readers import one_image

ROOT = Path(__file__).parents[3]
DOG = read_config(make_label_config(("dog", "Traffic light")))


def target(config=DOG, kind="annotations", **labels: str) -> ImportTarget:
    return ImportTarget(3, config, kind, "set", {"dog": "dog", **labels})


def source_of(root: Path) -> DataSource:
    return read_data_set("coco", root)


def images_of(root: Path, **annotation: object):
    return list(source_of(one_image(root, **annotation)).images())


def test_each_sentence_is_a_region_with_the_same_mask(tmp_path):
    [image] = images_of(tmp_path, sentences=["the dog ", "e\u0301"])
    task, problems = make_task(image, "/a", "coco", target())
    regions, _ = read_drawn(task["annotations"][0]["result"])
    assert [region.expression for region in regions] == ["the dog", "e\u0301"]
    assert task["annotations"][0]["result"][0]["meta"]["text"] == ["the dog "]
    for region in regions:
        np.testing.assert_array_equal(from_rle(region.mask), image.objects[0].draw())
    assert task["data"]["expression"] == "the dog ; e\u0301"
    assert task["data"]["ris_import"] == f"coco/set/instances/1#{image.digest}"
    assert problems == []
    assert make_task(image, "/a", "coco", target()) == (task, problems)  # ids too


def test_a_task_with_an_object_without_a_sentence_has_no_expression(tmp_path):
    """Its region would be called by it."""
    [image] = images_of(tmp_path)
    task, _ = make_task(image, "/a", "coco", target())
    assert "expression" not in task["data"]
    assert "text" not in task["annotations"][0]["result"][0]["meta"]


def test_a_name_that_no_address_can_hold_is_told(tmp_path):
    [image] = images_of(tmp_path)
    with closing(ImportClient("http://127.0.0.1:9")) as studio:
        uploads = _Uploads(studio, 3, ImageSettings("https://host/folder", 10**6))
        assert uploads.place(replace(image, name="a b/ü.png")) == "https://host/folder/a%20b/%C3%BC.png"
        with pytest.raises(BadInput, match="no address can hold"):
            uploads.place(replace(image, name="half \ud800.png"))


def test_an_object_of_a_category_that_is_not_listed_is_told(tmp_path):
    [image] = images_of(tmp_path, category_id=99)
    task, [problem] = make_task(image, "/a", "coco", target())
    assert "annotations" not in task
    assert "category that the data set does not list" in problem


def test_an_empty_mask_and_one_that_cannot_be_drawn_are_told(tmp_path):
    for number, (segmentation, words) in enumerate((([], "has no pixels"), (7, "must be|no numbers"))):
        [image] = images_of(tmp_path / str(number), segmentation=segmentation)
        task, [problem] = make_task(image, "/a", "coco", target())
        assert "annotations" not in task
        assert any(word in problem for word in words.split("|"))


def test_halves_of_surrogates_are_sent_as_utf8_can_hold_them(tmp_path):
    [image] = images_of(tmp_path, sentences=["\ud83d x"])
    task, _ = make_task(image, "/a", "coco", target())
    assert json.dumps(task, ensure_ascii=False).encode()


def test_categories_find_their_labels():
    config = read_config(
        '<View><Image name="i" value="$image"/><BrushLabels name="b" toName="i"><Label value="Dog"/></BrushLabels></View>'
    )
    source = DataSource("coco", ("dog", "a cat"), 0, lambda: iter(()))
    assert choose_labels(source, config.controls[0], "Project 3") == {"dog": "Dog", "a cat": "Dog"}
    with pytest.raises(BadInput, match="Project 3 has no label for the categories 'a cat'"):
        choose_labels(source, DOG.controls[0], "Project 3")


@pytest.mark.parametrize("labels", [(), ("",), ("dog",), ("\"<&>'", "日本", "a" * 200), ("a;b", "c:d")])
def test_a_new_project_has_a_label_for_each_category(labels):
    config = read_config(make_label_config(labels))
    assert config.controls[0].labels == (labels if labels and labels[0] else ("Object",))
    assert config.prompts == ("prompt",)
    source = DataSource("coco", labels, 0, lambda: iter(()))
    assert list(choose_labels(source, config.controls[0], "It")) == list(labels or ("",))


def test_an_image_that_exif_turns_is_uploaded_as_its_annotations_see_it(tmp_path):
    root = one_image(tmp_path)
    exif = Pil.Exif()
    exif[0x0112] = 6
    pixels = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)
    Pil.fromarray(pixels).save(root / "images" / "a.png", exif=exif)
    [image] = source_of(root).images()
    content, suffix = read_image(image, 10_000)
    opened = Pil.open(io.BytesIO(content))
    assert suffix == ".png"
    assert 0x0112 not in opened.getexif()
    np.testing.assert_array_equal(np.asarray(opened), pixels)


@pytest.mark.parametrize("size", [(6, 8), (80, 60)])
def test_an_image_of_another_size_is_left_out(tmp_path, size):
    root = one_image(tmp_path)
    Pil.new("RGB", size).save(root / "images" / "a.png")
    [image] = source_of(root).images()
    with pytest.raises(BadInput, match="its annotations say"):
        read_image(image, 10**6)


@pytest.mark.parametrize("url", [None, "https://host"])
def test_an_image_with_a_problem_is_left_out_with_the_reason(tmp_path, url):
    [image] = images_of(tmp_path)
    with closing(ImportClient("http://127.0.0.1:9", "token")) as studio:
        uploads = _Uploads(studio, 3, ImageSettings("https://host", 10**6))
        uploads._images = ImageSettings(url, 10**6)
        with pytest.raises(BadInput, match=r"^its mask is gone$"):
            uploads.place(replace(image, problem="its mask is gone"))


def test_what_a_killed_import_sent_is_waited_for(tmp_path):
    with ImportJournal(tmp_path, "http://studio", 3) as journal:
        assert journal.pending() == (frozenset(), 0.0)
        journal.begin(["a", "b"])
        keys, left_s = journal.pending()
        assert keys == {"a", "b"}
        assert SETTLE_S - 5 < left_s <= SETTLE_S
    file = next(tmp_path.glob("*.json"))
    content = json.loads(file.read_text())
    with ImportJournal(tmp_path, "http://studio", 3) as journal:
        for sent_at, expected in ((time.time() - 2 * SETTLE_S, 0.0), (time.time() + 9e9, SETTLE_S)):
            file.write_text(json.dumps({**content, "sent_at": sent_at}))
            assert journal.pending()[1] == expected
        file.write_text("[1")
        with pytest.raises(BadInput, match="cannot be read"):
            journal.pending()
        file.write_text(json.dumps(content))
        journal.end()
        assert journal.pending() == (frozenset(), 0.0)


def test_two_imports_into_one_project_are_refused(tmp_path):
    program = "import sys; from pathlib import Path; from backend.importers.journal import ImportJournal\n"
    program += "with ImportJournal(Path(sys.argv[1]), 'http://studio', 3): pass"
    with ImportJournal(tmp_path, "http://studio", 3):
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
    assert "Another import writes to project 3" in done.stderr
