import numpy as np
import pytest

from ris_core import Image, Proposals


def test_the_digest_of_an_image_is_that_of_its_bytes(tmp_path):
    import hashlib

    from PIL import Image as Pil

    file = tmp_path / "red.png"
    Pil.new("RGB", (4, 3), "red").save(file)
    image = Image.open(file)
    assert image.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert image.size_hw == (3, 4)


def test_pixels_of_another_shape_have_another_digest():
    flat, tall = np.zeros((2, 8, 3), np.uint8), np.zeros((8, 2, 3), np.uint8)
    assert Image.from_array(flat).sha256 != Image.from_array(tall).sha256


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)], ids=["grey", "float"])
def test_pixels_of_the_wrong_kind_are_refused(pixels):
    with pytest.raises(ValueError, match="uint8"):
        Image.from_array(pixels)


def test_parallel_arrays_must_agree():
    with pytest.raises(ValueError, match=r"stability must have shape \(2,\), not \(1,\)"):
        Proposals(
            np.zeros((2, 4, 4), bool), np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.ones(1, np.float32)
        )


def test_the_digest_of_proposals_tells_masks_apart():
    one, two = np.zeros((2, 1, 4, 4), bool)
    two[0, 0, 0] = True
    assert Proposals.from_masks(one).digest() != Proposals.from_masks(two).digest()
