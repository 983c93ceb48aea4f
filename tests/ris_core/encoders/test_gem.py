"""GEM on small towers; the recorded outputs are in test_golden_gem.py."""

import math
from typing import Any

import pytest
import torch

from ris_core.encoders import _gem
from ris_core.errors import BadInput
from tests.ris_core.encoders.test_vit import SHAPES, TINY, draw, make_tower
from tests.ris_core.pictures import relative_error


def settings(**changes: Any) -> _gem.Grounding:
    return _gem.Grounding.of(make_tower(), **changes)


@pytest.mark.parametrize("vision", SHAPES.values(), ids=SHAPES)
def test_without_a_second_stream_patches_are_the_librarys(vision: dict[str, Any]):
    tower = make_tower(vision)
    image = draw(1, 3, tower.size_px, tower.size_px)
    found = _gem.ground(tower, _gem.inputs(tower, image), settings(blocks=0))
    output = tower.visual.forward_intermediates(image, indices=1, normalize_intermediates=True, output_fmt="NLC")
    assert relative_error(found[1:].numpy(), (output["image_intermediates"][0] @ tower.visual.proj)[0].numpy()) < 1e-5


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_alike_tokens_are_gathered_as_defined(rounds: int):
    """One block, head by head."""
    tower = make_tower()
    before = _gem.inputs(tower, draw(1, 3, 32, 32))
    found = _gem.ground(tower, before, settings(blocks=1, rounds=rounds))
    block, heads, d = tower.blocks[-1], 3, 16
    normed = block.ln_1(before[-1])[0]
    temperature = normed.norm(dim=1).mean() / math.sqrt(d)
    query, key, value = (normed @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, dim=1)
    merged = []
    for head in range(heads):
        q, k, v = (part[:, head * d : (head + 1) * d] for part in (query, key, value))
        gathered = []
        for group in (q, k, v):
            unit = group / group.norm(dim=1, keepdim=True)
            for _ in range(rounds):
                drawn = torch.softmax(temperature * unit @ unit.T, dim=1) @ unit
                unit = drawn / drawn.norm(dim=1, keepdim=True)
            gathered.append(torch.softmax(temperature * unit @ unit.T, dim=1) @ v)
        merged.append(sum(gathered) / 3)
    attended = block.attn.out_proj(torch.cat(merged, dim=1))
    expected = tower.visual.ln_post(before[-1][0] + attended) @ tower.visual.proj
    assert relative_error(found.numpy(), expected.numpy()) < 1e-5


def test_the_order_of_the_librarys_axes_does_not_matter():
    """Quirk Q-GEMLIB: the released wrapper attends over the batch when the axes are the other way round."""
    tower, image = make_tower(), draw(1, 3, 64, 64)
    expected = _gem.ground(tower, _gem.inputs(tower, image), settings())
    tower.visual.transformer.batch_first = False
    for block in tower.blocks:
        block.attn.batch_first = False
    found = _gem.ground(tower, _gem.inputs(tower, image), settings())
    assert relative_error(found.numpy(), expected.numpy()) < 1e-5


def test_another_size_resamples_the_places_but_not_the_class_tokens():
    tower = make_tower()
    larger = tower._positions(8)
    assert larger.shape == (65, 48)
    assert torch.equal(larger[0], tower.visual.positional_embedding[0])
    assert tower._positions(4) is tower.visual.positional_embedding


@pytest.mark.parametrize(
    ("vision", "expected"),
    [
        (TINY, (64, 2, 1, None)),
        (SHAPES["36px/12, 6 blocks"], (72, 3, 1, None)),
        ({**TINY, "image_size": 36}, (72, 2, 1, None)),
    ],
)
def test_by_default_half_of_the_blocks_ground_twice_the_size(vision: dict[str, Any], expected: tuple[Any, ...]):
    assert _gem.Grounding.of(make_tower(vision)) == expected


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"px": 100}, "heat_px is 100; tiny has patches of 8 px: give a multiple, such as 256"),
        ({"px": 0}, "heat_px is 0"),
        ({"blocks": 5}, "heat_blocks is 5; tiny has 4 blocks: give 0 to 4"),
        ({"blocks": -1}, "heat_blocks is -1"),
        ({"rounds": -1}, "heat_rounds is -1; give 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_named(changes: dict[str, int], said: str):
    with pytest.raises(BadInput, match=said):
        settings(**changes)
