import json
from pathlib import Path

import numpy as np
import pytest

from backend.commands.evaluate import evaluate
from backend.commands.evaluate_inputs import read_method
from demo.benchmark import SEEDS, UNSEEN, UNSEEN_SEEDS, draw_case, draw_unseen_case, read_scenes
from demo.expressions import KINDS, make_expressions
from demo.scenes import make_scene
from demo.training import TRAIN_SEED
from ris_core.errors import BadInput, UnknownName
from tests.ris_core.evaluation.files import RED, annotation, ref, write_refer


def test_at_least_300_scenes_are_asked_whose_seeds_nothing_was_trained_or_tuned_on():
    assert len({*SEEDS["test"]}) >= 300
    measured = {*SEEDS["test"], *UNSEEN_SEEDS["test"]}
    assert not measured & {*SEEDS["tune"]}
    assert max(measured) < min(SEEDS["tune"]) < max(SEEDS["tune"]) < TRAIN_SEED


def test_a_case_asks_everything_about_its_scene_with_exact_masks():
    scene, case = make_scene(5), draw_case(5)
    assert [(s.text, s.kind, s.targets) for s in case.samples] == [
        (e.text, e.kind, e.targets) for e in make_expressions(scene)
    ]
    assert (case.objects == np.stack([thing.mask for thing in scene.objects])).all()
    assert (case.image.pixels == scene.image).all()


def test_every_kind_is_asked_and_things_share_their_class():
    samples = [sample for seed in range(15) for sample in draw_case(seed).samples]
    assert {sample.kind for sample in samples} == set(KINDS)
    assert all((sample.same_class >= 1) == (len(sample.targets) == 1) for sample in samples)
    assert all(sample.same_class >= 2 for sample in samples if sample.kind in ("ordinal", "superlative", "position"))


def test_drawings_that_were_held_out_are_asked_about_alone():
    for seed in UNSEEN_SEEDS["test"][::3]:
        held_out = [thing.mask for thing in make_scene(seed, held_out=True).objects if thing.held_out]
        case = draw_unseen_case(seed)
        assert (case.objects == np.stack(held_out)).all()
        assert case.samples
        assert all(sample.targets and max(sample.targets) < len(held_out) for sample in case.samples)


def test_the_digest_and_the_ids_stay_the_same():
    one, two = read_scenes(), read_scenes()
    assert one.digest == two.digest != read_scenes("tune").digest
    ids = [item.image_id for item in one.items]
    assert len(ids) == len(set(ids))
    assert {item.part for item in one.items} == {"main", UNSEEN}


def test_an_unknown_split_is_refused():
    with pytest.raises(UnknownName, match=r"'val'\. Available: test, tune"):
        read_scenes("val")


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("guided", ("guided", {})),
        ("hybrid_gl:guided=false", ("hybrid_gl", {"guided": False})),
        ("hybrid_gl:fusion=G2L&L2G,candidates=5", ("hybrid_gl", {"fusion": "G2L&L2G", "candidates": 5})),
        ('global_local:quirks=["Q-RN-NORM"]', ("global_local", {"quirks": ["Q-RN-NORM"]})),
    ],
)
def test_methods_are_named_with_their_settings(text, parsed):
    assert read_method(text) == parsed


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(BadInput, match=r"has the setting 'guided'; write NAME:SETTING=VALUE"):
        read_method("hybrid_gl:guided")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dataset": "refcoco"}, r"--root FOLDER"),
        ({"dataset": "coco"}, r"'coco'\. Available: scenes, refcoco, refcoco\+, refcocog, grefcoco, phrasecut"),
        ({"protocol": "ours"}, "No protocol or quirk named 'ours'"),
        ({"settings": "[1]"}, "--settings is '\\[1\\]', which is not a JSON object of objects"),
        ({"settings": '{"encoder": "clip"}'}, "not a JSON object of objects"),
        ({"settings": '{"method": {"visual_mix": 1}}'}, "write them as --method NAME:SETTING=VALUE"),
        ({"beside": [Path("nowhere")]}, "There is no run in nowhere"),
        ({"profile": "demo", "method": ["psychic"]}, "No method named 'psychic'"),
        ({"profile": "huge"}, "No profile named 'huge'"),
    ],
    ids=str,
)
def test_bad_options_are_refused_before_anything_is_loaded(options, says, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=says):
        evaluate(**options)


@pytest.mark.slow
def test_the_command_measures_every_method_on_one_encoding_and_reports(tmp_path, capsys):
    methods = ["global_local:visual_mix=0.2", "global_local"]
    evaluate(profile="demo", method=methods, out=tmp_path, limit=1, cache=tmp_path / "cache")
    report = json.loads((tmp_path / "report.json").read_text())
    [kinds] = [t for t in report["tables"] if t["title"] == "By kind of expression"]
    assert kinds["columns"] == ["expressions", "n", "oracle", *methods]
    assert kinds["rows"][-1]["cells"][0] == sum(len(s.targets) > 0 for s in draw_case(0).samples)
    assert report["about"]["command"].startswith("`ris eval --dataset scenes --profile demo")
    assert capsys.readouterr().out.strip() == (tmp_path / "report.md").read_text().strip()
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 2  # an image of each part

    evaluate(
        profile="demo", method=["guided"], out=tmp_path / "2", limit=1, cache=tmp_path / "cache", beside=[tmp_path]
    )
    report = json.loads((tmp_path / "2" / "report.json").read_text())
    [differences] = [t for t in report["tables"] if t["title"] == "Paired differences"]
    assert differences["columns"][1:] == [f"{name} (demo-scenes-only)" for name in methods]
    assert f"--beside {tmp_path.name}`" in report["about"]["command"]


@pytest.mark.slow
def test_the_command_reads_a_data_set_from_files_and_goes_on_where_it_was(tmp_path, capsys):
    write_refer(tmp_path, "refcocog", [ref(1, 11, "the red square")], [annotation(11, [RED])], partition="umd")
    for _ in range(2):
        evaluate(dataset="refcocog", root=tmp_path, profile="demo", method=["global_local"], out=tmp_path / "out")
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        assert (report["about"]["images"], report["about"]["expressions"]) == ("1", "1")
    assert len((tmp_path / "out" / "journal.jsonl").read_text().splitlines()) == 2  # the header and the image, once
    assert "HybridGL, guided (SAM-H)" in capsys.readouterr().out
