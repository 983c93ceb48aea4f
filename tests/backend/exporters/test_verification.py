"""A data set that was tampered with is found out, whatever was done to it."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from backend.commands.verify import verify as verify_command
from backend.exporters.formats import FORMATS
from backend.exporters.manifest import MANIFEST, digest_content, to_bytes
from backend.exporters.verification import verify
from ris_core.errors import BadInput
from tests.backend.corrections.made import annotation, box, brush, event, send
from tests.backend.exporters.test_folder import tree

TAMPERINGS = 1000
app = typer.Typer()
app.command()(verify_command)


def found(folder: Path) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in verify(folder).differences]


def rewrite(folder: Path, change: Callable[[dict], object], is_signed: bool = False) -> None:
    content = json.loads((folder / MANIFEST).read_bytes())
    change(content)
    if is_signed:
        content["sha256"] = digest_content(content)
    (folder / MANIFEST).write_bytes(to_bytes(content))


def as_before(folder: Path) -> None:
    """The manifest as version 1 wrote it."""
    content = json.loads((folder / MANIFEST).read_bytes())
    old = {"made_by": content["made_by"], "files": content["files"]}
    (folder / MANIFEST).write_text(json.dumps(old, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")


# each changes the folder, with chance deciding where


def flip_a_bit(folder, chance):
    file = pick(folder, chance)
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def insert_a_byte(folder, chance):
    file = pick(folder, chance)
    content = bytearray(file.read_bytes())
    content.insert(chance.randint(0, len(content)), chance.randrange(256))
    file.write_bytes(content)


def cut(folder, chance):
    file = pick(folder, chance)
    os.truncate(file, chance.randrange(file.stat().st_size))


def delete(folder, chance):
    pick(folder, chance).unlink()


def rename(folder, chance):
    file = pick(folder, chance)
    file.rename(file.with_name(f"{file.name}{chance.choice(['~', '.bak', ' '])}"))


def swap(folder, chance):
    one, two = chance.sample([file for file in files(folder) if file.name != MANIFEST], 2)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def add_a_file(folder, chance):
    (pick(folder, chance).parent / f"{chance.randrange(10**6)}").write_bytes(chance.randbytes(chance.randrange(9)))


def add_a_folder(folder, chance):
    (pick(folder, chance).parent / "new" / "newer").mkdir(parents=True)


def add_a_link(folder, chance):
    (pick(folder, chance).parent / "link").symlink_to(chance.choice(["nowhere", ".", "README.md", "/"]))


def replace_by_a_link(folder, chance):
    """To the same bytes elsewhere."""
    file = pick(folder, chance)
    copy = folder.parent / "copy"
    shutil.copyfile(file, copy)
    file.unlink()
    file.symlink_to(copy)


def replace_by_a_folder(folder, chance):
    file = pick(folder, chance)
    file.unlink()
    file.mkdir()


def replace_by_a_pipe(folder, chance):
    file = pick(folder, chance)
    file.unlink()
    os.mkfifo(file)


def delete_with_its_line(folder, chance):
    file = chance.choice([file for file in files(folder) if file.name != MANIFEST])
    file.unlink()
    rewrite(folder, lambda content: content["files"].pop(str(file.relative_to(folder))))


def change_the_position(folder, chance):
    rewrite(folder, lambda content: content["made_from"].update(annotation_versions=chance.randrange(9, 99)))


WAYS = [
    flip_a_bit, insert_a_byte, cut, delete, rename, swap, add_a_file, add_a_folder, add_a_link, replace_by_a_link,
    replace_by_a_folder, replace_by_a_pipe, delete_with_its_line, change_the_position,
]  # fmt: skip


def files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def pick(folder: Path, chance: random.Random) -> Path:
    return chance.choice(files(folder))


def is_found(folder: Path) -> bool:
    try:
        return bool(verify(folder).differences)
    except BadInput:  # the manifest itself
        return True


def test_none_of_a_thousand_tamperings_is_missed(export_as, tmp_path):
    whole = export_as("grefcoco", hard_negatives=True)
    assert found(whole) == []
    before, chance, missed = tree(whole), random.Random(20261127), []
    for number in range(TAMPERINGS):
        place = tmp_path / "tampered" / "set"
        shutil.copytree(whole, place)
        way = chance.choice(WAYS)
        way(place, chance)
        if tree(place) != before:
            missed += [] if is_found(place) else [f"{number} {way.__name__}"]
        else:  # two files with the same bytes were swapped
            assert way is swap
        shutil.rmtree(tmp_path / "tampered")
    assert missed == []


@pytest.mark.parametrize("format", list(FORMATS))
@pytest.mark.parametrize("images", ["copy", "link", "none"])
def test_every_data_set_verifies_as_it_was_exported(export_as, format, images):
    result = verify(export_as(format, images=images))
    assert result.differences == ()
    assert not result.is_old
    assert result.made_from["annotation_versions"] == 7


def test_each_file_is_named(export_as):
    folder = export_as("coco")
    (folder / "README.md").write_text("mine")
    (folder / "left-out.jsonl").unlink()
    (folder / "images" / "x\x1b[2J").touch()
    assert found(folder) == [("changed", "README.md"), ("added", "images/x\x1b[2J"), ("missing", "left-out.jsonl")]
    done = CliRunner().invoke(app, [str(folder)])
    assert done.exit_code == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()[:3]] == [
        ["changed", "README.md"],
        ["added", "images/x\\x1b[2J"],
        ["missing", "left-out.jsonl"],
    ]
    assert "1 changed, 1 added, 1 missing" in done.stderr
    assert "export it again" in done.stderr


def test_a_whole_data_set_says_what_it_was_made_from(export_as):
    folder = export_as("coco")
    done = CliRunner().invoke(app, [str(folder)])
    assert done.exit_code == 0
    assert "all as they were exported" in done.stdout
    assert "Made from project" in done.stdout
    assert "7 annotation versions" in done.stdout


def test_the_position_changes_with_the_record_and_not_with_its_order(export_as, store, project):
    first = verify(export_as("coco", "a")).made_from
    send(store, event(annotation(90, 30, [brush("n", box(0, 0), "new")], at=300)))
    project.read_events()
    second = verify(export_as("coco", "b")).made_from
    assert second["annotation_versions"] == first["annotation_versions"] + 1
    assert second["newest_annotation"] > first["newest_annotation"]
    assert second["sha256"] != first["sha256"]


def test_the_bytes_behind_a_symbolic_link_count(export_as, tmp_path, monkeypatch):
    def other_disk(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    folder = export_as("coco", images="link")
    linked = [file for file in (folder / "images").iterdir() if file.is_symlink()]
    linked[0].resolve().write_bytes(b"other")
    linked[1].resolve().unlink()
    kinds = dict(sorted((name, kind) for kind, name in found(folder)))
    assert kinds == {f"images/{linked[0].name}": "changed", f"images/{linked[1].name}": "missing"}


def test_a_manifest_that_was_written_anew_is_found_only_by_its_digest(export_as):
    folder = export_as("coco")
    kept = verify(folder).manifest_sha256
    (folder / "left-out.jsonl").unlink()
    rewrite(folder, lambda content: content["files"].pop("left-out.jsonl"), is_signed=True)
    assert found(folder) == []
    assert [one.name for one in verify(folder, kept).differences] == [MANIFEST]
    assert CliRunner().invoke(app, [str(folder), "--manifest-digest", kept]).exit_code == 1
    assert "Whoever can write to the folder" in CliRunner().invoke(app, [str(folder)]).stdout


def test_a_folder_of_yesterdays_version_is_checked_as_far_as_it_can_be(export_as):
    folder = export_as("coco")
    as_before(folder)
    result = verify(folder)
    assert (result.is_old, result.made_from, result.differences) == (True, None, ())
    assert "An older version wrote the manifest. Not known:" in CliRunner().invoke(app, [str(folder)]).stdout
    (folder / "README.md").write_text("mine")
    assert found(folder) == [("changed", "README.md")]
    export_as("coco", "other")


def test_a_folder_of_yesterdays_version_is_replaced(export_as):
    as_before(export_as("coco"))
    assert found(export_as("coco", is_replaced=True)) == []


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "is no folder"),
        (lambda folder: (folder / MANIFEST).unlink(), r"has no manifest\.json"),
        (lambda folder: (folder / MANIFEST).write_text("[1, 2"), "cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[" * 100_000), "cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text('{"name": "an app"}'), "is no manifest"),
        (lambda folder: rewrite(folder, lambda content: content.update(format=9)), "has the format 9"),
    ],
)
def test_what_cannot_be_compared_is_refused(export_as, break_it, message):
    folder = export_as("coco")
    break_it(folder)
    with pytest.raises(BadInput, match=message):
        verify(folder)


def test_a_digest_that_is_none_is_refused(export_as):
    done = CliRunner().invoke(app, [str(export_as("coco")), "--manifest-digest", "12"])
    assert isinstance(done.exception, BadInput)
