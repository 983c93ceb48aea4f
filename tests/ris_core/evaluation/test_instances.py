import numpy as np
import pytest

from ris_core.errors import BadInput
from ris_core.evaluation.instances import rasterise, read_instances
from ris_core.geometry.masks import to_rle
from tests.ris_core.evaluation.files import LEFT_OF_RED, RED, RIGHT_OF_RED

SIZE_HW = (40, 60)


def quarter():
    mask = np.zeros(SIZE_HW, bool)
    mask[:20, :30] = True
    return mask


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param([RED], id="a polygon"),
        pytest.param([LEFT_OF_RED, RIGHT_OF_RED], id="two that overlap"),
        pytest.param([RED, [1, 1, 2, 2]], id="one without area beside it"),
        pytest.param(to_rle(quarter()), id="an RLE"),
        pytest.param([to_rle(quarter())], id="a list of RLEs, as RefCLEF has"),
        pytest.param(
            {"size": [40, 60], "counts": [0, *[20, 20] * 29, 20, 1220]}, id="an RLE of plain numbers, as crowds have"
        ),
    ],
)
def test_every_way_to_write_the_quarter_draws_it(segmentation):
    assert (rasterise(segmentation, SIZE_HW) == quarter()).all()


def test_the_released_code_leaves_overlaps_out():
    mask = rasterise([LEFT_OF_RED, RIGHT_OF_RED], SIZE_HW, overlap_is_background=True)
    assert mask.sum() == 400
    assert not mask[:, 10:20].any()


def test_nothing_drawn_is_an_empty_mask():
    assert not rasterise([], SIZE_HW).any()


@pytest.mark.parametrize(
    "segmentation",
    [
        7,
        [["a"] * 6],
        {"size": [40, 60]},
        [None],
        {"size": [40, 60], "counts": [-1, 2401]},
        {"size": [40, 60], "counts": "o" * 1000},
    ],
    ids=lambda one: str(one)[:40],
)
def test_no_segmentation_is_refused(segmentation):
    with pytest.raises(BadInput, match="must be a list of polygons or of run lengths"):
        rasterise(segmentation, SIZE_HW)


@pytest.mark.parametrize("counts", [[], [5], [2399], "", "0", "5"], ids=str)
def test_run_lengths_that_end_early_are_refused(counts):
    """What they do not cover would be what was in memory."""
    with pytest.raises(BadInput, match="must be a list of polygons or of run lengths"):
        rasterise({"size": [40, 60], "counts": counts}, (40, 60))


def test_run_lengths_of_any_mask_are_taken():
    rng = np.random.default_rng(5)
    for share in (0.0, 0.01, 0.5, 0.99, 1.0):
        mask = np.repeat(rng.random((40, 60)) < share, 50, axis=0)
        assert (rasterise(to_rle(mask), mask.shape) == mask).all()


def test_run_lengths_of_another_size_are_refused():
    with pytest.raises(BadInput, match=r"for \(40, 60\) \(H, W\), its image is \(60, 40\)"):
        rasterise(to_rle(quarter()), (60, 40))


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "is no JSON"), ("[]", "not in COCO's format"), ('{"images": [{"id": 1}]}', "KeyError 'file_name'")],
)
def test_a_file_of_another_format_is_refused(tmp_path, content, says):
    file = tmp_path / "instances.json"
    file.write_text(content)
    with pytest.raises(BadInput, match=says):
        read_instances(file)
