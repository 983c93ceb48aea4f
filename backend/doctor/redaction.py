"""Keeps secrets out of what is printed: passwords in addresses, tokens, and whatever an error message quotes of them."""

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 6
"""Characters of the shortest text that is blotted out wherever it appears; shorter ones would garble ordinary words."""

_LOGIN = re.compile(r"(^(?![\w+.-]+://)|://(?!/))(?:([^:@/?#]*):)?(.*)@", re.DOTALL)
"""User and password of an address, also if its scheme was forgotten. Greedy: a password may hold "@" or "/" by mistake."""

_QUOTED_LOGIN = re.compile(r"(://(?:[^\s/@:]*:)?)[^\s/@]+@")
"""The same, of a well-formed address amid other words."""


def mask_url(url: str) -> str:
    """An address without its password and query."""
    shown = _LOGIN.sub(lambda found: f"{found[1]}{found[2] + ':' if found[2] is not None else ''}{HIDDEN}@", url)
    return re.sub(r"\?.*", "?…", shown, flags=re.DOTALL)


class Redactor:
    """Blots secrets out of texts.

    Args:
        secrets: Passwords and tokens.
        urls: Addresses, whose logins and query values are secret as well.
    """

    def __init__(self, secrets: Iterable[str], urls: Iterable[str] = ()) -> None:
        known = {*secrets, *(part for url in urls for part in _secrets_of(url))}
        # the longest first: one may be a part of another
        self._known = sorted((text for text in known if len(text) >= SHORTEST), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """The text with `HIDDEN` in place of every secret, and of whatever stands where an address has its password."""
        for secret in self._known:
            text = text.replace(secret, HIDDEN)
        return _QUOTED_LOGIN.sub(rf"\1{HIDDEN}@", text)


def _secrets_of(url: str) -> Iterable[str]:
    if found := _LOGIN.search(url):
        yield from (found[3], unquote(found[3]))
        yield from re.split(r"[/?#@]", found[3])  # as an error message quotes an address that it could not take apart
    try:
        query = parse_qsl(urlsplit(url).query)
    except ValueError:
        query = []
    yield from (value for name, value in query if re.search(r"pass|token|key|secret", name, re.IGNORECASE))
