import pytest

from ris_core.errors import BadImage, BadInput
from ris_core.evaluation.dataset import Dataset, DatasetItem, open_pixels, shuffled


def item(name, part="main"):
    return DatasetItem(name, load=lambda: None, part=part)


def test_a_limit_takes_the_first_images_of_each_part():
    dataset = Dataset("d", "val", (item("1"), item("2"), item("3", "b"), item("4"), item("5", "b")), "")
    assert [i.image_id for i in dataset.first(1).items] == ["1", "3"]
    assert [i.image_id for i in dataset.first(2).items] == ["1", "2", "3", "5"]
    with pytest.raises(BadInput, match="limit is 0 images"):
        dataset.first(0)


def test_shuffling_forgets_the_order_but_not_the_images():
    items = [item(str(i)) for i in range(50)]
    once, again = shuffled(items), shuffled(items[::-1])
    assert [i.image_id for i in once] == [i.image_id for i in again] != [i.image_id for i in items]
    assert set(once) == set(items)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(BadImage, match=r"a\.jpg cannot be read"):
        open_pixels(tmp_path / "a.jpg", (10, 10))


def test_annotations_are_for_the_pixels_as_stored(tmp_path):
    """The camera's note that the picture lies on its side is not followed."""
    from PIL import Image as Pil

    picture = Pil.new("RGB", (30, 20))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert open_pixels(tmp_path / "a.jpg", (20, 30)).size_hw == (20, 30)
