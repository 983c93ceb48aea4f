"""What is in a data set, and what is not: categories, sentences, empty images, images that came twice, and honest counts."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image as Pil

from backend.db.tables import answer
from backend.exporters.categories import Categories, read_labels
from backend.exporters.refcoco import split_words
from backend.exporters.splits import SplitShares
from ris_core.errors import BadInput
from ris_core.evaluation.refer import read_refer
from tests.backend.corrections.made import CONFIG, annotation, box, brush, event, hand_out, rle, send
from tests.backend.exporters.conftest import PROMPT, png
from tests.backend.exporters.refer_reader import Refer

LABELS = ("Zebra", "object", "Ape")


def labelled(body: str) -> str:
    """An event of a project whose label config has these labels."""
    event = json.loads(body)
    labels = "".join(f'<Label value="{name}"/>' for name in LABELS)
    event["project"]["label_config"] = re.sub(r"<Label value=[^/]*/>", labels, CONFIG, count=1)
    return json.dumps(event)


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def records(folder: Path) -> list[dict[str, Any]]:
    return lines(folder / "records.jsonl")


def card(folder: Path, count: str) -> str:
    return re.search(rf"\| {re.escape(count)} \| (.*) \|", (folder / "README.md").read_text())[1]


def add(store, correction_store, *bodies: str) -> None:
    send(store, *bodies)
    correction_store.read_events()


@pytest.mark.parametrize("format", ["coco", "coco-polygons"])
def test_all_splits_have_one_table_of_categories_in_the_order_of_the_label_config(
    export_as, store, correction_store, format
):
    made = [(30 + i, label) for i, label in enumerate(["Ape", "", "Zebra", "Worm", "object"] * 4)]
    for task, label in made:
        add(
            store,
            correction_store,
            labelled(event(annotation(task, task, [brush(f"n{task}", box(0, 0), label=label)]))),
        )
    files = list((export_as(format, shares=SplitShares(0.4, 0.3, 0.3)) / "annotations").iterdir())
    tables = [[category["name"] for category in read(file)["categories"]] for file in files]
    assert len(tables) == 3
    assert tables[0] == tables[1] == tables[2]
    known = [label for label in tables[0] if label != "unlabelled"]
    assert known[: len(LABELS)] == list(LABELS)
    assert known[len(LABELS) :] == ["Dog", "Object", "Worm"]  # regions have them, the config does not
    for file in files:
        content = read(file)
        names = {category["id"]: category["name"] for category in content["categories"]}
        for one in content["annotations"]:
            if (task := int(one["sources"][0]["task"])) in dict(made):
                assert names[one["category_id"]] == (dict(made)[task] or "unlabelled")


def test_what_has_no_label_is_never_in_the_category_of_one():
    categories = Categories(["Unlabelled", "object", "Unlabelled"])
    assert [categories.id_of(label) for label in ("object", "", "new", "")] == [2, 3, 4, 3]
    assert categories.list_names() == ["Unlabelled", "object", "unlabelled_", "new"]


def test_labels_that_files_cannot_tell_apart_are_one_category():
    categories = Categories(["half \ufffd"])
    assert categories.id_of("half \ud800") == 1


def test_the_labels_of_a_project_without_events_are_those_of_its_connection(store, correction_store):
    from backend.db.project_store import ProjectConnection

    store.projects.save_connection(ProjectConnection(999, None, None, CONFIG))
    with correction_store.reading() as db:
        assert read_labels(db, 999) == ["Object"]
        assert read_labels(db, 1000) == []


def test_every_text_of_a_region_is_a_sentence_and_no_note_is(export_as, store, correction_store):
    def text(name: str, *entries: str) -> dict[str, Any]:
        return {"id": "n", "type": "textarea", "from_name": name, "to_name": "image", "value": {"text": list(entries)}}

    drawn = [brush("n", box(0, 0)), text("expression", "one", "two"), text("comment", "for us only")]
    add(store, correction_store, event(annotation(30, 30, drawn)))
    folder = export_as("jsonl")
    assert [line["sentences"] for line in records(folder) if "one" in line["sentences"]] == [["one", "two"]]
    assert not any("for us only" in file.read_text() for file in folder.glob("*.*") if file.is_file())


def test_what_shape_was_drawn_is_told(export_as, store, correction_store):
    sides = {"x": 0, "y": 0, "width": 50, "height": 50, "rectanglelabels": ["Object"]}
    drawn = {**brush("n", box(0, 0), "flat"), "type": "rectanglelabels", "value": sides}
    point = {**brush("k", box(0, 0)), "type": "keypoint", "value": {"x": 1, "y": 1, "width": 1}}
    add(store, correction_store, event(annotation(30, 30, [drawn, point])))
    folder = export_as("jsonl")
    [flat] = [line for line in records(folder) if line["sentences"] == ["flat"]]
    assert flat["sources"][0]["shape"] == "rectangle"
    assert "| rectangle | 1 |" in (folder / "README.md").read_text()
    assert {"task": "30", "annotation": 30, "why": "region k: a point has no mask"} in lines(folder / "left-out.jsonl")


def test_grefcocos_images_lie_where_its_loaders_look(export_as):
    refer = Refer(export_as("grefcoco"), "grefcoco", "unc", "grefs")
    assert all(refer.image_file(ref).is_file() for ref in refer.refs)
    for item in read_refer(refer.images_folder.parents[1], "grefcoco", "train").items:
        assert item.load().image.pixels.shape[2] == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("The dog's left-hand bowl!", ["the", "dog's", "left-hand", "bowl"], id="English"),
        pytest.param("लाल कुर्सी पर बैठी महिला", ["लाल", "कुर्सी", "पर", "बैठी", "महिला"], id="Hindi"),
        pytest.param("ผู้ชาย ที่ยืน", ["ผู้ชาย", "ที่ยืน"], id="Thai"),
        pytest.param("الكَلْبُ، الأَسْوَد", ["الكَلْبُ", "الأَسْوَد"], id="vowelled Arabic"),
        pytest.param("cafe\u0301 noir", ["caf\u00e9", "noir"], id="decomposed"),
        pytest.param("می\u200cروم خانه", ["می\u200cروم", "خانه"], id="a joiner inside a word"),
        pytest.param("左边的狗，红色", ["左边的狗", "红色"], id="Chinese"),
        pytest.param("no_3 №5 ½", ["no_3", "5", "½"], id="digits"),
        pytest.param("- ' ’", [], id="signs only"),
    ],
)
def test_words_of_any_script_are_whole(text, words):
    assert split_words(text) == words


@pytest.mark.parametrize("format", ["coco", "refcoco", "grefcoco"])
def test_an_image_that_was_saved_empty_is_listed_and_one_whose_regions_were_left_out_is_not(
    export_as, store, correction_store, format
):
    wrong_size = brush("w", box(0, 0, size_hw=(60, 60)), "of another size")
    add(
        store,
        correction_store,
        event(annotation(30, 30, [])),
        event(annotation(31, 31, [wrong_size])),
        event(annotation(32, 32, [], was_cancelled=True)),
        event(annotation(33, 33, [{**brush("k", box(0, 0)), "type": "ellipse", "value": {"radiusX": "?"}}])),
    )
    folder = export_as(format)
    [file] = folder.rglob("instances.json")
    addresses = {image["address"]: image["id"] for image in read(file)["images"]}
    assert "/data/30.png" in addresses
    assert addresses.keys().isdisjoint({"/data/31.png", "/data/32.png", "/data/33.png"})
    assert addresses["/data/30.png"] not in {one["image_id"] for one in read(file)["annotations"]}
    assert card(folder, "images that were saved empty") == "1"
    assert {line["task"] for line in lines(folder / "left-out.jsonl")} >= {"31", "33"}
    assert [
        line["sentences"] for line in records(export_as("jsonl")) if line["image"]["address"] == "/data/30.png"
    ] == [[]]


def test_an_image_of_which_an_earlier_version_did_not_note_what_it_could_not_read_is_not_called_empty(
    export_as, store, correction_store
):
    add(store, correction_store, event(annotation(30, 30, [])))
    with store._engine.begin() as db:
        db.exec_driver_sql("UPDATE annotation_version SET problems = NULL WHERE task = '30'")
    assert card(export_as("coco"), "images that were saved empty") == "0"


def test_an_image_that_was_uploaded_twice_has_its_things_once(export_as, store, correction_store):
    first = annotation(30, 30, [brush("a", box(0, 0), "the dog"), brush("b", box(20, 0), "the cat")])
    second = annotation(31, 31, [brush("c", box(0, 0, 10, 9), "the brown dog"), brush("d", box(20, 15), "a bowl")])
    add(store, correction_store, event(first), event(second))

    def same(address: str, task: str) -> bytes:
        return png("same" if task in ("30", "31") else address, task)

    found = [line for line in records(export_as("jsonl", fetch=same)) if line["mask"]]
    found = [line for line in found if line["sources"][0]["task"] in ("30", "31")]
    assert sorted(sorted(line["sentences"]) for line in found) == [
        ["a bowl"],
        ["the brown dog", "the dog"],
        ["the cat"],
    ]
    assert {line["agreement"] for line in found} == {1.0}
    files = read(export_as("coco", fetch=same) / "annotations" / "instances.json")["images"]
    assert len({image["file_name"] for image in files}) == len(files)


def test_an_unannotated_task_whose_image_was_annotated_elsewhere_adds_no_predictions(
    export_as, store, correction_store
):
    hand_out(store, 20, [("m", 1)], [rle(0, 0)], kind="open", expression="the machine's")
    with store._engine.begin() as db:
        config = json.loads(event(annotation(1, 1, [])))["project"]["label_config"]
        body = json.dumps({"label_config": config, "data": {"image": "/data/1.png"}, "expressions": []})
        db.exec_driver_sql("UPDATE request SET body = ? WHERE task = '20'", (body,))
    folder = export_as("jsonl", source="both")
    assert not any(line["sources"][0]["task"] == "20" for line in records(folder) if line["mask"])
    assert {"task": "20", "why": "its image was annotated in task 1"} in lines(folder / "left-out.jsonl")


@pytest.mark.parametrize(
    ("format", "sentences", "absent", "unheld"),
    [("refcoco", 7, 0, 1), ("grefcoco", 6, 1, 0), ("coco", 7, 0, 1), ("masks", 7, 0, 1), ("jsonl", 7, 1, 0)],
)
def test_a_card_counts_the_sentences_of_the_files(export_as, format, sentences, absent, unheld):
    """Two things by one name are one sentence of gRefCOCO; only some formats have a place for what means nothing."""
    folder = export_as(format)
    assert card(folder, "sentences") == str(sentences)
    assert card(folder, "sentences that mean nothing in their image") == str(absent)
    assert card(folder, "recorded sentences that this format has no place for") == str(unheld)
    if format in ("refcoco", "grefcoco"):
        [refs] = folder.rglob("*refs(unc).json")
        assert sum(len(ref["sentences"]) for ref in read(refs)) == sentences + absent


@pytest.mark.parametrize("filters", [{"only": ("foreign",)}, {"only": ("edited",), "review": ("approved",)}])
def test_a_data_set_without_targets_is_an_error_unless_it_is_allowed(export_as, tmp_path, filters):
    with pytest.raises(BadInput, match=r"--allow-empty"):
        export_as("coco", **filters)
    assert not (tmp_path / "coco").exists()
    assert (export_as("coco", is_empty_allowed=True, **filters) / "README.md").exists()


def test_agreement_is_that_of_all_annotators_whatever_outcomes_are_asked_for(export_as, store, correction_store):
    """Two drew it: one corrected what was offered, the other drew by hand."""
    hand_out(store, 40, [("offered", 1)], [rle(0, 0)], expression="it", user=1)
    add(
        store,
        correction_store,
        event(annotation(40, 40, [brush("offered", box(0, 0, 10, 9), "it")])),
        event(annotation(41, 40, [brush("by hand", box(0, 0, 10, 9), "this")], completed_by=2)),
    )
    found = [line for line in records(export_as("jsonl", only=("edited",), min_agreement=1.0)) if line["mask"]]
    [mine] = [line for line in found if line["sources"][0]["task"] == "40"]
    assert (mine["agreement"], mine["sentences"]) == (1.0, ["it"])


def test_every_phase_tells_how_far_it_is(export_as):
    told: dict[str, list[tuple[int, int | None]]] = {}
    export_as("coco", report=lambda phase, done, total=None: told.setdefault(phase, []).append((done, total)))
    assert list(told) == ["Placing the images", "Writing", "Hashing the files"]
    assert told["Placing the images"] == [(number, 4) for number in range(4)]
    assert told["Writing"] == [(number, 3) for number in (1, 2, 3)]
    assert all(done < total for done, total in told["Hashing the files"])


def test_a_photo_in_cmyk_that_exif_turns_is_kept_upright(export_as):
    def photo(address: str, task: str) -> bytes:
        buffer, exif = io.BytesIO(), Pil.Exif()
        exif[0x0112] = 6
        Pil.new("CMYK", (30, 40), (0, 90, 90, 0)).save(buffer, "JPEG", exif=exif)
        return buffer.getvalue()

    [file] = (export_as("coco", fetch=photo) / "images").iterdir()
    with Pil.open(file) as opened:
        assert (opened.format, opened.mode, opened.size) == ("PNG", "RGB", (40, 30))


def test_categories_may_be_sentences(export_as):
    folder = export_as("coco", category="sentence")
    content = read(folder / "annotations" / "instances.json")
    names = {category["id"]: category["name"] for category in content["categories"]}
    found = sorted(names[one["category_id"]] for one in content["annotations"])
    assert found == sorted(["the Ring, left", "two parts", "a box", "the box", "x", "boxes", "boxes"])
    assert len(names) == len(set(names.values())) == 6
    assert sorted(str(line["target"]) for line in lines(folder / "provenance.jsonl")) == [
        "[1]",
        "[2]",
        "[3, 4]",
        "[5]",
        "[6]",
        "[7]",
    ]
    assert card(folder, "targets") == "6"
    with pytest.raises(BadInput, match=r"--category sentence is for coco"):
        export_as("refcoco", category="sentence")


def test_a_note_that_begins_like_an_expression_of_nothing_is_none(export_as, store, correction_store):
    note = {**PROMPT, "from_name": "comment", "id": "c", "value": {"text": ["none: to be checked again"]}}
    config = CONFIG.replace("</View>", '<TextArea name="comment" toName="image"/></View>', 1)
    body = json.loads(event(annotation(30, 30, [brush("n", box(0, 0), "n"), note])))
    body["project"]["label_config"] = config
    add(store, correction_store, json.dumps(body))
    assert "to be checked again" not in {name for line in records(export_as("jsonl")) for name in line["sentences"]}


@pytest.mark.parametrize(("is_calibrated", "is_told"), [(False, True), (True, False), (None, False)])
def test_a_card_names_the_versions_whose_scores_are_no_probabilities(export_as, store, is_calibrated, is_told):
    with store._engine.begin() as db:
        db.execute(sa.update(answer).values(is_calibrated=is_calibrated))
    card = (export_as("jsonl") / "README.md").read_text()
    assert "| answered by | v1 |" in card
    assert ("| scores are no probabilities of | v1 |" in card) is is_told
