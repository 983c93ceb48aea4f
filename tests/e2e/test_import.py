"""Data sets into the real Label Studio and out again: each image once, each mask bit by bit, each sentence as it was."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pil

from backend.db.database import open_database
from backend.importers.importing import BATCH
from backend.importers.journal import ImportJournal
from backend.importers.new_project import ensure_project
from backend.importers.reading import read_data_set
from backend.importers.tasks import IDENTITY, ImportTarget, make_task
from backend.label_studio.label_config import read_config
from backend.label_studio.task_import import ImportClient
from demo.up import Demo
from ris_core.geometry.masks import from_rle, to_rle

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 37, 53
SENTENCES = [
    "the dog",
    "लाल कार के पास खड़ा आदमी",  # combining marks
    "ผู้ชายที่อยู่ทางซ้าย",
    "كَلْبٌ أَبْيَضُ",  # vowels, right to left
    "café",
    "cafe\u0301",  # the same, decomposed
    "左边的人，不是右边的",
    "👩‍👩‍👧 the family 🏳️‍🌈",  # joined by ZWJ
    "two  blanks\tand a tab",
    'quotes " and \\ and <b>markup</b> & "; drop table',
    "zero\u200bwidth \u202eturned",
    "𝔅 beyond the basic plane",
]
Ris = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def client(demo: Demo) -> ImportClient:
    return ImportClient(demo.url, demo.secrets.token)


def arguments(demo: Demo, state: Path, *words: object) -> dict[str, Any]:
    settings = {"LABEL_STUDIO_URL": demo.url, "LABEL_STUDIO_API_KEY": demo.secrets.token, "RIS_STATE_DIR": str(state)}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env = {**kept, **settings, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RIS_PROFILE": "demo"}
    return {"args": [sys.executable, "-m", "backend", *map(str, words)], "env": env, "cwd": state, "text": True}


@pytest.fixture
def ris(demo: Demo, tmp_path: Path) -> Ris:
    open_database(f"sqlite:///{tmp_path / 'ris.sqlite3'}").dispose()  # as `ris up` would have made it

    def run(*words: object, exits: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(**arguments(demo, tmp_path, *words), capture_output=True, timeout=300)
        assert done.returncode == exits, done.stdout + done.stderr
        return done

    return run


def masks_of(chance: np.random.Generator) -> list[np.ndarray]:
    """A ring, parts, diagonals, noise, one pixel, and all of the image."""
    masks = np.zeros((6, HEIGHT, WIDTH), bool)
    masks[0, 5:25, 5:25], masks[0, 10:20, 10:20] = True, False
    masks[1, 0:3, 0:3] = masks[1, 30:, 40:] = True
    masks[2, np.arange(HEIGHT), np.arange(HEIGHT)] = True
    masks[3] = chance.random((HEIGHT, WIDTH)) < 0.5
    masks[4, HEIGHT - 1, WIDTH - 1] = True
    masks[5] = True
    return list(masks)


def make_grefcoco(root: Path, images: int) -> Path:
    """A data set of gRefCOCO's files: several targets, one, and none; masks as run lengths."""
    chance = np.random.default_rng(7)
    folder = root / "images" / "mscoco" / "images" / "train2014"
    folder.mkdir(parents=True)
    (root / "grefcoco").mkdir()
    listed, annotations, refs = [], [], []
    for image_id in range(1, images + 1):
        name = f"COCO_train2014_{image_id:012}.png"
        Pil.fromarray(chance.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / name)
        listed.append({"id": image_id, "file_name": name, "height": HEIGHT, "width": WIDTH})
        first = len(annotations) + 1
        for mask in masks_of(chance):
            about = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1 + len(annotations) % 2}
            annotations.append({**about, "segmentation": [to_rle(mask)], "iscrowd": 0})
        targets = [[first], [first + 1, first + 2], [first + 3], [first + 4, first + 5, first], [-1]]
        for number, ann_id in enumerate(targets):
            texts = [SENTENCES[(image_id + 3 * number + k) % len(SENTENCES)] + f" {number}.{k}" for k in range(2)]
            texts = [text.replace(";", ",") for text in texts] if ann_id == [-1] else texts
            sentences = [{"sent_id": len(refs) * 2 + k, "raw": text, "sent": text} for k, text in enumerate(texts)]
            refs.append(
                {"ref_id": len(refs), "image_id": image_id, "ann_id": ann_id, "split": "val", "sentences": sentences}
            )
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": 'Traffic "light" & <sign>'}]
    instances = {"images": listed, "annotations": annotations, "categories": categories}
    (root / "grefcoco" / "instances.json").write_text(json.dumps(instances))
    (root / "grefcoco" / "grefs(unc).json").write_text(json.dumps(refs, ensure_ascii=False), encoding="utf-8")
    return root


def meanings(format: str, root: Path) -> dict[tuple[str, str], str]:
    """By image and sentence, the mask that it means; empty if nothing."""
    masks: dict[tuple[str, str], Any] = {}
    for image in read_data_set(format, root).images():
        sha256 = hashlib.sha256((image.folder / image.name).read_bytes()).hexdigest()
        for one in image.objects:
            for sentence in one.sentences:
                masks[sha256, sentence] = masks.get((sha256, sentence), False) | one.draw()
        masks |= {(sha256, text): np.zeros(image.size_hw, bool) for text in image.absent}
    return {key: to_rle(mask)["counts"] for key, mask in masks.items()}


def objects(root: Path) -> Counter[tuple[str, str, str, tuple[str, ...]]]:
    """The objects of an export as JSON lines: image, label, mask and sentences."""
    records = [json.loads(line) for line in (root / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    return Counter(
        (record["image"]["key"], record["label"], record["mask"]["counts"], tuple(sorted(record["sentences"])))
        for record in records
        if record["mask"] and from_rle(record["mask"]).any()
    )


def project_of(done: subprocess.CompletedProcess[str]) -> int:
    return int(done.stdout.split("Project ")[1].split()[0])


def identities(client: ImportClient, project: int) -> list[str]:
    return [data[IDENTITY] for _, data in client.list_data(project)]


def test_a_round_trip_is_exact_in_masks_and_sentences(ris, client, tmp_path):
    root = make_grefcoco(tmp_path / "source", 6)
    expected = meanings("grefcoco", root)
    done = ris("import", "grefcoco", "--root", root, "--new-project", "Round trip")
    project = project_of(done)
    assert "6 tasks with" in done.stdout
    assert "0 problems" in done.stdout
    chosen = ("--split-field", "split", "--only", "imported")
    ris("export", "--project", project, "--format", "grefcoco", "--out", "out", *chosen)
    # an export takes blanks at the ends away, and has none here
    found = meanings("grefcoco", tmp_path / "out")
    assert {key: found.get(key) for key in expected} == expected
    assert found.keys() == expected.keys()
    assert {image.split for image in read_data_set("grefcoco", tmp_path / "out").images()} == {"val"}
    again = ris("import", "grefcoco", "--root", root, "--new-project", "Round trip")
    assert "0 tasks with 0 masks were made" in again.stdout
    assert "6 images had one already" in again.stdout
    assert len(identities(client, project)) == 6
    ris("verify", "out")


@pytest.mark.parametrize("format", ["refcoco", "coco", "coco-polygons", "masks"])
def test_what_was_exported_is_imported_and_exported_again(ris, tmp_path, format):
    root = make_grefcoco(tmp_path / "source", 2)
    first = project_of(ris("import", "grefcoco", "--root", root, "--new-project", f"First of {format}"))
    ris("export", "--project", first, "--format", format, "--out", "data")
    kind = format.partition("-")[0]
    second = project_of(ris("import", kind, "--root", "data", "--new-project", f"Second of {format}"))
    for project in (first, second):
        ris("export", "--project", project, "--format", "jsonl", "--out", f"out-{project}")
    expected = objects(tmp_path / f"out-{first}")
    assert objects(tmp_path / f"out-{second}") == expected
    assert sum(expected.values()) == 12


def test_predictions_are_exact_too(ris, client, tmp_path):
    root = make_grefcoco(tmp_path / "source", 2)
    done = ris("import", "grefcoco", "--root", root, "--new-project", "Predicted", "--as", "predictions", exits=1)
    assert "which a prediction cannot say" in done.stderr
    project = project_of(done)
    ris("export", "--project", project, "--format", "grefcoco", "--source", "predictions", "--out", "out")
    drawn = {key: counts for key, counts in meanings("grefcoco", root).items() if from_rle_any(counts)}
    assert meanings("grefcoco", tmp_path / "out") == drawn


def from_rle_any(counts: str) -> bool:
    return bool(from_rle({"size": [HEIGHT, WIDTH], "counts": counts}).any())


@contextmanager
def started(demo: Demo, state: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        **arguments(demo, state, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        yield process
        process.kill()


def test_a_killed_import_and_a_second_run_make_each_task_once(ris, demo, client, tmp_path):
    count = 3 * BATCH
    root = make_grefcoco(tmp_path / "source", count)
    words = ("import", "grefcoco", "--root", root, "--new-project", "Killed")
    chance = np.random.default_rng(0)
    sizes = []
    for _ in range(3):
        with started(demo, tmp_path, *words) as process:
            before = len(sizes_of(client, "Killed"))
            while process.poll() is None and len(sizes_of(client, "Killed")) <= before:
                time.sleep(0.02)
            time.sleep(chance.random() * 0.5)
            process.send_signal(signal.SIGKILL)
        sizes.append(len(sizes_of(client, "Killed")))
    assert 0 < sizes[0] < count
    done = ris(*words)
    assert f"{count:,} images" in done.stdout or "images had one already" in done.stdout
    found = identities(client, project_of(done))
    assert len(found) == len(set(found)) == count
    uploads = client.request("GET", f"/api/projects/{project_of(done)}/file-uploads?all=true")
    names = Counter(str(one["file"]).rpartition("/")[2][9:] for one in uploads)
    assert set(names.values()) == {1}
    assert len(names) == count
    tasks = client.request("GET", f"/api/tasks?project={project_of(done)}&page_size=200&fields=all")["tasks"]
    assert {task["total_annotations"] for task in tasks} == {1}
    assert "0 tasks with 0 masks were made" in ris(*words).stdout


def sizes_of(client: ImportClient, title: str) -> list[str]:
    projects = [project["id"] for project in client.list_projects() if project["title"] == title]
    return identities(client, projects[0]) if projects else []


def test_a_batch_that_comes_late_is_not_made_again(ris, demo, client, tmp_path):
    """Label Studio makes it after the second run has begun."""
    root = make_grefcoco(tmp_path / "source", 2)
    words = ("import", "grefcoco", "--root", root, "--new-project", "Late")
    title, source = "Late", read_data_set("grefcoco", root)
    project, _ = ensure_project(client, title, source, "source")
    config = read_config(client.read_label_config(project))
    target = ImportTarget(project, config, "annotations", "source", {label: label for label in source.labels})
    tasks = [make_task(image, "/data/upload/x.png", "grefcoco", target)[0] for image in source.images()]
    with ImportJournal(tmp_path / "imports", demo.url, project) as journal:
        journal.begin([task["data"][IDENTITY].partition("#")[0] for task in tasks])
    with started(demo, tmp_path, *words) as process:
        time.sleep(4)
        assert process.poll() is None
        assert identities(client, project) == []
        client.import_tasks(project, tasks)
        assert process.wait(60) == 0
    assert len(identities(client, project)) == 2
    client.import_tasks(project, tasks[:1])  # by a person's hand
    assert "is there twice, as the tasks" in ris(*words, exits=1).stderr


def test_images_can_be_named_by_their_addresses(ris, client, tmp_path):
    root = make_grefcoco(tmp_path / "source", 1)
    words = ("--new-project", "By address", "--image-url", "https://example.org/train 2014/")
    project = project_of(ris("import", "grefcoco", "--root", root, *words))
    [(_, data)] = client.list_data(project)
    assert data["image"] == "https://example.org/train 2014/COCO_train2014_000000000001.png"
    assert client.list_uploads(project) == {}


def test_an_image_that_cannot_be_had_is_left_out_by_name_and_comes_later(ris, client, tmp_path):
    root = make_grefcoco(tmp_path / "source", 3)
    [_, missing, _] = sorted((root / "images/mscoco/images/train2014").iterdir())
    content = missing.read_bytes()
    missing.unlink()
    words = ("import", "grefcoco", "--root", root, "--new-project", "Left out")
    done = ris(*words, exits=1)
    assert "grefcoco/source/2 is left out" in done.stderr
    project = project_of(done)
    assert len(identities(client, project)) == 2
    missing.write_bytes(content)
    assert "1 tasks with" in ris(*words).stdout
    assert len(identities(client, project)) == 3


def test_another_data_set_of_the_same_name_is_told(ris, tmp_path):
    words = ("import", "grefcoco", "--new-project", "Same name", "--root")
    ris(*words, make_grefcoco(tmp_path / "a" / "source", 2))
    root = make_grefcoco(tmp_path / "b" / "source", 2)
    refs = root / "grefcoco" / "grefs(unc).json"
    refs.write_text(refs.read_text(encoding="utf-8").replace("the dog", "the cat"), encoding="utf-8")
    assert "with other objects or sentences" in ris(*words, root, exits=1).stderr


def test_refusals_name_the_remedy(ris, client, tmp_path):
    root = make_grefcoco(tmp_path / "source", 1)
    assert "--new-project TITLE" in ris("import", "grefcoco", "--root", root, exits=2).stderr
    title = "Somebody's"
    labels = '<BrushLabels name="b" toName="i"><Label value="x"/><Label value="y"/></BrushLabels>'
    config = f'<View><Image name="i" value="$image"/>{labels}</View>'
    project = client.create_project(title, "", config)
    done = ris("import", "grefcoco", "--root", root, "--new-project", title, exits=2)
    assert f"--project {project}" in done.stderr
    done = ris("import", "grefcoco", "--root", root, "--project", project, exits=2)
    assert "no label for the categories 'dog'" in done.stderr
