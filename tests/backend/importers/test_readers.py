"""Data sets are read exactly, and nothing in them reaches outside of their folder."""

import json
import pickle
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from backend.exporters.splits import SplitShares
from backend.importers.json_stream import read_elements
from backend.importers.reading import read_data_set
from backend.importers.source import DataSource, find_file
from ris_core.errors import BadInput, UnknownName
from tests.backend.corrections.made import box
from tests.backend.exporters.test_formats import EXPECTED, lines


def by_sentence(source: DataSource) -> dict[str, np.ndarray]:
    masks: dict[str, np.ndarray] = {}
    for image in source.images():
        assert find_file(image.folder, image.name, "it").is_file()
        for one in image.objects:
            for sentence in one.sentences or ("-",):
                masks[sentence] = masks.get(sentence, False) | one.draw()
    return masks


@pytest.mark.parametrize("format", ["refcoco", "grefcoco", "coco", "coco-polygons", "masks"])
def test_every_exported_mask_and_sentence_is_read(export_as, format):
    source = read_data_set(format.partition("-")[0], export_as(format))
    masks = by_sentence(source)
    unnamed = {} if "ref" in format else {"-": box(0, 15)}
    assert set(masks) == {*EXPECTED, "the box", *unnamed}
    for sentence, mask in {**EXPECTED, **unnamed}.items():
        np.testing.assert_array_equal(masks[sentence], mask)
    assert set(source.labels) <= {"Dog", "Object"}
    assert source.count == len(list(source.images()))


def test_what_means_nothing_is_read(export_as):
    source = read_data_set("grefcoco", export_as("grefcoco"))
    assert [text for image in source.images() for text in image.absent] == ["the zebra"]


def test_splits_are_read(export_as):
    given = {"shares": SplitShares(0.5, 0.0, 0.5)}
    exported = {line["split"] for line in lines(export_as("masks", **given) / "index.jsonl")}
    for format in ("masks", "coco", "refcoco"):
        source = read_data_set(format, export_as(format, f"{format}-again", **given))
        assert {image.split for image in source.images()} == exported


def test_an_image_is_known_by_its_id_and_its_content(export_as):
    folder = export_as("masks")
    before = {image.id: image.digest for image in read_data_set("masks", folder).images()}
    index = folder / "index.jsonl"
    index.write_text(index.read_text().replace("two parts", "three parts"))
    after = {image.id: image.digest for image in read_data_set("masks", folder).images()}
    assert before.keys() == after.keys()
    assert len([id for id in before if before[id] != after[id]]) == 1


VALUES = [0, -1.5e300, 'é\n"\\𝄞', [], {}, [[1, 2], {"a": [None, True]}], "x" * 200_000, 2**53]


@pytest.mark.parametrize("gap", ["", " \n", "\r\n\t" * 70_000])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_elements_are_those_of_the_whole_file(tmp_path, gap, mark):
    file = tmp_path / "a.json"
    parts = [json.dumps(value, ensure_ascii=False) for value in VALUES]
    listed = f"{gap},".join(parts)
    file.write_text(
        f'{mark}{gap}{{"info": {{"a": [1]}},{gap}"a"{gap}:[{listed}],{gap}"b": [],"c":[{parts[0]}]}}{gap}', newline=""
    )
    assert {name: list(read_elements(file, name)) for name in "abcd"} == {"a": VALUES, "b": [], "c": [0], "d": []}


@pytest.mark.parametrize(
    "text", ["", '{"a": [1,]}', '{"a": [1}', '{"a": [1]', '{"a" [1]}', '{"a": [1]} x', "{1: [1]}", "{" * 99]
)
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInput, match="is no JSON"):
        list(read_elements(tmp_path / "a.json", "a"))


@pytest.mark.parametrize("text", ["[1]", "{}", '{"images": {}}'])
def test_files_without_images_are_refused(tmp_path, text):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances.json").write_text(text)
    with pytest.raises(BadInput, match="no images are listed"):
        read_data_set("coco", tmp_path)


def test_a_large_file_is_not_in_memory(tmp_path):
    file = tmp_path / "a.json"
    with file.open("w") as stream:
        stream.write(
            '{"annotations": ['
            + ",".join(json.dumps({"id": i, "segmentation": [[i] * 60]}) for i in range(20_000))
            + "]}"
        )
    tracemalloc.start()
    assert sum(1 for _ in read_elements(file, "annotations")) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.stat().st_size > 5_000_000
    assert peak < 2_000_000


def one_image(root: Path, **annotation: object) -> Path:
    """COCO's files of one image of 8 x 6 pixels and one annotation."""
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    Pil.new("RGB", (8, 6)).save(root / "images" / "a.png")
    about = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 4, 0, 4, 3]], **annotation}
    content = {
        "images": [{"id": 1, "file_name": annotation.pop("file_name", "a.png"), "height": 6, "width": 8}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [about],
    }
    (root / "annotations" / "instances.json").write_text(json.dumps(content))
    return root


HOSTILE = {
    "a size that is not the image's": {"counts": "0", "size": [10**6, 10**6]},
    "run lengths that go beyond": {"counts": [10**9, 10**9], "size": [6, 8]},
    "run lengths that are cut": {"counts": "\x01", "size": [6, 8]},
    "corners far away": [[0, 0, 1e300, 0, 4, 3]],
    "corners that are no numbers": [[0, 0, None, 0, 4, 3]],
    "corners of text": [["0", "0", "4", "0", "4", "3"]],
    "a number": 7,
    "no size": {"counts": [48]},
    "a size that is no list": {"counts": [48], "size": 48},
    "run lengths that end early": {"counts": [3], "size": [6, 8]},
    "run lengths below 0": {"counts": [-1, 49], "size": [6, 8]},
}


@pytest.mark.parametrize("segmentation", HOSTILE.values(), ids=HOSTILE)
def test_a_segmentation_that_cannot_be_drawn_is_refused(tmp_path, segmentation):
    [image] = read_data_set("coco", one_image(tmp_path, segmentation=segmentation)).images()
    with pytest.raises(BadInput, match=r"segmentation|run lengths"):
        image.objects[0].draw()


@pytest.mark.parametrize("place", ["[[0, 0, 4, 0, 4, 3]]", '"dog"', "6"])
def test_nested_without_end_is_refused_before_it_takes_memory(tmp_path, place):
    root = one_image(tmp_path)
    file = root / "annotations" / "instances.json"
    file.write_text(file.read_text().replace(place, "[" * 100_000 + "]" * 100_000))
    tracemalloc.start()
    with pytest.raises(BadInput, match=r"instances.json is nested more than 100 deep.*such a depth"):
        read_data_set("coco", root)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def test_brackets_in_texts_are_not_nesting(tmp_path):
    texts = ["[" * 500, '\\"' + "{" * 500, "]" * 500 + "\\", "}" * 500 + '\\\\"' * 70_001]
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"b": texts, "a": [{t: [t]} for t in texts]}))
    assert list(read_elements(file, "a")) == [{t: [t]} for t in texts]


@pytest.mark.parametrize("shift", range(7))
def test_nesting_behind_texts_with_backslashes_is_found(tmp_path, shift):
    """Wherever a block of the file ends."""
    file = tmp_path / "a.json"
    text = json.dumps(" " * shift + '\\"' * 40_000)
    file.write_text(f'{{"a": [{text}, {"[" * 200}{"]" * 200}]}}')
    with pytest.raises(BadInput, match="nested more than 100 deep"):
        list(read_elements(file, "a"))


@pytest.mark.parametrize("element", ['"{}"', "[{}]", '{{"b": "{}"}}', "{}"], ids=["text", "list", "object", "number"])
def test_an_element_without_end_is_refused(tmp_path, monkeypatch, element):
    monkeypatch.setattr("backend.importers.json_stream.MAX_BYTES", 100_000)
    file = tmp_path / "a.json"
    inside = ("1," * 49_990 + "1") if element == "[{}]" else "1" * 99_980
    file.write_text('{"b": [0], "a": [0, ' + element.format(inside[: 1 if element == "{}" else None]) + ", 1]}")
    assert len(list(read_elements(file, "a"))) == 3
    file.write_text(
        '{"b": [0], "a": [0, ' + element.format(inside + (",1" * 200 if element == "[{}]" else "1" * 200)) + "]}"
    )
    with pytest.raises(BadInput, match=r"a value of more than 100,000 bytes.*smaller"):
        list(read_elements(file, "a"))


def test_a_line_of_masks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("backend.importers.masks.MAX_LINE_BYTES", 1000)
    line = json.dumps({"mask": "m", "image": "i", "label": "x" * 1000, "sentences": []})
    (tmp_path / "index.jsonl").write_text(line + "\n")
    with pytest.raises(BadInput, match=r"line at byte 0 .* has more than 1,000 bytes"):
        read_data_set("masks", tmp_path)


@pytest.mark.parametrize("name", ["grefcoco", "refcoco"])
def test_refs_that_are_nested_without_end_are_refused(export_as, name):
    folder = export_as(name)
    file = folder / name / ("grefs(unc).json" if name == "grefcoco" else "refs(unc).p")
    file.write_bytes(b"[" * 100_000 + b"]" * 100_000 if name == "grefcoco" else b"(l" * 100_000 + b"a" * 99_999 + b".")
    with pytest.raises(BadInput, match=r"nested|list of refs|not in the format"):
        read_data_set(name, folder)


def nested(depth: int) -> list:
    """A list that has 2^depth lists, of which few take memory."""
    return [nested(depth - 1)] * 2 if depth else []


@pytest.mark.parametrize("place", ["raw", "split"])
def test_refs_whose_texts_are_lists_in_lists_are_refused_in_no_time(export_as, place):
    folder = export_as("refcoco")
    file = folder / "refcoco" / "refs(unc).p"
    refs = pickle.loads(file.read_bytes())
    (refs[0]["sentences"][0] if place == "raw" else refs[0])[place] = nested(60)
    file.write_bytes(pickle.dumps(refs))
    with pytest.raises(BadInput, match=r"Ref 0 of .* is not in the format: .*a list is no text"):
        read_data_set("refcoco", folder)


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"p2147483647\n"], ids=["binary", "text"])
def test_a_pickle_that_asks_for_memory_is_refused(export_as, put):
    """The unpickler would take eight bytes for each number up to that of the value."""
    folder = export_as("refcoco")
    (folder / "refcoco" / "refs(unc).p").write_bytes(b"\x80\x02]" + put + b".")
    with pytest.raises(BadInput, match=r"numbers a value 2147483647, of [0-9]+ bytes"):
        read_data_set("refcoco", folder)


def test_a_text_is_not_a_list_of_sentences(tmp_path):
    [image] = read_data_set("coco", one_image(tmp_path, sentences="dog")).images()
    assert image.objects[0].sentences == ()


def test_crowds_and_uncompressed_run_lengths_are_read(tmp_path):
    crowd = {"counts": [2, 3, 43], "size": [6, 8]}
    [image] = read_data_set("coco", one_image(tmp_path, segmentation=crowd, iscrowd=1)).images()
    assert np.flatnonzero(image.objects[0].draw().T.ravel()).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    "name", ["../../secret.png", "/etc/passwd", "a/../../x", "..\\x", "link.png", "folder/secret.png"]
)
def test_no_file_outside_of_the_folder_is_opened(tmp_path, name):
    (tmp_path / "secret.png").touch()
    root = one_image(tmp_path / "set", file_name=name)
    (root / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "images" / "folder").symlink_to(tmp_path)
    [image] = read_data_set("coco", root).images()
    with pytest.raises(BadInput, match=r"no file below|leads out"):
        find_file(image.folder, image.name, "The file")


@pytest.mark.parametrize("name", ["circle.png", "half \ud800.png"], ids=ascii)
def test_a_name_that_cannot_be_opened_is_told(tmp_path, name):
    (tmp_path / "circle.png").symlink_to("circle.png")
    with pytest.raises(BadInput, match="cannot be opened"):
        find_file(tmp_path, name, "The file")


def test_a_mask_of_billions_of_pixels_is_refused(tmp_path, export_as):
    folder = export_as("masks")
    file = folder / lines(folder / "index.jsonl")[0]["mask"]
    content = file.read_bytes()
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + content[24:29]
    file.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    assert re.search("60000|3600000000", first_problem(folder))


def test_no_mask_outside_of_the_folder_is_opened(tmp_path, export_as):
    folder = export_as("masks")
    Pil.new("L", (40, 30)).save(tmp_path / "secret.png")
    line = {**lines(folder / "index.jsonl")[0], "mask": "../secret.png"}
    (folder / "index.jsonl").write_text(json.dumps(line) + "\n")
    assert "no file below" in first_problem(folder)


@pytest.mark.parametrize("content", [None, b"", b"no picture"], ids=["gone", "empty", "damaged"])
def test_an_image_without_its_mask_is_left_out_and_the_others_are_read(export_as, content):
    folder = export_as("masks")
    mask = folder / lines(folder / "index.jsonl")[0]["mask"]
    mask.unlink() if content is None else mask.write_bytes(content)
    assert str(mask) in first_problem(folder)


def first_problem(folder: Path) -> str:
    """Why the first image cannot be imported; all others can."""
    source = read_data_set("masks", folder)
    problem, *others = [image.problem for image in source.images()]
    assert others == [""] * (source.count - 1)
    return problem


class Run:
    def __reduce__(self) -> tuple:
        return print, ("ran",)


def test_a_pickle_runs_nothing(export_as, capsys):
    folder = export_as("refcoco")
    (folder / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps([Run()]))
    with pytest.raises(BadInput, match="could run code"):
        read_data_set("refcoco", folder)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "line", ["x", "[1]", '{"mask": "a"}', '{"mask": 1, "image": "a", "label": "", "sentences": []}']
)
def test_a_line_that_is_not_in_the_format_is_named(tmp_path, line):
    (tmp_path / "index.jsonl").write_text(line + "\n")
    with pytest.raises(BadInput, match="line at byte 0"):
        read_data_set("masks", tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"no annotations/instances\*\.json"):
        read_data_set("coco", tmp_path)
    with pytest.raises(BadInput, match="refs"):
        read_data_set("refcoco+", tmp_path)
    with pytest.raises(BadInput, match="is no folder"):
        read_data_set("coco", tmp_path / "x")
    with pytest.raises(UnknownName, match="Available: refcoco, refcoco"):
        read_data_set("voc", tmp_path)
