"""From what annotators saved to judged answers, and `ris learn` as it is typed."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from backend.commands import learn as command
from backend.commands.cli import app
from backend.corrections.judged_answers import as_arrays, find_base_version, read_judged, read_past_prompts
from backend.corrections.learning import read_prior
from backend.db.records import Answer, Region
from backend.inference.feature_cache import FeatureCache
from ris_core import EncodedImage, Proposals, load_segmenter
from ris_core.errors import BadInput, RisError
from ris_core.geometry.masks import from_rle
from tests.backend.corrections.fake_tasks import FakeTasks
from tests.backend.corrections.made import HEIGHT, PROJECT, WIDTH, annotation, brush, clock, event, rle, send
from tests.ris_core.learning.made import draw
from tests.toy import toy_lesson

VERSION = "base.guided.12345678"
LATER = 2e9
"""After any answer of these tests, in seconds of the clock of `made`."""
RIGHT, OTHER, FAR = rle(0, 0), rle(20, 0), rle(0, 15)


def hand_out(store, task, region, looks=(0.9, 0.4), expression="the box", kind="open", version=VERSION, **clause):
    """Record an answer of the method guided: the first candidate is handed out."""
    body = {"data": {}, "label_config": "", "hostname": None, "expressions": [expression], "extra_params": {}}
    request = store.add_request(kind, str(task), body, lifetime_s=60, project=PROJECT)
    store.start_request(request)
    candidates = [
        {
            "rank": i + 1,
            "score": 0.5,
            "bbox_xywh": [0, 0, 1, 1],
            "mask": mask,
            "parts": {"look": look, "look_rank": 1.0, **clause},
        }
        for i, (mask, look) in enumerate(zip((RIGHT, OTHER), looks, strict=True))
    ]
    regions = [Region(region, 1, "brush", "Object")] if region else []
    record = Answer(
        expression,
        "Object",
        "match",
        version,
        "fp",
        f"sha-{task}",
        HEIGHT,
        WIDTH,
        candidates,
        [0] if region else [],
        regions,
    )
    assert store.finish_request(request, {"result": []}, [record])


def save(store, id, task, *regions, texts=(), **more):
    """An annotation with regions and prompt texts."""
    results = list(regions)
    if texts:
        value = {"text": list(texts)}
        results.append({"id": f"p{id}", "type": "textarea", "from_name": "prompt", "to_name": "image", "value": value})
    send(store, event(annotation(id, task, results, at=LATER, created_at=clock(LATER - 1), **more)))


def judged(store, correction_store):
    correction_store.read_events()
    with correction_store.reading() as db:
        return {one.task: (one.is_right, one.has_target) for one in read_judged(db, PROJECT, VERSION)}


def test_every_kind_of_outcome_says_whether_the_answer_was_right(store, correction_store):
    for task in range(1, 8):
        hand_out(store, task, f"r{task}", kind="open" if task == 4 else "interactive")
    save(store, 1, 1, brush("r1", from_rle(RIGHT), "the box"))  # accepted
    save(store, 2, 2, brush("r2", from_rle(rle(1, 0)), "the box"))  # edited
    save(store, 3, 3, brush("r3", from_rle(FAR), "the box"))  # moved elsewhere
    save(store, 4, 4, parent_prediction=9)  # deleted
    save(store, 5, 5, texts=["none: The  BOX"])
    save(store, 6, 6, brush("n", from_rle(FAR), "the box"))  # drawn by hand for these words
    save(store, 7, 7, brush("n", from_rle(FAR), "another thing"))  # says nothing of the answer
    assert judged(store, correction_store) == {
        "1": (True, True), "2": (True, True), "3": (False, True), "4": (False, False), "5": (False, False), "6": (False, True),
    }  # fmt: skip


def test_answers_of_another_version_or_method_are_left_out(store, correction_store):
    hand_out(store, 1, "r1", version=f"{VERSION}.learned-00000000")
    hand_out(store, 2, "r2", version="v2.guided.87654321")
    for task in (1, 2):
        save(store, task, task, brush(f"r{task}", from_rle(RIGHT), "the box"))
    assert set(judged(store, correction_store)) == {"1"}
    with correction_store.reading() as db:
        assert find_base_version(db, PROJECT) == "v2.guided.87654321"


def test_features_are_read_from_what_is_stored(store, correction_store):
    hand_out(store, 1, "r1", looks=(0.8, 0.4), **{"on the left": 0.5})
    save(store, 1, 1, brush("r1", from_rle(RIGHT), "the box"))
    correction_store.read_events()
    with correction_store.reading() as db:
        arrays = as_arrays(list(read_judged(db, PROJECT, VERSION)))
    assert {name: float(values[0]) for name, values in arrays.features.items()} == pytest.approx(
        {"look": np.log(4), "clauses": np.log(0.5), "margin": np.log(2 / 3)}
    )


@pytest.fixture
def ris(store, tmp_path, monkeypatch):
    for variable in ("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DATABASE_URL", store._engine.url.render_as_string())
    monkeypatch.setenv("RIS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("RIS_PROFILE", "base")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0, input: str = "", command: str = "learn") -> str:
        done = CliRunner().invoke(app, [command, "--project", str(PROJECT), "--offline", *arguments], input=input)
        if isinstance(done.exception, RisError):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.stdout

    return run


def label(store, number=150, **more):
    """A project of which the answers follow a known model: accepted where right, else said to mean nothing."""
    words = more.get("expression", "the box")
    answers = draw(number, number, seed=3)
    for i in range(number):
        look = 1 / (1 + np.exp(-answers.features["look"][i]))
        hand_out(store, i + 1, f"r{i + 1}", looks=(float(look), float(look / 50)), kind="interactive", **more)
        if answers.is_right[i]:
            save(store, i + 1, i + 1, brush(f"r{i + 1}", from_rle(RIGHT), words))
        else:
            save(store, i + 1, i + 1, texts=[f"none: {words}"])


def test_a_lead_checks_applies_and_takes_back(ris, store):
    label(store)
    shown = ris()
    assert "150 judged answers on 150 images" in shown
    assert "A gain is sure." in shown
    assert "Nothing is changed: there is no terminal to ask on. Add --apply." in shown
    assert store.lessons.history(PROJECT) == []
    document = json.loads(ris("--check", "--json", "--max-error", "0.2"))
    assert [one["name"] for one in document["figures"]] == ["log loss", "ECE", "T-acc", "N-acc", "MCC"]
    assert document["thresholds"][0]["label"] == "Object"
    applied = ris("--apply")
    lesson = store.lessons.history(PROJECT)[-1].lesson
    assert lesson.model_version in applied
    assert f"Project {PROJECT} answers with this already: {lesson.model_version}." in ris("--apply")
    assert store.lessons.name_version(PROJECT, VERSION) == lesson.model_version
    taken_back = ris("--undo")
    assert f"{lesson.model_version} is taken back. Project {PROJECT} answers with {VERSION} from now on" in taken_back
    with pytest.raises(BadInput, match=rf"{lesson.model_version} was taken back already, at .* --redo"):
        ris("--undo")
    assert f"Applied again. Project {PROJECT} answers with {lesson.model_version}" in ris("--redo")
    ris("--undo")
    assert store.lessons.name_version(PROJECT, VERSION) == VERSION
    assert [line.split()[2] for line in ris("--history").splitlines()[1:]] == [lesson.model_version, VERSION] * 2


def test_a_lead_is_asked_at_a_terminal(ris, store, monkeypatch):
    label(store)
    assert ris("--history") == f"Nothing was learnt for project {PROJECT}.\n"
    monkeypatch.setattr(command, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True), stderr=sys.stderr))
    assert "Apply? [y/N]: n\nNothing is changed.\n" in ris(input="n\n")
    assert store.lessons.history(PROJECT) == []
    assert "Applied." in ris(input="y\n")
    assert len(store.lessons.history(PROJECT)) == 1


def test_the_page_shows_both_sides_and_changes_nothing(ris, store, tmp_path):
    label(store)
    ris("--check", "--max-error", "0.2", "--out", "learning.html")
    page = (tmp_path / "learning.html").read_text(encoding="utf-8")
    assert "From 150 judged answers on 150 images of project 7" in page
    assert "A gain is sure" in page
    assert page.count("data:image/svg+xml") == 2
    assert all(f'<td dir="auto">{name}</td>' in page for name in ("log loss", "ECE", "T-acc", "N-acc", "MCC", "Object"))
    assert store.lessons.history(PROJECT) == []
    with pytest.raises(BadInput, match=r"The page cannot be written to nowhere/learning\.html"):
        ris("--apply", "--out", "nowhere/learning.html")
    assert store.lessons.history(PROJECT) == []


def test_answers_of_another_profile_than_the_projects_are_refused(ris, store, monkeypatch):
    label(store, 1)
    monkeypatch.setenv("RIS_PROFILE", "demo")
    with pytest.raises(
        BadInput, match=f"newest answer is of {VERSION}, but project {PROJECT} is answered by .* demo now"
    ):
        ris()


def test_too_little_is_refused_with_what_is_missing(ris, store):
    hand_out(store, 1, "r1")
    save(store, 1, 1, brush("r1", from_rle(RIGHT), "the box"))
    with pytest.raises(BadInput, match=r"judged answers \(1 of 100\).*nothing is meant \(0 of 15\)"):
        ris("--apply")
    assert store.lessons.history(PROJECT) == []


def test_nothing_is_learnt_from_another_project_unless_it_is_named(ris, store):
    label(store)
    other = ["learn", "--project", "8", "--offline"]
    refused = CliRunner().invoke(app, other)
    assert isinstance(refused.exception, BadInput)
    assert "Nothing was answered in project 8" in str(refused.exception)
    assert CliRunner().invoke(app, [*other, "--from", str(PROJECT), "--apply"]).exit_code == 0
    [change] = store.lessons.history(8)
    assert (change.from_project, store.lessons.history(PROJECT)) == (PROJECT, [])


def test_actions_exclude_each_other_and_a_method_without_calibrator_is_named(ris):
    with pytest.raises(BadInput, match="exclude each other"):
        ris("--apply", "--undo")
    with pytest.raises(BadInput, match="only guided can learn"):
        read_prior("paper")


@pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
def test_of_two_who_take_back_at_once_one_is_refused_and_redo_applies_again(store):
    lessons, first, second = store.lessons, toy_lesson(0.1), toy_lesson(0.2)
    for one in (first, second):
        lessons.apply(1, one, {"answers": 120}, 1)
    with pytest.raises(BadInput, match="took nothing back"):
        lessons.redo(1)
    with ThreadPoolExecutor(4) as pool:
        errors = [done.exception() for done in [pool.submit(lessons.undo, 1) for _ in range(4)]]
    assert [type(one) for one in errors].count(BadInput) == 3
    assert f"{second.model_version} was taken back already" in str(next(filter(None, errors)))
    assert lessons.history(1)[-1].lesson == first
    assert lessons.redo(1).lesson == second
    with pytest.raises(BadInput, match="took nothing back"):
        lessons.redo(1)
    assert lessons.undo(1).lesson == first  # what was applied again can be taken back again
    lessons.apply(1, second, {}, 1)
    assert lessons.undo(1).lesson == first


@pytest.mark.parametrize("line", [["learn"], ["words"], ["review", "list"]])
def test_a_project_that_label_studio_does_not_have_is_named_with_those_that_are_recorded(
    ris, store, correction_store, serve, monkeypatch, line
):
    hand_out(store, 1, "r1")
    save(store, 1, 1, brush("r1", from_rle(RIGHT), "the box"))
    correction_store.read_events()
    monkeypatch.setenv("LABEL_STUDIO_URL", serve(FakeTasks(PROJECT)).url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    done = CliRunner().invoke(app, [*line, "--project", "99"])
    assert isinstance(done.exception, BadInput)
    assert "has no project 99 that the owner of LABEL_STUDIO_API_KEY may see" in str(done.exception)
    assert f"Annotations are recorded of {PROJECT}." in str(done.exception)


def encode_ahead(folder, segmenter, tasks):
    """Features in the cache with which the text takes the wrong one of two regions for an apple."""
    cache = FeatureCache(folder / "features", 10**8)
    proposals = Proposals.from_masks(np.stack([from_rle(one) for one in (RIGHT, OTHER)]))
    [apple] = segmenter.encoder.encode_texts(["apple"])
    other = np.random.default_rng(1).normal(size=len(apple)) * np.linalg.norm(apple) / len(apple) ** 0.5
    seen = np.stack([apple + 0.5 * other, apple]).astype(np.float32)
    features = {"global": seen, "local": seen}
    for task in tasks:
        encoded = EncodedImage(f"sha-{task}", (HEIGHT, WIDTH), proposals, features, segmenter.encode_fp)
        cache.put(encoded)


@pytest.mark.slow
def test_a_lead_lets_regions_be_remembered_and_forgotten(ris, store, tmp_path, monkeypatch):
    segmenter = load_segmenter("demo")
    monkeypatch.setenv("RIS_PROFILE", "demo")
    label(store, 110, expression="the apple", version=segmenter.model_version)
    with pytest.raises(BadInput, match="None of the 110 corrected images has features of the profile demo"):
        ris("--memory", "--check")
    assert store.lessons.history(PROJECT) == []
    encode_ahead(tmp_path, segmenter, range(1, 111))
    assert "regions of apple." in ris("--memory", "--apply", "--out", "learning.html")
    assert "What corrected things look like" in (tmp_path / "learning.html").read_text(encoding="utf-8")
    [change] = store.lessons.history(PROJECT)
    assert set(change.lesson.memory.prototypes) == {"apple"}
    assert change.about["memory"]["low"] > 0
    assert "Forgotten. 1 of the changes" in ris("--forget")
    [forgotten] = store.lessons.history(PROJECT)
    assert forgotten.lesson.memory is None
    assert store.lessons.find_digest(PROJECT, segmenter.model_version) == forgotten.lesson.digest != change.digest
    assert store.lessons.get(PROJECT, segmenter.model_version, change.digest) is None


def test_regions_of_people_who_are_pseudonyms_now_are_not_remembered(store, correction_store):
    for task, person in ((1, 12), (2, -12)):
        hand_out(store, task, f"r{task}", kind="interactive")
        save(store, task, task, brush(f"r{task}", from_rle(RIGHT), "the box"), completed_by=person)
    correction_store.read_events()
    with correction_store.reading() as db:
        assert {one.task for one in read_past_prompts(db, PROJECT)} == {"1", "2"}
        assert {one.task for one in read_past_prompts(db, PROJECT, with_pseudonyms=False)} == {"1"}
