import importlib
import inspect
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from demo.scenes import make_scene
from ris_core import load_segmenter
from ris_core.encoders import clip
from ris_core.encoders._vit import VisionTower
from ris_core.errors import BadInput, UnknownName, WeightsMissing
from ris_core.language import grammar
from ris_core.methods import global_local, hybrid_gl
from ris_core.profiles import COMPONENTS, catalog, load_segmenters, profile_names, profile_weights, read_profile
from ris_core.proposers import sam
from ris_core.proposers._tiny_sam import TinyImageEncoder
from ris_core.runtime.registry import REGISTRY
from ris_core.runtime.weights import WeightStore
from ris_core.types import Image, Proposals
from tests.ris_core import golden_mobile_sam
from tests.ris_core.checkpoints import sha256, write_clip_archive

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_says_what_it_is_and_names_weights_that_exist(name):
    sections = read_profile(name)
    assert sections["about"]
    assert set(profile_weights(name)) <= set(REGISTRY)
    assert sections["version_prefix"] not in {
        read_profile(other)["version_prefix"] for other in set(profile_names()) - {name}
    }


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_gives_components_only_settings_that_they_have(name):
    sections = read_profile(name)
    for kind, folder in COMPONENTS.items():
        component = importlib.import_module(f"ris_core.{folder}.{sections[kind]['name']}").Component
        assert set(sections[kind]["settings"]) <= set(inspect.signature(component).parameters)
    catalog.build("methods", sections["method"]["name"], sections["method"]["settings"])


class TestPaper:
    """The papers' numbers, and every quirk of their code but the one that carries over from image to image."""

    def test_every_quirk_is_on(self):
        sections = read_profile("paper")
        assert set(sections["parser"]["quirks"]) == grammar.QUIRKS
        assert set(sections["encoder"]["settings"]["quirks"]) == set(clip.QUIRKS)
        assert set(sections["proposer"]["settings"]["quirks"]) == set(sam.QUIRKS)
        assert set(sections["method"]["settings"]["quirks"]) == set(hybrid_gl.QUIRKS) - {"Q-KSHRINK"}
        resnet = read_profile("paper-gl-rn50")["method"]["settings"]
        assert (set(resnet["quirks"]), resnet["unit_parts"]) == (set(global_local.QUIRKS), True)

    @pytest.mark.parametrize(
        ("name", "kind", "expected"),
        [
            ("paper", "encoder", {"model": "ViT-B-16-quickgelu"}),
            (
                "paper",
                "method",
                {"fusion": "G2L", "candidates": 3, "compared": 6, "coherence_mix": 0.6, "text_mix": 0.5},
            ),
            ("paper", "proposer", {"points_per_side": 8, "pred_iou_thresh": 0.7, "stability_score_thresh": 0.7}),
            ("paper", "proposer", {"architecture": "vit_h", "box_nms_thresh": 0.7, "min_mask_region_area": 800}),
            ("paper-phrasecut", "proposer", {"points_per_side": 64, "pred_iou_thresh": 0.86, "crop_n_layers": 1}),
            ("paper-phrasecut", "proposer", {"stability_score_thresh": 0.92, "architecture": "vit_h"}),
            ("paper-phrasecut", "proposer", {"min_mask_region_area": 100, "crop_n_points_downscale_factor": 2}),
            ("paper-phrasecut", "proposer", {"box_nms_thresh": 0.7, "quirks": ["Q-NMS", "Q-MINAREA"]}),
            ("paper-gl", "proposer", {"points_per_side": 8, "quirks": ["Q-NMS", "Q-MINAREA"]}),
            ("paper-phrasecut", "method", {"fusion": "G2L"}),
            ("paper-gl", "method", {"visual_mix": 0.95, "text_mix": 0.5}),
            ("paper-gl", "encoder", {"model": "ViT-B-32-quickgelu"}),
            ("paper-gl-refcocog", "method", {"visual_mix": 0.85}),
            ("paper-gl-refcocog", "encoder", {"model": "ViT-B-32-quickgelu"}),
            ("paper-gl-rn50", "encoder", {"model": "RN50-quickgelu"}),
            ("paper-gl-rn50", "method", {"visual_mix": 0.95}),
        ],
    )
    def test_numbers_for_each_data_set(self, name, kind, expected):
        settings = read_profile(name)[kind]["settings"]
        assert {key: settings[key] for key in expected} == expected

    def test_a_method_of_its_own_brings_its_own_settings(self):
        assert read_profile("paper-gl")["method"]["name"] == "global_local"
        assert "fusion" not in read_profile("paper-gl")["method"]["settings"]

    def test_the_papers_parser_is_asked_for_before_anything_large(self, tmp_path):
        assert read_profile("paper")["parser"]["package"] == "en_core_web_lg"
        with pytest.raises(WeightsMissing, match=r"en_none .* Get it with: python -m spacy download en_none"):
            load_segmenter("paper", store=WeightStore(tmp_path, offline=True), parser="en_none")

    def test_another_parser_keeps_the_quirks(self, tmp_path):
        with pytest.raises(WeightsMissing, match=r"sam_vit_h_4b8939\.pth"):
            load_segmenter("paper", store=WeightStore(tmp_path, offline=True), parser={"weights": "parser-tiny"})
        paper = load_segmenter(
            "paper",
            parser={"weights": "parser-tiny"},
            proposer=read_profile("demo")["proposer"]["settings"],
            encoder={"weights": "clip-tiny", "model": ""},
        )
        assert paper.parser.parse("the dog right of the cat").relation == "none"
        assert set(paper.encoder.features) == {"hybrid_G2L", "heat"}


def test_the_profile_for_cpus_differs_from_base_in_models_and_points_alone():
    cpu, base = read_profile("cpu"), read_profile("base")
    changed = {
        f"{kind}.{setting}"
        for kind in ("proposer", "encoder", "method")
        for setting in base[kind]["settings"]
        if cpu[kind]["settings"][setting] != base[kind]["settings"][setting]
    }
    assert changed == {
        "proposer.weights", "proposer.architecture", "proposer.points_per_side", "encoder.weights", "encoder.model",
    }  # fmt: skip
    added = {
        name: value for name, value in cpu["proposer"]["settings"].items() if name not in base["proposer"]["settings"]
    }
    assert (cpu["proposer"]["settings"]["points_per_side"], added) == (8, {"max_proposals": 60})
    assert {REGISTRY[name].licence for name in profile_weights("cpu")} == {"Apache-2.0", "MIT", "CC BY-SA 4.0"}


def test_the_profile_for_cpus_answers_with_files_of_the_true_formats(tmp_path):
    """Random weights, so what it answers is arbitrary."""
    files = {
        "sam-mobile": golden_mobile_sam.write(tmp_path / "mobile_sam.pt"),
        "clip-vit-b-32": write_clip_archive(tmp_path / "ViT-B-32.pt", "ViT-B-32-quickgelu"),
    }
    weights = {name: replace(REGISTRY[name], path=str(file), sha256=sha256(file)) for name, file in files.items()}
    store = WeightStore(offline=True, registry={**REGISTRY, **weights})
    asked = {"points_per_side": 1, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "min_area_ratio": 0.0}
    segmenter = load_segmenter("cpu", store=store, proposer=asked)
    encoded = segmenter.encode(Image.from_array(make_scene(24).image))
    assert 1 <= len(encoded.proposals) <= 3
    prediction = segmenter.segment(encoded, "the red apple")
    assert len(prediction.scores) == len(encoded.proposals)
    assert prediction.model_version.startswith("cpu.guided.")


def test_an_unknown_profile_is_named_with_those_that_exist():
    with pytest.raises(
        UnknownName, match=r"No profile named 'huge'\. Available: base, cpu, demo, demo-paper, large, paper"
    ):
        load_segmenter("huge")


def test_an_unknown_override_is_named():
    with pytest.raises(UnknownName, match="Nothing named colour to override"):
        load_segmenter("demo", colour="red")


def test_the_demo_says_that_it_is_one():
    demo = read_profile("demo")
    assert demo["version_prefix"] == "demo-scenes-only"
    assert "only its own synthetic scenes" in demo["warning"]


def test_missing_weights_are_never_replaced(tmp_path):
    with pytest.raises(WeightsMissing) as caught:
        load_segmenter("base", store=WeightStore(tmp_path, offline=True))
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "sam_vit_b_01ec64.pth" in message
    assert str(tmp_path) in message
    assert "ris models pull base" in message


@pytest.fixture(scope="module")
def demo():
    return load_segmenter("demo")


def test_overrides_replace_settings_of_a_component(demo):
    other = load_segmenter("demo", proposer={"points_per_side": 4}, method={"name": "global_local", "visual_mix": 0.1})
    assert other.proposer.fingerprint["points_per_side"] == 4
    assert other.method.settings["visual_mix"] == 0.1
    assert other.encode_fp != demo.encode_fp


def test_another_setting_of_the_method_keeps_what_is_encoded():
    one, other = ({"name": "global_local", "visual_mix": mix} for mix in (0.2, 0.9))
    assert load_segmenter("demo", method=one).encode_fp == load_segmenter("demo", method=other).encode_fp


@pytest.fixture(scope="module")
def several():
    methods = [
        "global_local",
        {"name": "hybrid_gl", "guided": False, "fusion": "token_masking"},
        "hybrid_gl",
        "cropping",
        "guided",
    ]
    return load_segmenters("demo", methods, proposer={"points_per_side": 4})


def test_methods_share_components_and_one_encoding_serves_them_all(several):
    first, *others = several
    assert all(o.encoder is first.encoder and o.proposer is first.proposer and o.parser is first.parser for o in others)
    assert {segmenter.encode_fp for segmenter in several} == {first.encode_fp}
    assert len({segmenter.model_version for segmenter in several}) == len(several)
    image = Image.from_array(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))
    masks = np.zeros((3, 96, 128), bool)
    masks[0, 10:30, 10:30], masks[1, 40:90, 60:120], masks[2] = True, True, True
    encoded = first.encode(image, Proposals.from_masks(masks))
    for segmenter in several:
        prediction = segmenter.segment(encoded, "the red apple left of the dog")
        assert sorted(np.argsort(-prediction.scores).tolist()) == [0, 1, 2]


def test_an_image_is_looked_at_once_for_all_methods_and_expressions(several, monkeypatch):
    """By SAM and by CLIP: what is asked of an encoded image costs texts alone."""
    looks: list[str] = []

    def count(network, name):
        look = getattr(network, name)
        monkeypatch.setattr(network, name, lambda self, x: looks.append(network.__name__) or look(self, x))

    count(TinyImageEncoder, "forward")
    count(VisionTower, "embed")
    encoded = several[0].encode(Image.from_array(make_scene(24).image))
    seen = Counter(looks)
    assert seen["TinyImageEncoder"] == 1
    assert seen["VisionTower"] >= 1
    asked = [
        segmenter.segment(encoded, text) for segmenter in several for text in ("the red apple", "a dog on the left")
    ]
    assert len({prediction.model_version for prediction in asked}) == len(several)
    assert Counter(looks) == seen


def test_an_override_by_name_may_bring_settings(several):
    assert several[1].method.settings["fusion"] == "token_masking"
    assert several[0].method.settings["visual_mix"] == (
        0.2 if read_profile("demo")["method"]["name"] == "global_local" else 0.95
    )


def test_an_encoding_that_lacks_what_a_method_reads_is_refused(several):
    image = Image.from_array(np.zeros((40, 40, 3), np.uint8))
    encoded = load_segmenter("demo", method="cropping").encode(image, Proposals.from_masks(np.ones((1, 40, 40), bool)))
    with pytest.raises(BadInput, match=r"encoded without heat, hybrid_G2L, which hybrid_gl reads\. Encode it with"):
        several[2].segment(encoded, "the dog")


def test_features_named_in_the_profile_are_encoded_for_other_methods_too():
    one = load_segmenter("demo", method="cropping", encoder={"features": ["global", "local"]})
    other = load_segmenter("demo", method={"name": "global_local"}, encoder={"features": ["local"]})
    assert one.encode_fp == other.encode_fp
