"""Where things are, against recorded tables (tests/data/golden/README.md, section 6) and by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ris_core.geometry import spatial_guidance
from tests.ris_core import golden

TABLES = golden.arrays("spatial_units")
RELATIONS = ("none", "left", "right", "up", "down", "big", "small", "within")
BOXES = np.array([[0, 0, 4, 4], [10, 2, 2, 2], [1, 1, 2, 2]], float)
"""A large one on the left, a small one on the right and a little lower, a small one in the middle of the first."""


def terms(relation, guarded=True, boxes=BOXES):
    ones = np.ones(len(boxes))
    return spatial_guidance.relation_terms(boxes, ones, boxes, ones, relation, guarded)


class TestRelations:
    @pytest.mark.parametrize("relation", RELATIONS)
    def test_recorded_terms(self, relation):
        boxes = TABLES["boxes"].astype(float)
        found = spatial_guidance.relation_terms(
            boxes, TABLES["score_i"], boxes, TABLES["score_j"], relation, guarded=False
        )
        golden.assert_close(found, TABLES[f"rel_{relation}"], 1e-6)

    @pytest.mark.parametrize(
        ("relation", "holds"),
        [
            ("left", [(0, 1), (2, 1)]),
            ("right", [(1, 0), (1, 2)]),
            ("up", [(0, 1), (2, 1)]),
            ("down", [(1, 0), (1, 2)]),
            ("big", [(0, 1), (0, 2)]),
            ("small", [(1, 0), (2, 0)]),
        ],
    )
    def test_pairs_that_stand_in_a_relation(self, relation, holds):
        assert [tuple(pair) for pair in np.argwhere(terms(relation))] == holds

    def test_within_is_the_share_that_the_other_covers(self):
        np.testing.assert_allclose(terms("within"), [[1, 0, 0.25], [0, 1, 0], [1, 0, 1]])

    def test_without_relation_each_keeps_its_score(self):
        found = spatial_guidance.relation_terms(BOXES, np.array([0.5, 0.3, 0.2]), BOXES[:2], np.ones(2), "none")
        np.testing.assert_allclose(found, [[0.5, 0.5], [0.3, 0.3], [0.2, 0.2]])

    def test_a_box_without_area_is_within_nothing_or_as_released_undefined(self):
        boxes = np.array([[3, 3, 0, 5], [0, 0, 9, 9]], float)
        assert terms("within", boxes=boxes)[0] == pytest.approx([0, 0])
        assert np.isnan(terms("within", guarded=False, boxes=boxes)[0]).all()

    def test_an_unknown_relation_is_named(self):
        with pytest.raises(ValueError, match=r"No relation 'beside'\. Available: none, left"):
            terms("beside")


class TestPositions:
    @pytest.mark.parametrize("position", ["none", "left", "right", "middle", "up", "down"])
    @pytest.mark.parametrize("size", range(3))
    def test_recorded_ramps(self, position, size):
        found = spatial_guidance.position_prior(tuple(TABLES["dir_sizes"][size].tolist()), position, vertical=False)
        golden.assert_close(found[0], TABLES[f"dir_{position}_{size}_row"], 1e-6)
        np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape))

    @pytest.mark.parametrize(("low", "high"), [("left", "right"), ("up", "down")])
    def test_opposite_positions_mirror_each_other(self, low, high):
        one, two = (spatial_guidance.position_prior((7, 10), position) for position in (low, high))
        np.testing.assert_allclose(one, two[::-1, ::-1])
        np.testing.assert_allclose(one + two, 1)

    def test_the_middle_of_an_even_width_is_symmetric(self):
        row = spatial_guidance.position_prior((3, 12), "middle")[0]
        np.testing.assert_allclose(row, row[::-1])

    def test_up_is_best_at_the_top_but_not_as_released(self):
        """Quirk Q-VERT."""
        assert spatial_guidance.position_prior((5, 4), "up")[:, 0] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
        assert spatial_guidance.position_prior((5, 4), "up", vertical=False) == pytest.approx(np.ones((5, 4)))

    @pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1)])
    @pytest.mark.parametrize("position", ["left", "right", "middle", "up", "down"])
    def test_thin_images_have_a_prior(self, size_hw, position):
        assert spatial_guidance.position_prior(size_hw, position).shape == size_hw


class TestHeat:
    @pytest.mark.parametrize(("cells", "pixels"), [(28, 448), (448, 640), (448, 427), (448, 90), (3, 1), (5, 5)])
    def test_resizing_is_that_of_the_library(self, cells, pixels):
        values = np.random.default_rng(0).normal(size=(cells, cells + 1))
        found = spatial_guidance.resize(values, (pixels, 2 * pixels))
        batch = torch.from_numpy(values)[None, None]
        expected = F.interpolate(batch, (pixels, 2 * pixels), mode="bilinear", antialias=True, align_corners=False)
        np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-10)

    def test_a_map_goes_from_0_to_1_at_the_images_size(self):
        heat = spatial_guidance.heat_map(np.random.default_rng(0).normal(size=(4, 4)), (30, 50))
        assert heat.shape == (30, 50)
        assert (heat.min(), heat.max()) == pytest.approx((0, 1))
        assert 0 <= heat.min() < heat.max() <= 1

    def test_a_flat_map_says_nothing_or_as_released_is_undefined(self):
        assert spatial_guidance.heat_map(np.full((4, 4), 0.25), (8, 8)) == pytest.approx(np.ones((8, 8)))
        assert np.isnan(spatial_guidance.heat_map(np.full((4, 4), 0.25), (8, 8), guarded=False)).all()


class TestCoherence:
    HEAT = np.random.default_rng(1).random((9, 11))

    @pytest.mark.parametrize(("relation", "balance"), [("none", 1.8), ("left", 1.8), ("big", 1.95), ("small", 1.5)])
    def test_it_weighs_the_mean_heat_inside_against_that_outside(self, relation, balance):
        mask = np.random.default_rng(2).random((9, 11)) > 0.7
        density = self.HEAT / self.HEAT.mean()
        expected = (2 - balance) * density[mask].mean() - balance * density[~mask].mean()
        assert spatial_guidance.coherence(self.HEAT, mask[None], relation)[0] == pytest.approx(expected)

    def test_it_follows_from_the_sums_inside(self):
        """The outside mean is (1 - area x inside) / (1 - area), because the overall mean is 1."""
        mask = np.random.default_rng(3).random((9, 11)) > 0.4
        inside, area = (self.HEAT / self.HEAT.mean())[mask].mean(), mask.mean()
        expected = 0.2 * inside - 1.8 * (1 - area * inside) / (1 - area)
        assert spatial_guidance.coherence(self.HEAT, mask[None])[0] == pytest.approx(expected)

    def test_a_mask_of_everything_is_as_good_as_heat_everywhere_or_as_released_undefined(self):
        """Quirk Q-FULLMASK."""
        whole = np.ones((1, 9, 11), bool)
        assert spatial_guidance.coherence(self.HEAT, whole) == pytest.approx([0.2 - 1.8])
        assert np.isnan(spatial_guidance.coherence(self.HEAT, whole, guarded=False)).all()

    def test_an_empty_mask_is_worse_than_that(self):
        assert spatial_guidance.coherence(self.HEAT, np.zeros((1, 9, 11), bool)) == pytest.approx([-1.8])

    def test_without_any_heat_masks_are_alike(self):
        masks = np.arange(99).reshape(9, 11)[None] < np.array([10, 50])[:, None, None]
        assert np.ptp(spatial_guidance.coherence(np.zeros((9, 11)), masks)) == pytest.approx(0)

    def test_no_masks_have_no_coherence(self):
        assert spatial_guidance.coherence(self.HEAT, np.zeros((0, 9, 11), bool)).shape == (0,)
