"""Patches outside a mask count as one: fewer tokens, the same features."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ris_core.encoders._token_groups import SLACK, SLACK_FACTOR, group_masks
from tests.ris_core.encoders.test_vit import assert_same, definition_of_masking, draw, make_tower

CELLS = 16


def draw_share(counts: list[int], cells: int = CELLS) -> Tensor:
    """Masks that touch so many patches, in random places."""
    share = torch.zeros(len(counts), cells)
    generator = torch.Generator().manual_seed(3)
    for row, count in zip(share, counts, strict=True):
        places = torch.randperm(cells, generator=generator)[:count]
        row[places] = 0.1 + 0.9 * torch.rand(count, generator=generator)
    return share


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, CELLS), min_size=1, max_size=9), st.sampled_from([[2, 3], [1, 3], [0]]), st.booleans())
def test_features_are_those_of_all_tokens(counts: list[int], masked: list[int], is_shared: bool):
    tower, share = make_tower(masked_blocks=masked), draw_share(counts)
    images = draw(1, 3, 32, 32) if is_shared else draw(len(counts), 3, 32, 32)
    tokens = tower.early(images)
    found = tower.mask_tokens(tokens, share)
    states, keeps = tokens.expand(len(counts), -1, -1), {}
    for block, _, keep in definition_of_masking(tower, states, share):
        keeps[id(block)] = keep
    for block in tower.blocks[masked[0] :]:
        states = block(states * keeps.get(id(block), 1))
    assert_same(found, tower.visual.ln_post(states[:, 0]) @ tower.visual.proj)


def test_every_mask_is_in_one_group_with_its_patches():
    counts = [0, 3, 150, 1, 40, 196, 9, 41, 12]
    share = draw_share(counts, cells=196)
    groups = list(group_masks(share))
    assert sorted(torch.cat([group.members for group in groups]).tolist()) == list(range(len(counts)))
    for group in groups:
        for member, rows, factor, bias in zip(group.members, group.rows, group.factor, group.bias, strict=True):
            count = counts[member]
            seen = {int(row) - 1: float(f) for row, f in zip(rows, factor, strict=True) if row and f}
            assert seen == {int(i): float(share[member, i]) for i in share[member].nonzero()}
            assert (rows[0], factor[0], bias[0]) == (0, 1, 0)
            assert bias.exp().sum() == pytest.approx(1 + 196)  # the keys stand for all tokens
            assert bias[-1].exp() == pytest.approx(196 - count)


def test_a_small_mask_does_not_wait_for_a_large_one():
    counts = [2] * 30 + [60] * 5 + [190]
    groups = list(group_masks(draw_share(counts, cells=196)))
    tokens = sum(group.rows.numel() for group in groups)
    assert tokens <= sum(SLACK_FACTOR * count + SLACK + 2 for count in counts)
    assert tokens < 0.2 * len(counts) * 197
    assert len(groups) == 3
