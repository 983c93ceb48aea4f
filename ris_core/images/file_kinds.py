"""What a file is that no decoder takes: told by its first bytes, so that whoever gave it learns what came."""

import re

from ris_core.errors import BadImageCause

_SIGNATURES = (
    (b"\x00\x00\x00\x0cJXL \r\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript (EPS)"),
    (b"\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (b"8BPS", "Photoshop"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\x93NUMPY", "numpy"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "HDR"),
    (b"SIMPLE  =", "FITS"),
    (b"P6\n", "PPM"),
    (b"P5\n", "PGM"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1a\x45\xdf\xa3", "WebM or Matroska video"),
    (b"version https://git-lfs", "Git LFS pointer"),
)
_BRANDS = (
    (("avif", "avis"), "AVIF"),
    (("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"), "HEIC"),
    (("crx ",), "Canon CR3"),
)
"""Brands of ISO media files (`ftyp`); others are videos."""
_TEXT = re.compile(r"[\t\n\r\x20-\x7e\x80-\uffff]*")
_LEADING = re.compile(r"(\ufeff|\s|<\?xml.*?\?>|<!--.*?-->|<!doctype svg.*?>)*", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(r"<!doctype html|<(html|head|body|title|meta|script)[\s>]", re.IGNORECASE)
_LOOKED_AT = 4096
"""Bytes that are looked at."""


def recognise(data: bytes) -> tuple[BadImageCause, str]:
    """Why bytes are no image that is read: "web_page", or "unknown_kind" and what they are; empty if that is not known."""
    head = data[:_LOOKED_AT]
    if head[4:8] == b"ftyp":
        return "unknown_kind", _name_media(head)
    if head[128:132] == b"DICM":
        return "unknown_kind", "DICOM"
    if head[:4] == b"RIFF":
        return "unknown_kind", head[8:12].decode("latin-1").strip()
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return "unknown_kind", kind
    return _recognise_text(head)


def _name_media(head: bytes) -> str:
    box = head[8 : max(12, min(int.from_bytes(head[:4], "big"), 256))].decode("latin-1")
    brands = {box[i : i + 4] for i in range(0, len(box), 4)}
    return next((kind for names, kind in _BRANDS if brands & set(names)), "MP4 or QuickTime video")


def _recognise_text(head: bytes) -> tuple[BadImageCause, str]:
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = head.decode(encoding, "replace")
    if not _TEXT.fullmatch(text):
        return "unknown_kind", ""
    begin = _LEADING.match(text)
    rest = text[begin.end() if begin else 0 :]
    if re.match(r"<(\w+:)?svg[\s>]", rest, re.IGNORECASE):
        return "unknown_kind", "SVG"
    if _PAGE.match(rest):
        return "web_page", ""
    if rest.startswith("<"):
        return "unknown_kind", "XML"
    return "unknown_kind", "JSON" if rest.startswith(("{", "[")) else "text"
