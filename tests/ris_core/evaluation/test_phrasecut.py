import pytest

from ris_core.errors import BadInput, UnknownName
from ris_core.evaluation.phrasecut import draw_polygons, read_phrasecut
from tests.ris_core.evaluation.files import phrase, write_phrasecut

RED = [[0, 0], [29.9, 0], [29.9, 19.5], [0, 19]]
"""Corners that are cut to (29, 19) and whose outline is drawn: exactly the red quarter."""
BLUE = [[0, 20], [29, 20], [29, 39], [0, 39]]


def test_a_phrase_means_all_of_its_instances(tmp_path):
    root = write_phrasecut(tmp_path, [phrase("1__0", "squares", [RED], [BLUE]), phrase("1__1", "red square", [RED])])
    [item] = read_phrasecut(root, "val").items
    case = item.load()
    assert [(s.id, s.text, s.targets) for s in case.samples] == [
        ("1__0", "squares", (0, 1)),
        ("1__1", "red square", (2,)),
    ]
    assert [int(case.truth(s).sum()) for s in case.samples] == [1200, 600]
    assert case.truth(case.samples[1])[:20, :30].all()


def test_an_image_of_another_size_is_brought_to_the_annotations(tmp_path):
    root = write_phrasecut(tmp_path, [phrase("1__0", "red", [RED])])
    case = read_phrasecut(root, "val").items[0].load()
    assert case.image.size_hw == (40, 60)
    assert tuple(case.image.pixels[10, 10]) == (255, 0, 0)


def test_an_instance_may_have_several_polygons_and_degenerate_ones():
    assert draw_polygons([RED, BLUE, [[5, 5]], []], (40, 60)).sum() == 1200


def test_its_thresholds_are_the_data_sets_own(tmp_path):
    dataset = read_phrasecut(write_phrasecut(tmp_path, [phrase("1__0", "red", [RED])]), "val")
    assert (dataset.precision_at, dataset.precision_inclusive) == ((0.3, 0.5, 0.7, 0.9), False)


def test_unknown_splits_and_missing_files_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(UnknownName, match=r"'dev'\. Available: train, val, test, miniv"):
        read_phrasecut(tmp_path, "dev")
    with pytest.raises(BadInput, match=r"image_data_split3000\.json cannot be read"):
        read_phrasecut(tmp_path, "val")


def test_an_image_that_is_not_listed_is_refused(tmp_path):
    root = write_phrasecut(tmp_path, [phrase("1__0", "red", [RED])])
    (root / "image_data_split3000.json").write_text("[]")
    with pytest.raises(BadInput, match=r"not in PhraseCut's format: KeyError 1"):
        read_phrasecut(root, "val")


@pytest.mark.parametrize("polygons", [[[1, 2, 3]], [[[1, 2, 3]]], [[["a", 2], [1, 2]]], 7], ids=str)
def test_what_is_no_polygon_is_refused(polygons):
    with pytest.raises(BadInput, match=r"must be \[x, y\]"):
        draw_polygons(polygons, (40, 60))
