"""Global-Local CLIP against outputs recorded from the published code (tests/data/golden/README.md, section 3).

Not compared: `fmm_ignore_zero`, an experiment whose recording is undefined (NaN) throughout.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ris_core.encoders.clip import QUIRKS, ClipEncoder
from ris_core.methods._similarity import unit
from ris_core.methods.global_local import GlobalLocalMethod as Method
from ris_core.types import EncodedImage
from tests.ris_core import golden
from tests.ris_core.checkpoints import local_store
from tests.ris_core.golden import assert_same, assert_same_features

pytestmark = pytest.mark.slow

IMAGE, PROPOSALS = golden.image_a(), golden.masks_a()


class TestViT:
    ARRAYS = golden.arrays("gl_vitb32_a")

    @pytest.fixture(scope="class")
    @staticmethod
    def clip(vit_b_32: Path) -> ClipEncoder:
        return ClipEncoder(local_store(clip=vit_b_32), "clip", model="ViT-B-32-quickgelu", quirks=tuple(QUIRKS))

    @pytest.fixture(scope="class")
    @staticmethod
    def features(clip: ClipEncoder) -> dict[str, np.ndarray]:
        return clip.encode(IMAGE, PROPOSALS)

    def test_the_recipe_gives_the_recorded_weights(self, clip: ClipEncoder):
        golden.assert_recipe("ViT-B-32-quickgelu", clip.texts.net.state_dict())

    def test_whole_image(self, clip: ClipEncoder):
        assert_same(clip.views.whole(IMAGE.pixels).numpy(), self.ARRAYS["resized"])

    def test_cut_outs(self, clip: ClipEncoder):
        found = torch.stack(list(clip.views.cut_outs(IMAGE.pixels, PROPOSALS.masks))).numpy()
        assert_same(found[:, :, ::8, ::8], self.ARRAYS["crops_sub8"])
        assert_same(found[self.ARRAYS["crops_full_idx"]], self.ARRAYS["crops_full"])

    def test_masks_on_the_grid(self, clip: ClipEncoder):
        assert_same(clip.views.grids(PROPOSALS.masks).numpy().reshape(-1, 7, 7), self.ARRAYS["masks_small"])

    @pytest.mark.parametrize(
        ("name", "masked_blocks"),
        [
            ("token_masking_b0", 12),
            ("token_masking_b6", 6),
            ("token_masking_b9", 3),
            ("token_masking_b11", 1),
            ("token_masking_default", [11]),
            ("specific_masking_b0", [0]),
            ("specific_masking_b9", [9]),
        ],
    )
    def test_token_masking(self, clip: ClipEncoder, name: str, masked_blocks: Any):
        tower = type(clip.tower)(clip.tower.visual, masked_blocks, "ViT-B-32")
        with torch.inference_mode():
            shared = tower.early(clip.views.whole(IMAGE.pixels))
            found = tower.mask_tokens(shared, clip.views.grids(PROPOSALS.masks))
        assert_same_features(found.numpy(), self.ARRAYS[name])

    def test_branches_and_their_mixes(self, features: dict[str, np.ndarray]):
        assert_same_features(features["global"], self.ARRAYS["token_masking_b9"])
        assert_same_features(features["local"], self.ARRAYS["crop"])
        for mix in (0.95, 0.85):
            mixed = mix * features["global"] + (1 - mix) * features["local"]
            assert_same_features(mixed, self.ARRAYS[f"visual_v{mix * 100:03.0f}"])

    @torch.inference_mode()
    def test_plain_features(self, clip: ClipEncoder):
        assert_same_features(clip.tower.plain(clip.views.whole(IMAGE.pixels)).numpy(), self.ARRAYS["plain_global"])

    @pytest.mark.parametrize("mix", [0.95, 0.85])
    def test_texts_and_scores(self, clip: ClipEncoder, features: dict[str, np.ndarray], mix: float):
        asked, version = [golden.expression(name) for name in self.ARRAYS["ids"]], f"v{mix * 100:03.0f}"
        method = Method(visual_mix=mix, text_mix=0.5)
        texts = {key: clip.encode_texts([method.texts(e)[key] for e in asked]) for key in ("sentence", "noun_phrase")}
        assert_same_features(texts["sentence"], self.ARRAYS["sentence_features"])
        assert_same_features(texts["noun_phrase"], self.ARRAYS["noun_features"])
        encoded = EncodedImage("", IMAGE.size_hw, PROPOSALS, features, "")
        rows = [{key: features[row] for key, features in texts.items()} for row in range(len(asked))]
        scores = [method.score(encoded, e, row, clip.logit_scale) for e, row in zip(asked, rows, strict=True)]
        logits = np.stack([score.parts["logit"] for score in scores])
        golden.assert_close(logits, self.ARRAYS[f"score_{version}"], golden.SCORE)
        clear = self.ARRAYS[f"margin_{version}"] > golden.SCORE
        winners = np.array([score.values.argmax() for score in scores])
        np.testing.assert_array_equal(winners[clear], self.ARRAYS[f"argmax_{version}"][clear])
        assert clear.sum() >= len(asked) - 2


class TestResNet:
    ARRAYS = golden.arrays("gl_rn50_a")

    @pytest.fixture(scope="class")
    @staticmethod
    def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipEncoder:
        file = golden.write_clip(tmp_path_factory.mktemp("golden") / "clip.safetensors", "RN50-quickgelu")
        clip = ClipEncoder(local_store(clip=file), "clip", model="RN50-quickgelu", quirks=tuple(QUIRKS))
        file.unlink()
        return clip

    @pytest.fixture(scope="class")
    @staticmethod
    def features(clip: ClipEncoder) -> dict[str, np.ndarray]:
        return clip.encode(IMAGE, PROPOSALS)

    def test_the_recipe_gives_the_recorded_weights(self, clip: ClipEncoder):
        golden.assert_recipe("RN50-quickgelu", clip.texts.net.state_dict())

    def test_branches_and_their_mix(self, features: dict[str, np.ndarray]):
        assert_same_features(features["global"], self.ARRAYS["fmm_default"])
        assert_same_features(unit(features["global"]), self.ARRAYS["fmm_after_norm"])
        assert_same_features(unit(features["local"]), self.ARRAYS["global_vector_crops"])
        mixed = 0.95 * features["global"] + 0.05 * unit(features["local"])
        assert_same_features(mixed, self.ARRAYS["visual_v095"])

    @torch.inference_mode()
    def test_plain_features(self, clip: ClipEncoder):
        plain = clip.tower.plain(clip.views.whole(IMAGE.pixels)).numpy()
        assert_same_features(plain, self.ARRAYS["plain_global_unnormalised"])
        assert_same_features(unit(plain), self.ARRAYS["global_vector_full"])

    @pytest.mark.parametrize(
        ("name", "settings"),
        [("fmm_query_unmasked", {"masked_query": False}), ("fmm_no_before_norm", {"unit_map": False})],
    )
    @torch.inference_mode()
    def test_other_ways_to_mask_the_map(self, clip: ClipEncoder, name: str, settings: dict[str, bool]):
        tower = type(clip.tower)(clip.tower.visual, **settings)
        share = clip.views.grids(PROPOSALS.masks)
        assert_same(share.numpy().reshape(-1, 7, 7), self.ARRAYS["masks_small"])
        found = tower.mask_map(tower.early(clip.views.whole(IMAGE.pixels)), share)
        assert_same_features(found.numpy(), self.ARRAYS[name])

    @torch.inference_mode()
    def test_map(self, clip: ClipEncoder):
        tower = type(clip.tower)(clip.tower.visual, unit_map=False)
        found = tower.early(clip.views.whole(IMAGE.pixels)).numpy()[0].T.reshape(1, 2048, 7, 7)
        assert_same(found[:, ::8], self.ARRAYS["feature_map_sub8"])
        assert found.max() == pytest.approx(self.ARRAYS["feature_map_absmax"], rel=golden.SHARE)
