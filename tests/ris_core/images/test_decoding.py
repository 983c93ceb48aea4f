"""Decoding: what is handled, and what is refused with its value and remedy."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pil

from ris_core.errors import BadImage
from ris_core.images.decoding import decode


def encoded(image: Pil.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header_of(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims a size and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


GRADIENT = Pil.fromarray(np.arange(48 * 64 * 3, dtype=np.uint32).reshape(48, 64, 3).astype(np.uint8))


@pytest.mark.parametrize(
    ("image", "kind", "options", "size_hw"),
    [
        pytest.param(GRADIENT, "PNG", {}, (48, 64), id="plain"),
        pytest.param(GRADIENT.convert("CMYK"), "JPEG", {}, (48, 64), id="CMYK"),
        pytest.param(GRADIENT.convert("L"), "PNG", {}, (48, 64), id="grey"),
        pytest.param(GRADIENT.convert("1"), "PNG", {}, (48, 64), id="bilevel"),
        pytest.param(GRADIENT.quantize(8), "PNG", {"transparency": 3}, (48, 64), id="palette with alpha"),
        pytest.param(GRADIENT.convert("LA"), "PNG", {}, (48, 64), id="grey with alpha"),
        pytest.param(
            GRADIENT, "GIF", {"save_all": True, "append_images": [GRADIENT.rotate(90)]}, (48, 64), id="animated"
        ),
        pytest.param(GRADIENT.resize((1, 1)), "PNG", {}, (1, 1), id="1x1"),
        pytest.param(GRADIENT, "WEBP", {}, (48, 64), id="webp"),
    ],
)
def test_unusual_images_become_rgb(image, kind, options, size_hw):
    pixels, sha256 = decode(encoded(image, kind, **options))
    assert (pixels.shape, pixels.dtype) == ((*size_hw, 3), np.uint8)
    assert len(sha256) == 64


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None].repeat(4, 0)
    pixels, _ = decode(encoded(Pil.fromarray(ramp)))
    assert pixels[0, :, 0].tolist() == sorted(pixels[0, :, 0].tolist())
    assert pixels[0, 32, 0] == pytest.approx(129, abs=2)


def test_transparent_pixels_are_white():
    pixels, _ = decode(encoded(Pil.new("RGBA", (4, 4), (255, 0, 0, 0))))
    assert (pixels == 255).all()


def test_exif_orientation_is_applied():
    exif = Pil.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    upright, _ = decode(encoded(GRADIENT, "JPEG", quality=95, exif=exif))
    assert upright.shape == (64, 48, 3)
    assert np.abs(upright.astype(int) - np.rot90(np.asarray(GRADIENT), -1)).mean() < 30


def test_the_first_frame_of_an_animation_is_taken():
    red, blue = Pil.new("RGB", (8, 8), "red"), Pil.new("RGB", (8, 8), "blue")
    pixels, _ = decode(encoded(red, "GIF", save_all=True, append_images=[blue]))
    assert pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(b"", ["0 bytes", "Give an image file"], id="empty"),
        pytest.param(b"hello, I am text", ["not an image", "JPEG"], id="not an image"),
        pytest.param(encoded(GRADIENT, "JPEG", quality=95)[:-400], ["damaged", "again"], id="truncated JPEG"),
        pytest.param(encoded(GRADIENT)[:-40], ["damaged", "again"], id="truncated PNG"),
        pytest.param(
            png_header_of(10_000, 6_000),
            ["10000 x 6000", "60.0 megapixels", "limit is 50", "Scale it down"],
            id="too large",
        ),
        pytest.param(png_header_of(90_000, 90_000), ["8100000000 pixels", "Scale it down"], id="a decompression bomb"),
    ],
)
def test_bad_files_are_refused_with_value_and_remedy(data, says):
    with pytest.raises(BadImage) as caught:
        decode(data)
    assert [part for part in says if part not in str(caught.value)] == []
    assert caught.value.exit_code == 2


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadImage, match=r"nothing\.png cannot be opened .*Check the path"):
        decode(tmp_path / "nothing.png")


def test_too_large_images_are_refused_before_they_are_decoded():
    """The file has no pixel data at all, so decoding it would have failed with another message."""
    with pytest.raises(BadImage, match="megapixels"):
        decode(png_header_of(300, 300), max_pixels=80_000)
