"""Pictures as cameras, scanners and other programs write them: turned, deep, cut short, and what is no picture at all."""

import contextlib
import io
import logging
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image as Pil
from PIL import features

from ris_core.errors import BadImage
from ris_core.images.decoding import decode, read
from ris_core.images.exif import read_orientation

RNG = np.random.default_rng(0)
SMOOTH = np.asarray(
    Pil.fromarray(RNG.integers(0, 255, (12, 16, 3), np.uint8)).resize((160, 120), Pil.Resampling.BICUBIC)
)
CORNER = np.zeros((40, 60, 3), np.uint8)
CORNER[:10, :20] = 255


def encoded(pixels: np.ndarray | Pil.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Pil.Image) else Pil.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_of(
    *entries: tuple[int, int, int, bytes], order: str = "<", magic: int = 42, count: int | None = None
) -> bytes:
    """A block of EXIF; an entry is tag, type, number and the four bytes of its value."""
    mark = b"II" if order == "<" else b"MM"
    block = mark + struct.pack(f"{order}HIH", magic, 8, len(entries) if count is None else count)
    for tag, kind, number, value in entries:
        block += struct.pack(f"{order}HHI", tag, kind, number) + value
    return b"Exif\0\0" + block + b"\0\0\0\0"


def png_of(values: np.ndarray, colours: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits, which Pillow does not write in colours."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


SHORT, LONG, RATIONAL, SIGNED_RATIONAL, DOUBLE = 3, 4, 5, 10, 12
TURNED = (0x0112, SHORT, 1, b"\x06\0\0\0")


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_pictures_stand_up(self, orientation, kind):
        exif = Pil.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
        upright, _ = decode(encoded(CORNER, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **options))
        back = {5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a), 7: lambda a: a[::-1, ::-1].swapaxes(0, 1)}
        back |= {8: lambda a: np.rot90(a, -1), 1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1]}
        back |= {4: lambda a: a[::-1]}
        assert np.abs(back[orientation](upright).astype(int) - CORNER).max() < 60
        assert upright.flags["C_CONTIGUOUS"]

    @pytest.mark.parametrize(
        "others",
        [
            pytest.param([(0x011A, SIGNED_RATIONAL, 1, b"\x26\0\0\0")], id="a signed number in XResolution"),
            pytest.param([(0x0100, LONG, 1, b"\0\x28\x6b\xee")], id="a number too large for its tag"),
            pytest.param([(0x0100, DOUBLE, 1, b"\xff\xff\xff\xff")], id="an offset beyond the end"),
            pytest.param([(0x9286, 99, 1, b"abcd")], id="an unknown type"),
            pytest.param([(0x8769, LONG, 1, b"\xff\xff\xff\x7f")], id="another directory beyond the end"),
            pytest.param([(0x8825, SHORT, 7, b"abcd"), (0x8769, RATIONAL, 1 << 31, b"abcd")], id="wrong counts"),
        ],
    )
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_other_tags_do_not_matter(self, others, kind):
        exif = exif_of(TURNED, *others)
        assert decode(encoded(CORNER, kind, exif=exif))[0].shape == (60, 40, 3)

    @pytest.mark.parametrize(
        "exif",
        [
            pytest.param(b"", id="nothing"),
            pytest.param(b"Exif\0\0", id="only its name"),
            pytest.param(b"Exif\0\0II*\0", id="cut in its head"),
            pytest.param(exif_of(TURNED)[:20], id="cut in its tag"),
            pytest.param(exif_of(TURNED, magic=43), id="another magic number"),
            pytest.param(exif_of((0x0112, SHORT, 1, b"\x09\0\0\0")), id="nine"),
            pytest.param(exif_of((0x0112, SHORT, 1, b"\0\0\0\0")), id="zero"),
            pytest.param(exif_of((0x0112, SHORT, 0, b"\x06\0\0\0")), id="no value"),
            pytest.param(exif_of((0x0112, SHORT, 2, b"\x06\0\x06\0")), id="two values"),
            pytest.param(exif_of((0x0112, 2, 1, b"6\0\0\0")), id="text"),
            pytest.param(exif_of((0x0112, SIGNED_RATIONAL, 1, b"\x06\0\0\0")), id="a fraction"),
            pytest.param(exif_of((0x011A, SHORT, 1, b"\x06\0\0\0"), count=60_000), id="a count beyond the end"),
            pytest.param(b"Exif\0\0XX*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", id="no byte order"),
            pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff\x01\0", id="a directory beyond the end"),
        ],
    )
    def test_one_that_cannot_be_read_turns_nothing(self, exif):
        assert read_orientation(exif) == 1
        assert decode(encoded(CORNER, "JPEG", exif=exif))[0].shape == CORNER.shape

    def test_both_byte_orders_are_read(self):
        assert read_orientation(exif_of((0x0112, SHORT, 1, b"\0\x08\0\0"), order=">")) == 8
        assert read_orientation(exif_of(TURNED).removeprefix(b"Exif\0\0")) == 6

    def test_a_tiff_whose_other_tags_are_odd_is_turned(self):
        odd = {0x0112: 6, 0x011A: -72, 0x8769: 12345678}
        from PIL import TiffImagePlugin

        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in odd.items():
            tags[tag] = value
            tags.tagtype[tag] = SHORT if tag == 0x0112 else SIGNED_RATIONAL if tag == 0x011A else LONG
        assert decode(encoded(CORNER, "TIFF", tiffinfo=tags))[0].shape == (60, 40, 3)

    def test_the_first_picture_of_several_in_a_jpeg_is_taken(self):
        exif = Pil.Exif()
        exif[0x0112] = 6
        two = encoded(
            CORNER, "MPO", save_all=True, append_images=[Pil.fromarray(CORNER[::-1].copy())], exif=exif.tobytes()
        )
        found = read(two)
        assert (found.pixels.shape, found.format, found.is_as_stored) == ((60, 40, 3), "JPEG", False)

    def test_a_turned_cmyk_photo_is_rgb(self):
        cmyk = encoded(Pil.fromarray(CORNER).convert("CMYK"), "JPEG", exif=exif_of(TURNED), quality=95)
        pixels, _ = decode(cmyk)
        assert pixels.shape == (60, 40, 3)
        assert (pixels[:18, -8:] > 200).all()  # the white corner went to the right
        assert (pixels[30:] < 60).all()

    def test_evaluations_may_leave_pictures_as_they_are_stored(self):
        assert read(encoded(CORNER, "JPEG", exif=exif_of(TURNED)), upright=False).pixels.shape == CORNER.shape


RAMP = np.linspace(0, 1, 64)[None].repeat(48, 0)
NOT_NUMBERS = RAMP.copy()
NOT_NUMBERS[0, 0], NOT_NUMBERS[1, 1], NOT_NUMBERS[2, 2] = np.nan, np.inf, -np.inf
HOT = (RAMP * 4095).astype(np.uint16).repeat(4, 0).repeat(4, 1)
HOT[7, 7] = 65535


class TestDeepPictures:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(encoded((RAMP * 1023).astype(np.uint16)), id="10 of 16 bits"),
            pytest.param(encoded((RAMP * 4080).astype(np.uint16)), id="12 of 16 bits"),
            pytest.param(encoded((RAMP * 16383).astype(np.uint16)), id="14 of 16 bits"),
            pytest.param(encoded((RAMP * 200).astype(np.uint16)), id="8 of 16 bits"),
            pytest.param(encoded((30_000 + RAMP * 4000).astype(np.uint16)), id="a part in the middle"),
            pytest.param(encoded((RAMP * 4080).astype(np.uint16), "TIFF"), id="TIFF"),
            pytest.param(encoded((RAMP * 4080).astype(np.uint16), "TIFF", compression="tiff_lzw"), id="packed TIFF"),
            pytest.param(encoded(RAMP.astype(np.float32), "TIFF"), id="floats to 1"),
            pytest.param(encoded((RAMP * 0.06).astype(np.float32), "TIFF"), id="floats to 0.06"),
            pytest.param(encoded((RAMP * 2 - 1).astype(np.float32), "TIFF"), id="floats from -1"),
            pytest.param(encoded((RAMP * 1e6).astype(np.float32), "TIFF"), id="large floats"),
            pytest.param(encoded(NOT_NUMBERS.astype(np.float32), "TIFF"), id="some are no numbers"),
            pytest.param(encoded((RAMP * 4080).astype(np.int32), "TIFF"), id="int32"),
            pytest.param(encoded((RAMP * 2e9).astype(np.int32), "TIFF"), id="large int32"),
            pytest.param(encoded((RAMP * 4000 - 1024).astype(np.int32), "TIFF"), id="negative int32"),
            pytest.param(png_of((RAMP * 4095)[:, :, None].repeat(3, 2), 2), id="colours"),
            pytest.param(
                png_of(np.dstack([RAMP * 4095] * 3 + [np.full_like(RAMP, 65535)]), 6), id="colours with opacity"
            ),
            pytest.param(encoded(HOT), id="a hot pixel"),
        ],
    )
    def test_values_are_stretched_by_their_own_range(self, data, caplog):
        pixels, _ = decode(data)
        step = pixels.shape[0] // 48
        row = pixels[20 * step, ::step, 0].astype(int)
        assert (np.diff(row) >= 0).all()
        assert (row[0], row[-1]) == pytest.approx((0, 255), abs=4)
        assert row == pytest.approx(np.linspace(0, 255, 64), abs=5)
        assert (pixels[..., 0] == pixels[..., 2]).all()

    @pytest.mark.parametrize(
        "data", [encoded((RAMP * 4080).astype(np.uint16)), png_of((RAMP * 4095)[:, :, None].repeat(3, 2), 2)]
    )
    def test_the_log_says_so(self, data, caplog):
        with caplog.at_level(logging.INFO):
            decode(data)
        assert "stretched" in caplog.text

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            pytest.param((RAMP * 65535).astype(np.uint16), RAMP * 255, id="all of 16 bits"),
            pytest.param((RAMP * 30_000).astype(np.uint16), RAMP * 117, id="nearly half of them"),
            pytest.param((0.2 + RAMP * 0.6).astype(np.float32), 51 + RAMP * 153, id="floats in the middle"),
            pytest.param((RAMP * 255).astype(np.float32), RAMP * 255, id="floats to 255"),
            pytest.param((RAMP * 65535).astype(np.int32), RAMP * 255, id="16 bits in 32"),
        ],
    )
    def test_values_that_fill_their_type_are_as_browsers_show_them(self, values, expected, caplog):
        kind = "PNG" if values.dtype == np.uint16 else "TIFF"
        pixels, _ = decode(encoded(values, kind))
        assert pixels[..., 1] == pytest.approx(expected, abs=1.5)
        assert "stretched" not in caplog.text

    def test_eight_bits_are_left_as_they_are(self, caplog):
        dark = (RAMP * 20).astype(np.uint8)
        assert (decode(encoded(dark))[0][..., 0] == dark).all()
        assert "stretched" not in caplog.text

    def test_colours_keep_their_proportions(self):
        colours = np.dstack([RAMP * 4000, RAMP * 2000, RAMP * 0])
        pixels, _ = decode(png_of(colours, 2))
        assert pixels[..., 0] == pytest.approx(RAMP * 255, abs=1)
        assert pixels[..., 1] == pytest.approx(RAMP * 127, abs=1)
        assert (pixels[..., 2] == 0).all()

    @pytest.mark.parametrize(
        "values",
        [
            np.full((8, 8), 4000, np.uint16),
            np.zeros((8, 8), np.float32),
            np.full((8, 8), np.nan, np.float32),
            np.full((8, 8), -np.inf, np.float32),
            np.full((8, 8), -5, np.int32),
            np.full((1, 1), 2_000_000_000, np.int32),
        ],
    )
    def test_one_value_only_is_a_picture_too(self, values):
        pixels, _ = decode(encoded(values, "TIFF"))
        assert pixels.shape == (*values.shape, 3)
        assert len(np.unique(pixels)) == 1

    def test_a_small_bright_thing_is_not_taken_for_an_outlier(self):
        values = np.full((300, 300), 100, np.uint16)
        values[50:60, 50:60] = 4000
        pixels, _ = decode(encoded(values))
        assert (pixels[0, 0, 0], pixels[55, 55, 0]) == (0, 255)

    def test_big_endian_tiffs_are_read(self):
        with io.BytesIO() as buffer:
            values = (RAMP * 4080).astype(">u2")
            image = Pil.frombytes("I;16B", (64, 48), values.tobytes())
            image.save(buffer, "TIFF")
            pixels, _ = decode(buffer.getvalue())
        assert pixels[..., 0] == pytest.approx(RAMP * 255, abs=2)

    @pytest.mark.slow
    @pytest.mark.parametrize("colours", [0, 2])
    def test_a_large_one_needs_at_most_three_times_its_rgb(self, tmp_path, colours):
        side, channels = 7000, 1 if colours == 0 else 3
        row = (np.arange(side * channels) * 4095 // (side * channels)).astype(">u2").tobytes()
        packer = zlib.compressobj(1)
        rows = b"".join(packer.compress(b"\0" + row) for _ in range(side)) + packer.flush()
        parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, colours, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
        file = tmp_path / "large.png"
        file.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
        )
        measure = """
import resource, sys
from ris_core.images.decoding import decode
small, data = (open(name, "rb").read() for name in sys.argv[1:])
decode(small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels, _ = decode(data)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / pixels.nbytes)
"""
        small = tmp_path / "small.png"
        small.write_bytes(encoded((RAMP * 4080).astype(np.uint16)))
        command = [sys.executable, "-c", measure, str(small), str(file)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert float(said) <= 3


class TestCutFiles:
    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize(
        "options", [{}, {"quality": 95}, {"quality": 30}, {"subsampling": 0}, {"restart_marker_rows": 1}], ids=str
    )
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_a_jpeg_that_lacks_its_tail_is_decoded_and_one_that_lacks_its_half_is_not(self, progressive, options, mode):
        picture = Pil.fromarray(SMOOTH).resize((480, 360)).convert(mode)
        whole = encoded(picture, "JPEG", progressive=progressive, **options)
        expected, _ = decode(whole)
        for missing in (1, 2, 15, len(whole) // 100):
            pixels, _ = decode(whole[:-missing])
            assert (np.abs(pixels.astype(int) - expected).max(2) > 8).mean() < 0.05
        for kept in (0.5, 0.6, 0.3, 0.7, 0.1):
            with pytest.raises(BadImage) as caught:
                decode(whole[: int(len(whole) * kept)])
            assert caught.value.cause == "damaged"

    def test_what_is_decoded_without_its_end_is_told(self, caplog):
        found = read(encoded(SMOOTH, "JPEG")[:-2])
        assert not found.is_as_stored
        assert "lacks its end" in caplog.text

    def test_a_png_without_its_end_is_decoded(self):
        assert (decode(encoded(SMOOTH)[:-12])[0] == SMOOTH).all()

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_wherever_a_file_is_cut_or_broken_it_is_a_picture_or_a_bad_one(self, kind):
        whole = encoded(SMOOTH, kind)
        for i in range(60):
            if i % 2:
                data = whole[: len(whole) * i // 60]
            else:
                broken = bytearray(whole)
                for place in RNG.integers(0, min(len(broken), 400), 6):
                    broken[place] = int(RNG.integers(0, 256))
                data = bytes(broken)
            with contextlib.suppress(BadImage):  # and nothing else
                decode(data, 10_000_000)


FTYP = b"\0\0\0\x1cftyp"


class TestWhatIsNoPicture:
    @pytest.mark.parametrize(
        ("data", "cause", "kind"),
        [
            pytest.param(b"", "empty", "", id="empty"),
            pytest.param(b"<!DOCTYPE html><html><body>Log in</body></html>", "web_page", "", id="page"),
            pytest.param(b"\xef\xbb\xbf\n <html lang='en'>", "web_page", "", id="page after blanks"),
            pytest.param(b"<!-- hi -->\n<!doctype HTML>", "web_page", "", id="page after a comment"),
            pytest.param("<!DOCTYPE html>Grüße".encode("utf-16"), "web_page", "", id="page in UTF-16"),
            pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "unknown_kind", "SVG", id="SVG"),
            pytest.param(b'<?xml version="1.0"?>\n<!-- x --><svg width="1">', "unknown_kind", "SVG", id="SVG as XML"),
            pytest.param(
                b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "unknown_kind", "XML", id="XML"
            ),
            pytest.param(b'{"detail": "Not found."}', "unknown_kind", "JSON", id="JSON"),
            pytest.param(b"hello", "unknown_kind", "text", id="text"),
            pytest.param(FTYP + b"avif\0\0\0\0avifmif1miaf", "unknown_kind", "AVIF", id="AVIF"),
            pytest.param(FTYP + b"mif1\0\0\0\0mif1avifmiaf", "unknown_kind", "AVIF", id="AVIF by another brand"),
            pytest.param(FTYP + b"heic\0\0\0\0mif1heic", "unknown_kind", "HEIC", id="HEIC"),
            pytest.param(FTYP + b"isom\0\0\0\0isomavc1", "unknown_kind", "MP4 or QuickTime video", id="video"),
            pytest.param(b"\0\0\0\x0cJXL \r\n\x87\n", "unknown_kind", "JPEG XL", id="JPEG XL"),
            pytest.param(
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "unknown_kind", "PostScript (EPS)", id="EPS"
            ),
            pytest.param(b"%PDF-1.7\n", "unknown_kind", "PDF", id="PDF"),
            pytest.param(b"\0" * 128 + b"DICM" + b"\0" * 50, "unknown_kind", "DICOM", id="DICOM"),
            pytest.param(bytes(range(1, 200)), "unknown_kind", "", id="anything"),
            pytest.param(b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged", "", id="the beginning of a JPEG"),
            pytest.param(b"\x89PNG\r\n\x1a\n\0\0", "damaged", "", id="the beginning of a PNG"),
        ],
    )
    def test_causes_are_told_apart(self, data, cause, kind):
        with pytest.raises(BadImage) as caught:
            decode(data)
        assert (caught.value.cause, caught.value.kind) == (cause, kind)
        assert kind in str(caught.value)
        assert caught.value.remedy

    @pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
    def test_a_real_avif_is_named_even_if_it_could_be_read(self):
        with pytest.raises(BadImage) as caught:
            decode(encoded(SMOOTH, "AVIF"))
        assert caught.value.kind == "AVIF"

    def test_one_that_is_too_large_is_that(self):
        with pytest.raises(BadImage) as caught:
            decode(encoded(SMOOTH), max_pixels=100)
        assert caught.value.cause == "too_large"

    def test_a_missing_file_is_that(self, tmp_path):
        with pytest.raises(BadImage) as caught:
            decode(tmp_path / "IMG (403).jpg")
        assert caught.value.cause == "missing"


def test_the_limit_may_be_above_the_decoders_own():
    """187 megapixels, of one bit each."""
    before = Pil.MAX_IMAGE_PIXELS
    data = encoded(Pil.new("1", (17_000, 11_000)))
    pixels, _ = decode(data, max_pixels=300_000_000)
    assert pixels.shape == (11_000, 17_000, 3)
    assert before == Pil.MAX_IMAGE_PIXELS
    with pytest.raises(BadImage, match="limit is 50"):
        decode(data)
