import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pil

from backend.base.errors import ImageUnreachable
from backend.exporters.splits import SplitGroups, SplitShares
from ris_core.errors import BadInput, UnknownName
from ris_core.geometry.masks import from_rle
from tests.backend.corrections.made import annotation, box, brush, event, hand_out, rle, send
from tests.backend.exporters.conftest import PROMPT, png

FORMATS = ("refcoco", "grefcoco", "coco", "coco-polygons", "yolo-seg", "hf", "masks", "jsonl")


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]


def names(folder: Path) -> set[str]:
    return {name for line in records(folder) for name in line["sentences"]}


def digest(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_corrections_give_the_same_bytes(export_as, format):
    given = {"shares": SplitShares(0.6, 0.2, 0.2), "hard_negatives": True}
    first, second = (digest(export_as(format, name, **given)) for name in ("a", "b"))
    assert len(first) >= 4
    assert first == second


def test_only_some_outcomes(export_as):
    assert names(export_as("jsonl", "edited", only=("edited",))) == {"the Ring, left", "the zebra"}
    assert names(export_as("jsonl", "accepted", only=("accepted",))) == {"the zebra"}


def test_only_what_enough_annotators_agree_on(export_as):
    found = names(export_as("jsonl", min_agreement=0.75))
    assert "a box" in found
    assert "x" not in found  # one of two
    assert "boxes" not in found  # one of two


def test_a_reviewed_mask_counts_before_a_newer_one(export_as, store, project):
    reviewed = annotation(8, 30, [brush("r", box(0, 0, 9), "thing")], at=100, ground_truth=True)
    newer = annotation(9, 30, [brush("n", box(0, 0, 10), "it")], at=200, completed_by=2)
    send(store, event(reviewed), event(newer))
    project.read_events()
    [record] = [line for line in records(export_as("jsonl")) if line["sentences"] == ["thing", "it"]]
    assert from_rle(record["mask"]).sum() == 90


def test_an_expression_that_somebody_drew_a_mask_for_is_not_absent(export_as, store, project):
    drawn = annotation(8, 30, [brush("r", box(0, 0), "the giraffe")])
    denied = annotation(9, 30, [{**PROMPT, "value": {"text": ["none: The  giraffe"]}}], completed_by=2)
    send(store, event(drawn), event(denied))
    project.read_events()
    folder = export_as("grefcoco")
    refs = json.loads((folder / "grefcoco" / "grefs(unc).json").read_text())
    assert [ref["ann_id"] == [-1] for ref in refs for one in ref["sentences"] if "giraffe" in one["raw"]] == [False]
    left_out = (folder / "left-out.jsonl").read_text()
    assert "means nothing" in left_out
    assert "the giraffe" in left_out.lower()


def test_what_a_machine_predicted_is_not_verified(export_as, store, project):
    hand_out(store, 20, [("m", 1)], [rle(5, 5)], kind="open", expression="the machine's")
    with store._engine.begin() as db:
        config = json.dumps({"label_config": json.loads(event(annotation(1, 1, [])))["project"]["label_config"]})
        body = json.loads(config) | {"data": {"image": "/20.png"}, "expressions": []}
        db.exec_driver_sql("UPDATE request SET body = ? WHERE task = '20'", (json.dumps(body),))
    both = records(export_as("jsonl", "both", source="both"))
    machine = [line for line in both if not line.get("verified", True)]
    assert [(line["sentences"], line["sources"][0]["region"]) for line in machine] == [(["the machine's"], "m")]
    assert sum(line.get("verified", False) for line in both) == 7
    predictions = records(export_as("jsonl", "predictions", source="predictions"))
    assert [line["sentences"] for line in predictions] == [["the machine's"]]


def test_hard_negatives_are_what_was_refused(export_as, store, correction_store, tmp_path):
    hand_out(store, 2, [("refused", 1)], [rle(25, 15)], kind="open", at=10, expression="the refused one")
    correction_store.judge_again(7, "2")
    lines = (export_as("jsonl", hard_negatives=True) / "hard-negatives.jsonl").read_text().splitlines()
    [refused] = map(json.loads, lines)
    assert (refused["expression"], refused["mask"]) == ("the refused one", rle(25, 15))
    assert (tmp_path / "jsonl" / "images" / refused["image"]).exists()


def test_images_are_copied_linked_or_left(export_as, tmp_path):
    copied = export_as("coco", "copied")
    linked = export_as("coco", "linked", images="link")
    left = export_as("coco", "left", images="none", fetch=None)
    pooled = {file.name: file.stat().st_ino for file in (tmp_path / "pool").iterdir()}
    assert {f.name: f.stat().st_ino for f in (linked / "images").iterdir()} == pooled
    assert digest(copied / "images") == digest(linked / "images")
    assert not (left / "images").exists()
    assert "images known by their address only | 2" in (left / "README.md").read_text()  # of two the bytes were seen


def test_a_photo_that_exif_turns_is_kept_upright(export_as):
    def photo(address: str, task: str) -> bytes:
        buffer, exif = io.BytesIO(), Pil.Exif()
        exif[0x0112] = 6
        Pil.new("RGB", (30, 40)).save(buffer, "JPEG", exif=exif)
        return buffer.getvalue()

    [file] = (export_as("coco", fetch=photo) / "images").iterdir()
    with Pil.open(file) as opened:
        assert (opened.size, opened.getexif().get(0x0112, 1)) == ((40, 30), 1)


def test_a_photo_that_lacks_its_end_is_kept_as_it_is_seen(export_as):
    """Other programs refuse it."""
    buffer = io.BytesIO()
    Pil.new("RGB", (40, 30), "red").save(buffer, "JPEG")
    [file] = (export_as("coco", fetch=lambda *_: buffer.getvalue()[:-2]) / "images").iterdir()
    with Pil.open(file) as opened:
        assert (opened.format, opened.size) == ("PNG", (40, 30))
        opened.load()


def _picture(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Pil.new(mode, size).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(_picture("EPS"), "PostScript", id="a kind that is not answered either"),
        pytest.param(_picture("PNG", (20_000, 10_000), "1"), "megapixels", id="too large for Pillow"),
        pytest.param(b"<!doctype html><html>", "web page", id="a page"),
        pytest.param(_picture("JPEG")[:300], "damaged", id="half a picture"),
    ],
)
def test_a_picture_that_is_not_answered_is_left_out_and_the_others_stay(export_as, content, says):
    folder = export_as("jsonl", fetch=lambda address, task: content if task == "1" else png(address, task))
    left_out = [json.loads(line) for line in (folder / "left-out.jsonl").read_text().splitlines()]
    assert [says in line["why"] for line in left_out if line["task"] == "1"] == [True]
    assert len(list((folder / "images").iterdir())) == len({line["image"]["key"] for line in records(folder)}) > 0


def test_the_split_hangs_on_the_image_alone(export_as, store, correction_store):
    shares = SplitShares(0.5, 0.25, 0.25)
    before = {line["image"]["key"]: line["split"] for line in records(export_as("jsonl", "before", shares=shares))}
    for task in range(30, 60):
        send(store, event(annotation(task, task, [brush(f"n{task}", box(0, 0), "new")])))
    correction_store.read_events()
    after = {line["image"]["key"]: line["split"] for line in records(export_as("jsonl", "after", shares=shares))}
    assert {key: after[key] for key in before} == before
    assert set(after.values()) == {"train", "val", "test"}


def test_one_image_of_two_tasks_is_in_one_split(export_as, store, correction_store):
    for task in range(30, 50):
        send(store, event(annotation(task, task, [brush(f"n{task}", box(0, 0), f"n{task}")])))
    correction_store.read_events()
    found = export_as("jsonl", shares=SplitShares(0.4, 0.3, 0.3), fetch=lambda address, task: png("the same", task))
    assert len({(line["image"]["key"], line["split"]) for line in records(found)}) == 1
    assert len({line["image"]["file"] for line in records(found)}) == 1


def test_a_field_of_the_task_may_name_the_split_and_the_group(export_as, store, correction_store):
    for task in range(30, 50):
        data = {"image": f"/{task}.png", "part": "val" if task % 2 else "test", "video": f"v{task % 4}"}
        send(store, event(annotation(task, task, [brush(f"n{task}", box(0, 0), f"n{task}")]), data=data))
    correction_store.read_events()
    named = {str(line["sentences"]): line["split"] for line in records(export_as("jsonl", "named", split_field="part"))}
    assert (named["['n30']"], named["['n31']"], named["['x']"]) == ("test", "val", "train")
    grouped = records(export_as("jsonl", "grouped", group_field="video", shares=SplitShares(0.4, 0.3, 0.3)))
    splits = {(line["group"], line["split"]) for line in grouped if line["group"]}
    assert len(splits) == 4


def test_an_image_in_two_named_splits_is_refused(export_as, store, correction_store):
    for task, part in ((30, "val"), (31, "test")):
        send(store, event(annotation(task, task, [brush(f"n{task}", box(0, 0), "n")]), data={"image": "/a", "p": part}))
    correction_store.read_events()
    with pytest.raises(BadInput, match=r"task 31 .*'val' and 'test'"):
        export_as("jsonl", split_field="p")


def test_groups_that_share_an_image_are_one():
    groups = SplitGroups([("a", "1"), ("b", "1"), ("b", "2"), ("c", "2"), ("d", "3"), ("e", "")])
    keys = [groups.key_of(image) for image in "abcde"]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] == "e"


@pytest.mark.parametrize("text", ["0.8", "0.8/0.2", "0.8/0.1/0.2", "a/b/c", "1.2/-0.1/-0.1"])
def test_shares_that_make_no_sense_are_refused(text):
    with pytest.raises(BadInput, match="--split"):
        SplitShares.read(text)


def test_what_exists_is_only_replaced_when_asked(export_as):
    folder = export_as("coco")
    with pytest.raises(BadInput, match="--replace"):
        export_as("coco")
    assert (export_as("coco", only=("edited",), is_replaced=True) / "README.md").exists()
    (folder / "mine").touch()
    with pytest.raises(BadInput, match="mine"):
        export_as("coco", is_replaced=True)
    assert (folder / "mine").exists()


SPLITS = [
    "../../../evil",
    "/tmp/evil",
    "..",
    "a/b",
    "a\\b",
    "x\x00y",
    "x\n",
    "x\x1b[2J",
    "\u202etrain",
    "a" * 300,
    "NUL",
    ".hid",
]


@pytest.mark.parametrize("split", SPLITS, ids=ascii)
def test_a_split_that_is_no_plain_name_is_refused_and_nothing_is_written(
    export_as, store, correction_store, tmp_path, split
):
    send(store, event(annotation(30, 30, [brush("n", box(0, 0), "n")]), data={"image": "/a", "p": split}))
    correction_store.read_events()
    before = sorted(str(one) for one in tmp_path.rglob("*"))
    for format in FORMATS:
        with pytest.raises(BadInput, match=r"split of task 30, its field 'p'") as refused:
            export_as(format, "deep/er/set", split_field="p", fetch=png)
        assert str(refused.value).isprintable()
        new = {str(one) for one in tmp_path.rglob("*")} - set(before)
        assert new <= {str(tmp_path / "deep"), str(tmp_path / "deep/er")}, format


def test_splits_that_are_one_file_on_some_disks_are_refused(export_as, store, correction_store):
    for task, part in ((30, "Val"), (31, "val")):
        data = {"image": f"/{task}", "p": part}
        send(store, event(annotation(task, task, [brush(f"n{task}", box(0, 0), "n")]), data=data))
    correction_store.read_events()
    with pytest.raises(BadInput, match=r"'Val' and 'val'"):
        export_as("coco", split_field="p")


def test_no_such_format(export_as):
    with pytest.raises(UnknownName, match=r"yolo.*refcoco"):
        export_as("yolo")


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # a writer that is dropped closes its file as it goes
def test_an_export_that_fails_leaves_nothing(export_as, tmp_path):
    def fail(phase: str, done: int, total: int | None = None) -> None:
        raise ImageUnreachable("the network is gone")

    with pytest.raises(ImageUnreachable):
        export_as("coco", report=fail)
    assert [file.name for file in tmp_path.iterdir() if "coco" in file.name] == []


KILLED = """
import sys, time
from pathlib import Path
from backend.corrections.store import open_correction_store
from backend.exporters.export import export
from backend.exporters.request import ExportFilter, ExportRequest
from tests.backend.exporters.conftest import PROMPT, png
url, folder = sys.argv[1:]
def hold(phase, done, total=None):
    if (phase, done) == ("Writing", 2):
        print("half", flush=True)
        time.sleep(60)
order = ExportRequest("masks", Path(folder), ExportFilter(7), "killed")
export(open_correction_store(url), order, fetch=png, pool=Path(folder), max_pixels=10**7, report=hold)
"""


@pytest.mark.slow
def test_a_killed_export_leaves_no_half_data_set_and_the_next_one_succeeds(export_as, project, tmp_path):
    url = project._engine.url.render_as_string()
    command = [sys.executable, "-c", KILLED, url, str(tmp_path / "masks")]
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": root}) as process:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "masks").exists()
    assert (tmp_path / ".masks.part").exists()
    assert len(list((export_as("masks") / "masks").iterdir())) == 7
    assert not (tmp_path / ".masks.part").exists()


def test_two_exports_to_one_place_do_not_meet(export_as):
    def again(phase: str, done: int, total: int | None = None) -> None:
        with pytest.raises(BadInput, match="Another export"):
            export_as("coco")
        seen.append(phase)

    seen: list[str] = []
    export_as("coco", report=again)
    assert seen


def test_refs_can_be_read_by_old_pythons(export_as):
    content = (export_as("refcoco") / "refcoco" / "refs(unc).p").read_bytes()
    assert content[:2] == b"\x80\x02"
    assert pickle.loads(content)[0]["ref_id"] == 0


NASTY = "$x$ | <b>bold</b>\n# [a](b) \ud800 \u2028 \x1b[2J `code`"


@pytest.mark.parametrize("format", FORMATS)
def test_text_of_any_kind_is_text_in_every_file(export_as, store, correction_store, tmp_path, format):
    drawn = [brush("n", box(0, 0), NASTY, label=NASTY), {**PROMPT, "value": {"text": [f"none: other {NASTY}"]}}]
    send(store, event(annotation(30, 30, drawn), data={"image": f"/{NASTY}", "video": NASTY}))
    correction_store.read_events()
    folder = export_as(format, only=(), group_field="video", hard_negatives=True)
    for file in folder.rglob("*"):
        if file.suffix == ".json":
            json.loads(file.read_text(encoding="utf-8"))
        elif file.suffix == ".jsonl":
            assert all(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "<b>" not in card
    assert "\x1b" not in card
    [row] = [line for line in card.splitlines() if "bold" in line]
    assert row.replace(r"\|", "").count("|") == 3


def test_a_title_and_a_licence_are_text(project, tmp_path):
    from backend.exporters.export import export
    from backend.exporters.request import ExportFilter, ExportRequest

    order = ExportRequest(
        "jsonl", tmp_path / "set", ExportFilter(7), title="a\n# b <script> | \udcff", licence="x | y\n| z | 1 |"
    )
    export(project, order, fetch=png, pool=tmp_path / "pool", max_pixels=10**7)
    lines = (tmp_path / "set" / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == r"# a # b &lt;script&gt; \| " + "\ufffd"
    assert r"| licence | x \| y \| z \| 1 \| |" in lines


def test_a_project_that_nothing_is_known_of_is_refused(project, store, tmp_path):
    from backend.db.project_store import ProjectConnection
    from backend.exporters.export import export
    from backend.exporters.request import ExportFilter, ExportRequest

    def write(is_allowed: bool = False) -> None:
        order = ExportRequest("coco", tmp_path / "set", ExportFilter(999), title="t", is_empty_allowed=is_allowed)
        export(project, order, fetch=png, pool=tmp_path / "pool", max_pixels=10**7)

    with pytest.raises(BadInput, match="Nothing is known of project 999"):
        write()
    assert not (tmp_path / "set").exists()
    store.projects.save_connection(ProjectConnection(999, None, None, "<View/>"))
    with pytest.raises(BadInput, match=r"Nothing of project 999 .*not written"):
        write()
    assert not (tmp_path / "set").exists()
    write(is_allowed=True)
    assert (tmp_path / "set" / "README.md").exists()
