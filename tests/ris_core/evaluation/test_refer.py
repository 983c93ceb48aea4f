import json

import pytest

from ris_core.errors import BadImage, BadInput, UnknownName
from ris_core.evaluation.refer import read_refer
from tests.ris_core.evaluation.files import (
    BLUE,
    GREEN,
    LEFT_OF_RED,
    RED,
    RIGHT_OF_RED,
    annotation,
    python2_pickle,
    ref,
    write_refer,
)

ANNOTATIONS = [
    annotation(11, [RED]),
    annotation(12, [GREEN]),
    annotation(13, [BLUE], category_id=2),
    annotation(14, {"size": [40, 60], "counts": [2400]}, iscrowd=1),
    annotation(21, [LEFT_OF_RED, RIGHT_OF_RED], image_id=2),
]
REFS = [
    ref(1, 11, "The Red square.", "red"),
    ref(2, 13, "blue", split="testA"),
    ref(3, 12, "green", split="testB"),
    ref(4, 21, "the broken one", image_id=2),
    ref(5, 12, "green square"),
]


def texts(dataset):
    return sorted(sample.text for item in dataset.items for sample in item.load().samples)


@pytest.mark.parametrize("name", ["refcoco", "refcoco+"])
def test_every_sentence_of_a_split_is_asked_once_with_its_objects_mask(tmp_path, name):
    dataset = read_refer(write_refer(tmp_path, name, REFS, ANNOTATIONS), name, "val")
    assert sorted(item.image_id for item in dataset.items) == ["1", "2"]
    case = next(item for item in dataset.items if item.image_id == "1").load()
    assert [(s.id, s.text, s.targets, s.same_class) for s in case.samples] == [
        ("1.10", "The Red square.", (0,), 2),
        ("1.11", "red", (0,), 2),
        ("5.50", "green square", (1,), 2),
    ]
    assert [int(mask.sum()) for mask in case.objects] == [600, 600]
    assert case.truth(case.samples[0])[:20, :30].all()
    assert case.image.size_hw == (40, 60)


@pytest.mark.parametrize(
    ("split", "found"),
    [
        ("testA", ["blue"]),
        ("testB", ["green"]),
        ("test", ["blue", "green"]),
        ("val", ["The Red square.", "green square"]),
    ],
)
def test_splits_match_as_the_authors_interface_does(tmp_path, split, found):
    root = write_refer(tmp_path, "refcoco", REFS, ANNOTATIONS)
    assert set(found) <= set(texts(read_refer(root, "refcoco", split)))
    assert len(texts(read_refer(root, "refcoco", split))) == {"val": 4}.get(split, len(found))


def test_an_unknown_split_is_refused_with_those_there_are(tmp_path):
    root = write_refer(tmp_path, "refcoco", REFS, ANNOTATIONS)
    with pytest.raises(UnknownName, match=r"no split named 'minival'\. Available: testA, testB, val\."):
        read_refer(root, "refcoco", "minival")


def test_partitions_are_files_of_their_own(tmp_path):
    write_refer(tmp_path, "refcocog", REFS[:1], ANNOTATIONS, partition="umd")
    write_refer(tmp_path, "refcocog", REFS, ANNOTATIONS, partition="google")
    assert len(texts(read_refer(tmp_path, "refcocog", "val"))) == 2
    google = read_refer(tmp_path, "refcocog", "val", partition="google")
    assert (google.split, len(texts(google))) == ("val (google)", 4)
    with pytest.raises(UnknownName, match=r"no partition 'unc'\. Available: umd, google\."):
        read_refer(tmp_path, "refcocog", "val", partition="unc")


def test_the_cleaned_wording_can_be_asked_instead(tmp_path):
    root = write_refer(tmp_path, "refcoco", REFS, ANNOTATIONS)
    assert "the red square" in texts(read_refer(root, "refcoco", "val", wording="sent"))


def test_overlapping_polygons_are_foreground_unless_the_papers_quirk_is_on(tmp_path):
    root = write_refer(tmp_path, "refcoco", REFS[3:4], ANNOTATIONS)
    areas = {
        quirks: int(read_refer(root, "refcoco", "val", quirks=frozenset(quirks)).items[0].load().objects.sum())
        for quirks in [(), ("Q-GTOVERLAP",)]
    }
    assert areas == {(): 600, ("Q-GTOVERLAP",): 400}


def test_generalized_refs_have_several_targets_one_or_none(tmp_path):
    refs = [
        ref(1, [11, 13], "both"),
        ref(2, [12], "green"),
        ref(3, [-1], "the purple one"),
        ref(4, [11, 14], "not the crowd"),
    ]
    dataset = read_refer(write_refer(tmp_path, "grefcoco", refs, ANNOTATIONS), "grefcoco", "val")
    case = dataset.items[0].load()
    assert [(s.text, s.targets, s.same_class) for s in case.samples] == [
        ("both", (0, 1), 0),
        ("green", (2,), 2),
        ("the purple one", (), 0),
        ("not the crowd", (0,), 0),
    ]
    assert [int(case.truth(s).sum()) for s in case.samples] == [1200, 600, 0, 600]
    assert (dataset.precision_at, dataset.precision_inclusive) == ((0.7, 0.8, 0.9), True)


def test_generalized_refs_are_read_from_json_too(tmp_path):
    root = write_refer(tmp_path, "grefcoco", [ref(1, [-1], "old")], ANNOTATIONS)
    (root / "grefcoco" / "grefs(unc).json").write_text(json.dumps([ref(1, [11], "new")]))
    assert texts(read_refer(root, "grefcoco", "val")) == ["new"]


def test_the_digest_changes_with_the_annotations_and_the_reading(tmp_path):
    root = write_refer(tmp_path, "refcoco", REFS, ANNOTATIONS)
    same = {read_refer(root, "refcoco", "val").digest for _ in range(2)}
    quirk = read_refer(root, "refcoco", "val", quirks=frozenset({"Q-GTOVERLAP"})).digest
    cleaned = read_refer(root, "refcoco", "val", wording="sent").digest
    write_refer(tmp_path, "refcoco", REFS[:4], ANNOTATIONS)
    assert len({*same, quirk, cleaned, read_refer(root, "refcoco", "val").digest}) == 4


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        pytest.param("refcoco/refs(unc).p", r"refs\(unc\)\.p is missing.*--root", id="refs"),
        pytest.param("refcoco/instances.json", r"instances\.json cannot be read", id="instances"),
    ],
)
def test_a_missing_file_is_named_with_its_place(tmp_path, missing, says):
    root = write_refer(tmp_path, "refcoco", REFS, ANNOTATIONS)
    (root / missing).unlink()
    with pytest.raises(BadInput, match=says):
        read_refer(root, "refcoco", "val")


def test_a_missing_or_scaled_image_is_named_when_it_is_needed(tmp_path):
    root = write_refer(tmp_path, "refcoco", REFS[:1], ANNOTATIONS)
    [item] = read_refer(root, "refcoco", "val").items
    image = root / "images/mscoco/images/train2014/COCO_train2014_000000000001.jpg"
    file = root / "refcoco/instances.json"
    file.write_text(file.read_text().replace('"height": 40', '"height": 41'))
    with pytest.raises(BadImage, match=r"is \(40, 60\) \(H, W\), its annotations say \(41, 60\)"):
        read_refer(root, "refcoco", "val").items[0].load()
    image.unlink()
    with pytest.raises(BadImage, match=r"train2014/COCO_train2014_000000000001\.jpg is missing"):
        item.load()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param({"refs": []}, "holds a dict, not a list", id="no list"),
        pytest.param([{"ref_id": 1}], "Ref 0 .* KeyError 'ann_id'", id="a key is missing"),
        pytest.param([ref(1, "a", "b")], "Ref 0 .* ValueError", id="a number is none"),
    ],
)
def test_a_file_that_is_not_in_the_format_is_refused(tmp_path, content, says):
    root = write_refer(tmp_path, "refcoco", REFS, ANNOTATIONS)
    (root / "refcoco/refs(unc).p").write_bytes(python2_pickle(content))
    with pytest.raises(BadInput, match=says):
        read_refer(root, "refcoco", "val")


def test_an_annotation_that_is_not_there_is_named(tmp_path):
    root = write_refer(tmp_path, "refcoco", [ref(1, 99, "red")], ANNOTATIONS)
    with pytest.raises(BadInput, match=r"annotation 99 is not in .*instances\.json"):
        read_refer(root, "refcoco", "val").items[0].load()
