"""Inside a vision transformer: against the definitions, spelt out with whole blocks and whole attention masks."""

from collections.abc import Iterator
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor

from ris_core.encoders._vit import VisionTower
from ris_core.errors import BadInput
from tests.ris_core.checkpoints import TINY_CLIP
from tests.ris_core.pictures import relative_error

TINY = TINY_CLIP["vision_cfg"]
SHAPES = {
    "32px/8": TINY,
    "36px/12, 6 blocks": {"image_size": 36, "patch_size": 12, "width": 32, "layers": 6, "head_width": 8},
    "28px/14, wide": {"image_size": 28, "patch_size": 14, "width": 64, "layers": 4, "head_width": 32},
    "scaled layers": {**TINY, "ls_init_value": 0.3},
}


def make_tower(vision: dict[str, Any] = TINY, masked_blocks: Any = 2) -> VisionTower:
    torch.manual_seed(0)
    net = open_clip.CLIP(**{**TINY_CLIP, "vision_cfg": vision}).eval().requires_grad_(False)
    return VisionTower(net.visual, masked_blocks, "tiny")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def tower(request: pytest.FixtureRequest) -> VisionTower:
    return make_tower(request.param)


@pytest.fixture
def pictures(tower: VisionTower) -> tuple[Tensor, Tensor]:
    shape = 3, 3, tower.size_px, tower.size_px
    return draw(*shape), draw(*shape, seed=1)


@pytest.fixture
def share(tower: VisionTower) -> Tensor:
    """Of three masks: some cells, one cell, none."""
    share = torch.rand(3, tower.grid**2, generator=torch.Generator().manual_seed(2)) * (draw(3, tower.grid**2) > 0)
    share[1:] = 0
    share[1, 1] = 0.5
    return share


def definition_of_masking(tower: VisionTower, tokens: Tensor, share: Tensor) -> Iterator[tuple[Any, Tensor, Tensor]]:
    """The masked blocks, each with an attention mask (b x heads, tokens, tokens) and factors (b, tokens, 1)."""
    b, n = len(share), tokens.shape[1]
    keep = torch.cat([torch.ones(b, 1), share], dim=1)
    forbidden = torch.zeros(b, n, n)
    forbidden[:, 0].masked_fill_(keep == 0, float("-inf"))
    for index in tower.masked:
        block = tower.blocks[index]
        yield block, forbidden.repeat_interleave(block.attn.num_heads, 0), keep[:, :, None]


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert relative_error(found.numpy(), expected.numpy()) < 1e-5


def test_plain_features_are_the_librarys(tower: VisionTower, pictures: tuple[Tensor, Tensor]):
    assert_same(tower.plain(pictures[0]), tower.visual(pictures[0]))


def test_a_mask_of_everything_gives_the_plain_feature(tower: VisionTower, pictures: tuple[Tensor, Tensor]):
    plain, tokens = tower.plain(pictures[0]), tower.early(pictures[0])
    everything = torch.ones(3, tower.grid**2)
    assert_same(tower.mask_tokens(tokens, everything), plain)
    assert_same(tower.mask_attention(tokens, everything > 0), plain)


def test_tokens_are_masked_again_before_each_block(tower: VisionTower, pictures: tuple[Tensor, Tensor], share: Tensor):
    tokens = tower.early(pictures[0])
    found = tower.mask_tokens(tokens, share)
    for block, _, keep in definition_of_masking(tower, tokens, share):
        tokens = block(tokens * keep)
    assert_same(found, tower.visual.ln_post(tokens[:, 0]) @ tower.visual.proj)


def test_only_the_class_token_is_kept_from_looking_outside(
    tower: VisionTower, pictures: tuple[Tensor, Tensor], share: Tensor
):
    tokens = tower.early(pictures[0])
    found = tower.mask_attention(tokens, share > 0)
    for block, forbidden, _ in definition_of_masking(tower, tokens, share):
        tokens = block(tokens, attn_mask=forbidden)
    assert_same(found, tower.visual.ln_post(tokens[:, 0]) @ tower.visual.proj)


def test_released_attention_masking_ends_before_the_last_block(tower: VisionTower, pictures: tuple[Tensor, Tensor]):
    """Quirk Q-LAST: with everything allowed it is CLIP without its last block."""
    tokens = tower.early(pictures[0])
    found = tower.mask_attention(tokens, torch.ones(3, tower.grid**2, dtype=torch.bool), skips_last=True)
    for index in tower.masked[:-1]:
        tokens = tower.blocks[index](tokens)
    shorter = tower.visual.ln_post(tokens[:, 0]) @ tower.visual.proj
    assert_same(found, shorter)
    assert relative_error(found.numpy(), tower.plain(pictures[0]).numpy()) > 1e-3


def test_two_streams_are_fused_as_defined(tower: VisionTower, pictures: tuple[Tensor, Tensor], share: Tensor):
    """Four streams at once: both pure ones, G2L and L2G; their sum is the mode G2L&L2G."""
    x, y = (tower.early(images) for images in pictures)
    found = tower.fuse_into_local(x, y, share, share > 0), tower.fuse_into_global(x, y, share > 0)
    u, w = x, y
    for block, forbidden, keep in definition_of_masking(tower, x, share):
        u, w = block(u + 2 * y * keep), block(x + 2 * w, attn_mask=forbidden)
        x, y = block(x), block(y, attn_mask=forbidden)
    expected = [tower.visual.ln_post(tokens[:, 0]) @ tower.visual.proj for tokens in (u, w)]
    assert_same(found[0], expected[0])
    assert_same(found[1], expected[1])
    assert_same(found[0] + found[1], expected[0] + expected[1])


@pytest.mark.parametrize("masked", [[1], [0, 2], [3]])
def test_blocks_between_masked_ones_are_ordinary(masked: list[int]):
    tower = make_tower(masked_blocks=masked)
    (x, y), share = (draw(2, 3, 32, 32, seed=seed) for seed in (0, 1)), torch.rand(2, 16) * (draw(2, 16) > 0)
    found = tower.fuse_into_local(tower.early(x), tower.early(y), share, share > 0)
    u, v = tower.embed(x), tower.embed(y)
    by_index = dict(zip(tower.masked, definition_of_masking(tower, u, share), strict=True))
    for index, block in enumerate(tower.blocks):
        if index in by_index:
            _, forbidden, keep = by_index[index]
            u, v = block(u + 2 * v * keep), block(v, attn_mask=forbidden)
        else:
            u, v = block(u), block(v)
    assert_same(found, tower.visual.ln_post(u[:, 0]) @ tower.visual.proj)


def test_the_order_of_the_librarys_axes_does_not_matter(
    tower: VisionTower, pictures: tuple[Tensor, Tensor], share: Tensor
):
    x, y = (tower.early(images) for images in pictures)
    expected = tower.mask_tokens(x, share), tower.fuse_into_local(x, y, share, share > 0)
    tower.visual.transformer.batch_first = False
    for block in tower.blocks:
        block.attn.batch_first = False
    x, y = (tower.early(images) for images in pictures)
    assert_same(tower.mask_tokens(x, share), expected[0])
    assert_same(tower.fuse_into_local(x, y, share, share > 0), expected[1])


def test_masked_patches_are_not_seen_where_all_blocks_are_masked():
    """Before the first block a token is its patch alone: what is masked there cannot be seen at all."""
    one, two = draw(1, 3, 32, 32), draw(1, 3, 32, 32, seed=1)
    two[:, :, 8:16, 8:24] = one[:, :, 8:16, 8:24]
    share = torch.zeros(1, 16)
    share[0, 5:7] = 1
    everywhere, late = make_tower(masked_blocks=4), make_tower(masked_blocks=1)
    first, second = (everywhere.mask_tokens(everywhere.early(image), share) for image in (one, two))
    assert_same(first, second)
    first, second = (late.mask_tokens(late.early(image), share) for image in (one, two))
    assert (
        relative_error(first.numpy(), second.numpy()) > 1e-2
    )  # the first blocks carry the surroundings into the region


def test_a_boolean_mask_handed_to_the_librarys_block_masks_nothing():
    """Why masks are additive: open_clip casts True to 1.0, which only nudges the attention."""
    block, tokens = make_tower().blocks[0], draw(1, 5, 48)
    changed = tokens.clone()
    changed[:, 4] *= -3
    forbidden = torch.zeros(5, 5, dtype=torch.bool)
    forbidden[0, 4] = True  # the class token is not to see the last patch
    additive = torch.zeros(5, 5).masked_fill(forbidden, float("-inf"))
    leak = (block(tokens, attn_mask=forbidden) - block(changed, attn_mask=forbidden))[0, 0].abs().max()
    sealed = (block(tokens, attn_mask=additive) - block(changed, attn_mask=additive))[0, 0].abs().max()
    assert leak > 1e-3
    assert sealed < 1e-6


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "masked"), [(None, (1, 2, 3)), (1, (3,)), (4, (0, 1, 2, 3)), ([2, 0, 2], (0, 2))]
    )
    def test_masked_blocks_are_the_last_ones_or_those_named(self, given: Any, masked: tuple[int, ...]):
        assert make_tower(masked_blocks=given).masked == masked

    def test_a_shallow_tower_masks_all_it_has_by_default(self):
        assert make_tower({**TINY, "layers": 2}, masked_blocks=None).masked == (0, 1)

    @pytest.mark.parametrize("given", [0, 5, -1, [], [4], [-1, 2]])
    def test_blocks_that_are_not_there_are_named(self, given: Any):
        with pytest.raises(BadInput, match=r"masked_blocks is .*tiny has 4 blocks: give .* 1 to 4, or .* from 0 to 3"):
            make_tower(masked_blocks=given)

    @pytest.mark.parametrize(
        ("vision", "reason"),
        [
            ({**TINY, "image_size": (32, 16)}, "square images"),
            ({**TINY, "qk_norm": True}, "CLIP's own blocks"),
        ],
    )
    def test_other_towers_are_refused(self, vision: dict[str, Any], reason: str):
        with pytest.raises(BadInput, match=reason):
            make_tower(vision)
