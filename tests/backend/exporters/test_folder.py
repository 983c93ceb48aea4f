"""A data set takes the place of nothing but an unchanged data set, and nothing beside it is touched."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend.exporters import folder as folders
from backend.exporters.folder import new_folder
from backend.exporters.manifest import MANIFEST, digest_file
from backend.exporters.staging import make_staging
from ris_core.errors import BadInput
from tests.backend.exporters.test_export import KILLED


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {
        str(one.relative_to(folder)): one.read_bytes() if one.is_file() and not one.is_symlink() else None
        for one in sorted(folder.rglob("*"))
    }


def made(place: Path, *names: str, is_replaced: bool = False) -> Path:
    """A data set of so many files."""
    with new_folder(place, is_replaced) as folder:
        for name in ("README.md", *names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{name} of {place.name}")
    return place


def test_a_data_set_is_replaced(tmp_path):
    made(tmp_path / "set", "images/a.png", "images/b.png")
    (tmp_path / "set").chmod(0o755)
    made(tmp_path / "set", "images/c.png", is_replaced=True)
    assert set(tree(tmp_path)) == {"set", "set/README.md", "set/images", "set/images/c.png", f"set/{MANIFEST}"}
    assert (tmp_path / "set").stat().st_mode & 0o055  # as any new folder


def foreign_file(place):
    place.write_text("mine")


def foreign_folder(place):
    place.mkdir()
    (place / "thesis.tex").write_text("mine")


def forged_card(place):
    foreign_folder(place)
    (place / "README.md").write_text("| made by | label-studio-ris 0.1 |\n")
    (place / "provenance.jsonl").write_text("{}\n")


def forged_manifest(place):
    forged_card(place)
    listed = {"README.md": "0" * 64, "thesis.tex": "0" * 64}
    (place / MANIFEST).write_text(json.dumps({"made_by": "label-studio-ris", "files": listed}))


def others_manifest(place):
    foreign_folder(place)
    (place / "README.md").touch()
    (place / MANIFEST).write_text('{"name": "an app", "icons": []}')


def manifest_of_nonsense(place):
    others_manifest(place)
    (place / MANIFEST).write_text("[1, 2")


def manifest_that_climbs(place):
    made(place)
    (place.parent / "kept").write_text("mine")
    about = json.loads((place / MANIFEST).read_text())
    about["files"]["../kept"] = digest_file(place.parent / "kept")
    (place / MANIFEST).write_text(json.dumps(about))


def beside(place):
    made(place, "a.json")
    (place / "notes.txt").write_text("mine")


def deep_beside(place):
    made(place, "images/a.png")
    (place / "images" / "notes").mkdir()
    (place / "images" / "notes" / "mine.txt").write_text("mine")


def empty_folder_beside(place):
    made(place, "a.json")
    (place / "corrected").mkdir()


def changed(place):
    made(place, "a.json")
    (place / "README.md").write_text("With my notes")


def without_card(place):
    made(place, "a.json")
    (place / "README.md").unlink()


def link_inside(place):
    made(place, "a.json")
    (place / "more").symlink_to(place.parent)


def file_became_folder(place):
    made(place, "a.json")
    (place / "a.json").unlink()
    (place / "a.json").mkdir()
    (place / "a.json" / "mine").write_text("mine")


def link_to_a_data_set(place):
    place.symlink_to(made(place.with_name("real")))


def link_to_nothing(place):
    place.symlink_to("nowhere")


def empty_folder(place):
    place.mkdir()


FOREIGN = [
    foreign_file,
    foreign_folder,
    forged_card,
    forged_manifest,
    others_manifest,
    manifest_of_nonsense,
    manifest_that_climbs,
    beside,
    deep_beside,
    empty_folder_beside,
    changed,
    without_card,
    link_inside,
    file_became_folder,
    link_to_a_data_set,
    link_to_nothing,
    empty_folder,
]


@pytest.mark.parametrize("make", FOREIGN, ids=[make.__name__ for make in FOREIGN])
def test_anything_else_is_refused_by_name_and_stays(tmp_path, make):
    place = tmp_path / "set"
    make(place)
    before = tree(tmp_path)
    with pytest.raises(BadInput, match=r"set is.*(Move it away|Name another folder)"):
        made(place, "b.json", is_replaced=True)
    assert tree(tmp_path) == before
    assert place.is_symlink() == make.__name__.startswith("link_to")


def test_a_refusal_names_what_is_in_the_way(tmp_path):
    beside(tmp_path / "set")
    for number in range(5):
        (tmp_path / "set" / f"x{number}\x1b[2J").touch()
    with pytest.raises(BadInput, match=r"'notes.txt', .* and 3 more") as refused:
        made(tmp_path / "set", is_replaced=True)
    assert "\x1b" not in str(refused.value)


def test_what_comes_while_it_is_written_stays(tmp_path):
    place = made(tmp_path / "set", "a.json")

    def write() -> None:
        with new_folder(place, True) as folder:
            (folder / "README.md").touch()
            (place / "mine").write_text("mine")

    with pytest.raises(BadInput, match="mine"):
        write()
    assert (place / "mine").read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["set"]


def test_what_comes_at_the_last_moment_stays_beside_it(tmp_path, monkeypatch):
    place = made(tmp_path / "set", "images/a.png")
    take = os.rename

    def rename(source, target):
        take(source, target)
        if Path(source) == place:
            (Path(target) / "images" / "mine").write_text("mine")

    monkeypatch.setattr(folders.os, "rename", rename)
    made(place, "b.json", is_replaced=True)
    assert [one.read_text() for one in tmp_path.rglob("mine")] == ["mine"]
    assert (place / "b.json").exists()


def test_a_place_that_cannot_be_taken_keeps_what_it_had(tmp_path, monkeypatch):
    place = made(tmp_path / "set", "a.json")
    before, take = tree(tmp_path), os.rename

    def rename(source, target):
        if Path(target) == place and ".part" in str(source):
            raise OSError(28, "No space left on device")
        take(source, target)

    monkeypatch.setattr(folders.os, "rename", rename)
    with pytest.raises(OSError, match="No space"):
        made(place, "b.json", is_replaced=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["part", "old", "lock", "1.part", "part/data"])
def test_neighbours_of_anybody_stay(tmp_path, kind):
    """Also those of names that exports use, and on both ways: a new data set, and a replaced one."""
    names = {"part": ".set.part", "old": ".set.old", "1.part": ".set.1.part", "part/data": ".set.part/data"}
    if kind == "lock":
        (tmp_path / ".set.lock").write_text("mine")
    else:
        (tmp_path / names[kind]).mkdir(parents=True)
        (tmp_path / names[kind] / "mine").write_text("mine")
    before = tree(tmp_path)
    made(tmp_path / "set")
    made(tmp_path / "set", "a.json", is_replaced=True)
    assert {name: content for name, content in tree(tmp_path).items() if not name.startswith("set")} == before


def test_neighbours_that_are_files_or_links_stay(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("mine")
    (tmp_path / ".set.part").symlink_to("elsewhere")
    (tmp_path / ".set.old").write_text("mine")
    made(tmp_path / "set")
    made(tmp_path / "set", is_replaced=True)
    assert (tmp_path / ".set.part").is_symlink()
    assert [(tmp_path / name).read_text() for name in (".set.old", "elsewhere/mine")] == ["mine", "mine"]


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / ".set.lock").symlink_to(tmp_path / "mine")
    with pytest.raises(BadInput, match="cannot be locked"):
        made(tmp_path / "set")
    assert not (tmp_path / "mine").exists()


def test_left_overs_of_another_data_set_stay(tmp_path):
    """`a` and `a.b` look alike to patterns."""
    staging = make_staging(tmp_path / "a.b", "part")
    (staging / "data").mkdir()
    made(tmp_path / "a")
    assert (staging / "data").exists()


def test_what_was_being_replaced_when_the_process_was_killed_is_there_again(tmp_path):
    place = made(tmp_path / "set", "a.json")
    os.rename(place, make_staging(place, "old") / "data")
    assert not place.exists()
    made(tmp_path / "other")
    with pytest.raises(BadInput, match="--replace"):
        made(place)
    assert (place / "a.json").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "set"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_export_that_is_told_to_end_leaves_nothing(export_as, project, tmp_path, number):
    program = KILLED.replace(
        "export(open_correction_store", "with exit_on_signals(): export(open_correction_store"
    ).replace("import sys, time", "import sys, time\nfrom backend.exporters.files import exit_on_signals")
    command = [sys.executable, "-c", program, project._engine.url.render_as_string(), str(tmp_path / "masks")]
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        assert process.stdout.readline() == b"half\n"
        assert (tmp_path / ".masks.part").exists()
        process.send_signal(number)
        assert process.wait(20) != 0
    assert [one.name for one in tmp_path.iterdir() if "masks" in one.name] == []


def test_export_tells_ends_politely(tmp_path):
    """The command itself goes through it."""
    import inspect

    from backend.commands import export, report
    from backend.exporters import dump

    for module in (export, report, dump):
        assert "with exit_on_signals()" in inspect.getsource(module)


def test_an_export_of_the_former_program_is_not_replaced_on_its_word(export_as):
    place = export_as("coco")
    (place / MANIFEST).unlink()
    with pytest.raises(BadInput, match=r"no manifest\.json"):
        export_as("coco", is_replaced=True)
    shutil.rmtree(place)
    assert export_as("coco", is_replaced=True) == place


@pytest.mark.parametrize("format", ["refcoco", "grefcoco", "coco", "yolo-seg", "hf", "masks", "jsonl"])
@pytest.mark.parametrize("images", ["copy", "link", "none"])
def test_every_format_replaces_its_own(export_as, format, images):
    first = tree(export_as(format, images=images))
    assert tree(export_as(format, images=images, is_replaced=True)) == first
