"""HybridGL against outputs recorded from the published code (tests/data/golden/README.md, section 4)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ris_core.encoders.clip import HYBRID, QUIRKS, ClipEncoder
from ris_core.geometry import spatial_guidance
from ris_core.methods._similarity import softmax
from ris_core.methods.hybrid_gl import FUSIONS
from ris_core.methods.hybrid_gl import QUIRKS as METHOD_QUIRKS
from ris_core.methods.hybrid_gl import HybridGLMethod as Method
from ris_core.types import EncodedImage, Scores
from tests.ris_core import golden
from tests.ris_core.checkpoints import local_store
from tests.ris_core.golden import assert_close, assert_same, assert_same_features

pytestmark = pytest.mark.slow

IMAGE, PROPOSALS = golden.image_a(), golden.masks_a()
ARRAYS, MODES = golden.arrays("hgl_g2l_vitb32_a"), golden.arrays("hgl_modes_vitb32_a")
ASKED = [golden.expression(name) for name in ARRAYS["ids"]]
QUIRKS_OF_PAPER = sorted(set(METHOD_QUIRKS) - {"Q-KSHRINK"})


@pytest.fixture(scope="module")
def clip(vit_b_32: Path) -> ClipEncoder:
    return ClipEncoder(
        local_store(clip=vit_b_32), "clip", model="ViT-B-32-quickgelu", features=HYBRID, quirks=tuple(QUIRKS)
    )


@pytest.fixture(scope="module")
def features(clip: ClipEncoder) -> dict[str, np.ndarray]:
    return clip.encode(IMAGE, PROPOSALS)


@pytest.fixture(scope="module")
def scores(clip: ClipEncoder) -> list[Scores]:
    """Of the recorded features, with the recorded heat map in place of likenesses to patches."""
    method = Method(quirks=QUIRKS_OF_PAPER)
    features = {"hybrid_G2L": ARRAYS["G2L_b9"], "heat": ARRAYS["heat_448"][:, :, None]}
    encoded = EncodedImage("", IMAGE.size_hw, PROPOSALS, features, "")
    found = []
    for expression in ASKED:
        texts = {name: text for name, text in method.texts(expression).items() if name != "photo"}
        read = dict(zip(texts, clip.encode_texts(list(texts.values())), strict=True))
        found.append(method.score(encoded, expression, {**read, "photo": np.ones(1)}, clip.logit_scale))
    return found


def part(scores: list[Scores], name: str) -> np.ndarray:
    return np.stack([score.parts[name] for score in scores])


def of_candidates(scores: list[Scores], name: str) -> np.ndarray:
    return np.take_along_axis(part(scores, name), ARRAYS["maxidxs"], axis=1)


def test_local_and_global_images(clip: ClipEncoder):
    for name, found in {"local": clip.views.framed, "global": clip.views.blurred}.items():
        pictures = torch.stack(list(found(IMAGE.pixels, PROPOSALS.masks))).numpy()
        assert_same(pictures[:, :, ::8, ::8], ARRAYS[f"{name}_sub8"])
        assert_same(pictures[ARRAYS["full_idx"]], ARRAYS[f"{name}_full"])


def test_masks_on_the_grid(clip: ClipEncoder):
    assert_same(clip.views.framed_grids(PROPOSALS.masks).numpy().reshape(-1, 7, 7), ARRAYS["masks_small"])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fusion_mode(features: dict[str, np.ndarray], fusion: str):
    expected = {**MODES, "G2L_b9": ARRAYS["G2L_b9"]}[f"{fusion.replace('&', '_and_')}_b9"]
    assert_same_features(sum(features[name] for name in FUSIONS[fusion]), expected)


@pytest.mark.parametrize("first", [6, 11])
@torch.inference_mode()
def test_fusion_from_another_block_on(clip: ClipEncoder, first: int):
    tower = type(clip.tower)(clip.tower.visual, list(range(first, 12)), "ViT-B-32")
    masks = PROPOSALS.masks[::3]
    share = clip.views.framed_grids(masks)
    local, blurred = (
        tower.early(torch.stack(list(images(IMAGE.pixels, masks))))
        for images in (clip.views.framed, clip.views.blurred)
    )
    found = tower.fuse_into_local(local, blurred, share, clip.views.inside(share))
    assert_same_features(found.numpy(), ARRAYS[f"G2L_b{first}"][::3])


def test_texts(clip: ClipEncoder):
    method = Method(quirks=QUIRKS_OF_PAPER)
    texts = [method.texts(expression) for expression in ASKED]
    for key, recorded in {"sentence": "sentence", "noun_phrase": "noun_phrase"}.items():
        assert_same_features(clip.encode_texts([asked[key] for asked in texts]), ARRAYS[f"{recorded}_features"])
    others = [[text for name, text in asked.items() if name.startswith("other_")] for asked in texts]
    means = np.stack([clip.encode_texts(asked).mean(0) if asked else np.zeros(512, np.float32) for asked in others])
    assert_same(means, ARRAYS["other_noun_features"])


def test_likeness(scores: list[Scores]):
    assert_close(part(scores, "logit"), ARRAYS["logits"], golden.SCORE)
    assert_close(part(scores, "other_logit"), ARRAYS["neg_logits"], golden.SCORE)
    clear = ARRAYS["margin_plain"] > golden.SCORE
    assert (part(scores, "pure").argmax(1) == ARRAYS["argmax_plain"])[clear].all()
    assert clear.sum() >= len(ASKED) - 2


def test_terms_of_relations():
    boxes = PROPOSALS.boxes_xywh.astype(np.float64) - (0, 0, 1, 1)
    for row, expression in enumerate(ASKED):
        chosen, q = ARRAYS["maxidxs"][row], softmax(ARRAYS["logits"][row].astype(np.float64))
        p, against = q, chosen
        if expression.other_phrases:
            against, q = ARRAYS["maxNegidxs"][row], softmax(ARRAYS["neg_logits"][row].astype(np.float64))
        terms = spatial_guidance.relation_terms(
            boxes[chosen], p[chosen], boxes[against], q[against], expression.relation
        )
        assert_close(terms, ARRAYS["rel_terms"][row, :, : len(against)], golden.SCORE)


def test_heat_map_at_the_images_size():
    found = spatial_guidance.heat_map(ARRAYS["heat_448"], IMAGE.size_hw)
    assert_close(found[::8, ::8], ARRAYS["heat_hw_sub8"], golden.HEAT)


def test_coherence_of_every_mask():
    heat = spatial_guidance.heat_map(ARRAYS["heat_448"], IMAGE.size_hw)
    for expression, expected in zip(ASKED, ARRAYS["score_gem"], strict=True):
        placed = heat * spatial_guidance.position_prior(IMAGE.size_hw, expression.position, vertical=False)
        found = spatial_guidance.coherence(placed, PROPOSALS.masks, expression.relation, guarded=False)
        assert_close(found, expected, golden.HEAT)


def test_guidance(scores: list[Scores]):
    settled = ARRAYS["margin_top3_vs_4"] > golden.SCORE
    for name, recorded in {"relation": "top_softmax", "guided": "top_final"}.items():
        assert_close(of_candidates(scores, name)[settled], ARRAYS[recorded][settled], golden.HEAT)
    clear = settled & (ARRAYS["margin_final"] > golden.HEAT)
    winners = np.array([score.values.argmax() for score in scores])
    assert (winners == ARRAYS["index_final"])[clear].all()
    assert clear.sum() >= len(ASKED) - 2
