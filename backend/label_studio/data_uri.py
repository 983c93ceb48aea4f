"""Images inside a task's data."""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from backend.base.errors import ImageUnreachable, too_large

_BASE64 = re.compile(r";\s*base64\s*$", re.IGNORECASE)
_BLANKS = re.compile(rb"[ \t\r\n\f]")
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def read_data_uri(url: str, max_bytes: int) -> bytes:
    """The bytes in a data URI, read as browsers do: %-encoded, wrapped and unpadded base64 is taken; base64 for URLs too.

    Raises:
        ImageUnreachable: If it holds none, is damaged, or holds more than `max_bytes`.
    """
    head, comma, body = url.partition(",")
    if not comma:
        raise _damaged("has no comma")
    if len(body) > max_bytes * 3 + 1024:  # even if every byte is %-escaped
        raise too_large("A data URI", max_bytes)
    content = unquote_to_bytes(body)
    if _BASE64.search(head):
        content = _decode(content)
    if len(content) > max_bytes:
        raise too_large("A data URI", max_bytes)
    return content


def _decode(text: bytes) -> bytes:
    packed = _BLANKS.sub(b"", text).translate(_FROM_URL_SAFE)
    if len(packed) % 4 == 0:
        packed = re.sub(rb"={1,2}$", b"", packed)
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _damaged("holds what is not base64") from error


def _damaged(how: str) -> ImageUnreachable:
    return ImageUnreachable(f"A data URI {how}.", "Correct the task's data.", cause="bad_data_uri")
