import numpy as np
import pytest
import torch

from demo.scenes import make_scene
from demo.sprites import vocabulary
from demo.training import TRAIN_SEED
from demo.views import GRID, NOUNS, cut, make_batch, match, own_patches, propose, to_grid


@pytest.fixture(scope="module")
def batch():
    return make_batch([TRAIN_SEED + 5, TRAIN_SEED + 6])


def test_same_seeds_give_the_same_views(batch):
    again = make_batch([TRAIN_SEED + 5, TRAIN_SEED + 6])
    assert torch.equal(batch.crops, again.crops)
    assert batch.captions == again.captions


def test_labels_cover_every_view_once(batch):
    pairs, frames, rows = len(batch.masked), len(batch.grids), len(batch.row_of)
    assert len(batch.labels.noun) == len(batch.crops) + 3 * pairs + frames + rows


def test_first_captions_name_the_vocabulary_in_order(batch):
    assert [caption.noun for caption in batch.captions[: len(NOUNS)]] == list(vocabulary()["classes"])


def test_no_caption_is_both_true_and_false(batch):
    true, false = match(batch.labels, batch.said)
    assert not (true & false).any()
    assert true.any(1).all()


def test_a_view_is_only_of_its_own_noun(batch):
    true, false = match(batch.labels, batch.said)
    single = batch.labels.axis < 0
    own = torch.nn.functional.one_hot(batch.labels.noun[single], len(NOUNS)).bool()
    assert torch.equal(true[single][:, : len(NOUNS)], own)
    assert torch.equal(false[single][:, : len(NOUNS)], ~own)


def test_a_colour_it_may_be_called_is_left_out_of_the_contrast(batch):
    true, false = match(batch.labels, batch.said)
    unclear = 0
    for v, t in (~true & ~false).nonzero().tolist():
        if batch.labels.axis[v] < 0 and batch.said.axis[t] < 0:
            unclear += 1
            assert batch.labels.may_be[v, batch.said.colour[t]]
            assert batch.labels.colour[v] != batch.said.colour[t]
    assert unclear


def test_swapped_relation_is_false():
    seen = 0
    for seed in range(TRAIN_SEED, TRAIN_SEED + 12):
        batch = make_batch([seed])
        true, false = match(batch.labels, batch.said)
        for view in (batch.labels.axis >= 0).nonzero()[:, 0].tolist():
            related = [t for t, caption in enumerate(batch.captions) if caption.relation not in (None, "near")]
            assert sum(bool(true[view, t]) for t in related) == 1
            assert sum(bool(false[view, t]) for t in related) == 1
            seen += 1
    assert seen


def test_grid_is_the_share_of_each_patch():
    mask = np.zeros((80, 160), bool)
    mask[:15, :20] = True
    grid = to_grid(None, mask).reshape(GRID, GRID)
    assert grid[0, 0] == pytest.approx(1)
    assert grid[1, 0] == pytest.approx(0.5)
    assert np.count_nonzero(grid) == 2


def test_tiny_mask_keeps_one_patch():
    mask = np.zeros((320, 320), bool)
    mask[100:104, 50:54] = True
    assert np.flatnonzero(to_grid(None, mask)).tolist() == [2 * GRID + 1]


def test_proposals_overlap_their_object():
    rng, scene = np.random.default_rng(3), make_scene(3)
    for i, item in enumerate(scene.objects):
        proposal = propose(rng, scene, i)
        assert proposal.shape == item.mask.shape
        assert (proposal & item.mask).sum() >= 0.4 * item.mask.sum()


def test_masked_crop_shows_nothing_outside_the_mask():
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 10:30] = (200, 0, 0)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:20] = True
    crop = cut(np.random.default_rng(0), image, mask, fill=True)
    reds = (crop == (200, 0, 0)).all(-1).mean()
    assert reds > 0.8


def test_patches_belong_to_the_object_on_them():
    scene = make_scene(4)
    owners = own_patches(scene)
    assert set(owners.tolist()) <= {-2, -1, *(NOUNS[item.noun] for item in scene.objects)}
    assert (owners == -1).any()
    assert (owners >= 0).any()
