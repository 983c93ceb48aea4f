"""Feature-map masking on a small ResNet; the recorded outputs are in test_golden_global_local.py."""

import open_clip
import pytest
import torch
from torch.nn import functional

from ris_core.encoders._resnet import ResNetTower
from tests.ris_core.checkpoints import TINY_CLIP
from tests.ris_core.encoders.test_vit import draw
from tests.ris_core.pictures import relative_error

TINY = {"image_size": 96, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32, "patch_size": None}


@pytest.fixture(scope="module")
def visual() -> torch.nn.Module:
    torch.manual_seed(0)
    net = open_clip.CLIP(**{**TINY_CLIP, "vision_cfg": TINY}).eval().requires_grad_(False)
    for name, value in net.visual.named_parameters():
        if name.endswith("bn3.weight"):
            value.fill_(0.5)  # the library's initial 0 would leave nothing of a block
    return net.visual


IMAGE = draw(1, 3, 96, 96)
SHARE = torch.rand(4, 9, generator=torch.Generator().manual_seed(0))


def test_a_mask_of_everything_gives_the_plain_feature_of_an_unscaled_map(visual: torch.nn.Module):
    tower = ResNetTower(visual, unit_map=False)
    found = tower.mask_map(tower.early(IMAGE), torch.ones(2, 9))
    assert relative_error(found.numpy(), tower.plain(IMAGE).expand(2, -1).numpy()) < 1e-5


def test_the_map_is_masked_before_it_is_pooled(visual: torch.nn.Module):
    """By the library's own pool, which asks with the mean of what it is given."""
    tower = ResNetTower(visual)
    values = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(IMAGE)))))
    masked = functional.normalize(values, dim=1) * SHARE.reshape(4, 1, 3, 3)
    found = tower.mask_map(tower.early(IMAGE), SHARE)
    assert relative_error(found.numpy(), visual.attnpool(masked).numpy()) < 1e-5


def test_the_query_may_be_that_of_the_whole_map(visual: torch.nn.Module):
    towers = ResNetTower(visual), ResNetTower(visual, masked_query=False)
    own, whole = (tower.mask_map(tower.early(IMAGE), SHARE) for tower in towers)
    assert relative_error(own.numpy(), whole.numpy()) > 1e-3


def test_size_and_grid(visual: torch.nn.Module):
    tower = ResNetTower(visual)
    assert (tower.size_px, tower.grid) == (96, 3)
    assert tower.early(IMAGE).shape == (1, 9, 512)
