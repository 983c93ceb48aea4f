"""Keeps secrets out of what is printed, logged, stored or answered, in whatever form an error quotes them.

Terms: a secret is a password or a token. A process learns the secrets that it uses (`learn`); from then on `hide` blots them out
of any text. `reason_of` is the only way in which the text of a foreign error gets into one of ours.

Hidden are a secret as it is, as Python, JSON and HTML escape it, percent-encoded, in hexadecimal, and inside anything in base64,
such as "Basic …" of a user and a password. Hidden too, though nobody learnt them: logins of addresses, query values whose
names say that they are secret, and what follows "Bearer", "Basic" or "Token".
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus, urlsplit

HIDDEN = "***"
SHORTEST = 6
"""Characters of the shortest text that is blotted out wherever it appears; shorter ones would garble ordinary words. A user and a
password with a colon between them may be shorter."""
SHORTEST_PATH = 16
"""Characters of the shortest path of an address that is taken for a secret."""
LONGEST_REASON = 400
"""Characters of a foreign error's text that are quoted."""
_MAX_DECODED = 3
"""How many encodings in one another are looked through."""

_LOGIN = re.compile(r"(^(?![\w+.-]+://)|://(?!/))(?:([^:@/?#]*):)?(.*)@", re.DOTALL)
"""User and password of an address, also if its scheme was forgotten. Greedy: a password may hold "@" or "/" by mistake."""
_QUOTED_LOGIN = re.compile(r"(://(?:[^\s/@:]*:)?)[^\s/@]+@")
"""The same, of a well-formed address amid other words."""
_SECRET_NAME = r"[\w.-]*(?:pass|token|key|secret|signature|credential|sig)[\w.-]*"
_SECRET_QUERY = re.compile(rf"([?&]{_SECRET_NAME}=)[^&\s\"'<>]+", re.IGNORECASE)
_SECRET_HEADER = re.compile(r"\b((?:Bearer|Basic|Token)[ :]+)(?=[^\s]*\d)[\w.~+/=-]{12,}", re.IGNORECASE)

_TOKEN = re.compile(r"(?=.*\d)[\w.~+=-]{20,}")

_PERCENT = re.compile(r"[^\s\"'<>]*%[0-9A-Fa-f]{2}[^\s\"'<>]*")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_FROM_URL_SAFE = str.maketrans("-_", "+/")


def mask_url(url: str) -> str:
    """An address without its password and query."""
    masked = _LOGIN.sub(lambda match: f"{match[1]}{match[2] + ':' if match[2] is not None else ''}{HIDDEN}@", url)
    return re.sub(r"\?.*", "?…", masked, flags=re.DOTALL)


def may_be_token(text: str) -> bool:
    """Whether a text may be a token, put by mistake where none belongs: long, with a digit, and no address or path."""
    return bool(_TOKEN.fullmatch(text.strip()))


class Redactor:
    """Blots secrets out of texts. Threads may share it.

    Args:
        secrets: Passwords and tokens.
        urls: Addresses, whose logins and query values are secret as well.
    """

    def __init__(self, secrets: Iterable[str] = (), urls: Iterable[str] = ()) -> None:
        self._plain: frozenset[str] = frozenset()
        self._forms: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self.learn(secrets, urls)

    def learn(self, secrets: Iterable[str], urls: Iterable[str] = ()) -> None:
        """Hide these as well."""
        values = {*secrets, *(part for url in urls for part in _secrets_of(url))}
        new = {text for text in map(str.strip, values) if len(text) >= SHORTEST or ":" in text[1:-1]} - self._plain
        if not new:
            return
        self._plain = self._plain | new
        # the longest first: one may be a part of another
        self._forms = tuple(sorted({*self._forms, *(form for text in new for form in _escaped(text))}, key=len)[::-1])
        self._bytes = (*self._bytes, *{text.encode(code, "ignore") for text in new for code in ("utf-8", "latin-1")})

    def hide(self, text: str) -> str:
        """The text with `HIDDEN` in place of every secret, and of whatever stands where an address has its password."""
        return self._hide(text, _MAX_DECODED)

    def _hide(self, text: str, depth: int) -> str:
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        text = _SECRET_HEADER.sub(rf"\1{HIDDEN}", _SECRET_QUERY.sub(rf"\1{HIDDEN}", text))
        text = _QUOTED_LOGIN.sub(rf"\1{HIDDEN}@", text)
        if not depth:
            return text
        for pattern, decode in _ENCODINGS:
            text = pattern.sub(partial(self._judge, decode, depth), text)
        return text

    def _judge(self, decode: Callable[[str], Iterable[str | bytes]], depth: int, found: re.Match[str]) -> str:
        """A run of an encoding as it is, or `HIDDEN` if what it encodes is secret."""
        run = found[0]
        for decoded in decode(run):
            if isinstance(decoded, bytes):
                if any(secret in decoded for secret in self._bytes):
                    return HIDDEN
            elif decoded != run and self._hide(decoded, depth - 1) != decoded:
                return HIDDEN
        return run


_OWN = Redactor()
"""Of this process: logs, errors and answers know of it without being handed it."""


def learn(secrets: Iterable[str | None], urls: Iterable[str | None] = ()) -> None:
    """Keep these out of whatever this process says from now on."""
    _OWN.learn(filter(None, secrets), filter(None, urls))


def learn_address(url: str) -> None:
    """Keep all of an address out of what is said but its host: of some, the path is the secret."""
    rest = url.partition("://")[2]
    path = rest.partition("/")[2]
    # a short path is a word, as in "/webhook"
    learn([url, rest, *(part for part in (path, path.partition("?")[0]) if len(part) >= SHORTEST_PATH)], [url])


def hide(text: str) -> str:
    """A text without the secrets that this process has learnt."""
    return _OWN.hide(text)


def reason_of(error: BaseException, lines: int | None = None) -> str:
    """What a foreign error says, fit to be shown: on one line, without secrets, not endless; its type if it says nothing.

    Args:
        lines: How many of its lines are of use; all if not given.
    """
    one_line_text = " ".join(" ".join(str(error).splitlines()[:lines]).split())
    text = hide(one_line_text) or type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def login_of(user: str, password: str) -> tuple[str, ...]:
    """What is secret about a login: the password, and both together, as basic auth encodes them."""
    return password, f"{user}:{password}"


def _secrets_of(url: str) -> Iterator[str]:
    if match := _LOGIN.search(url):
        yield from (match[3], unquote(match[3]))
        yield f"{unquote(match[2] or '')}:{unquote(match[3])}"
        yield from re.split(r"[/?#@]", match[3])  # as an error message quotes an address that it could not take apart
    try:
        query = parse_qsl(urlsplit(url).query)
    except ValueError:
        query = []
    yield from (value for name, value in query if re.fullmatch(_SECRET_NAME, name, re.IGNORECASE))


def _escaped(secret: str) -> Iterator[str]:
    """A secret as it is, and as Python, JSON and HTML write it."""
    yield secret
    for form in (repr(secret)[1:-1], ascii(secret)[1:-1], repr(secret.encode("utf-8", "surrogatepass"))[2:-1]):
        yield form
        yield repr(form)[1:-1]  # an error inside an error
    yield secret.replace("\\", "\\\\").replace("'", "\\'")
    yield secret.encode("unicode_escape").decode()
    for is_ascii in (True, False):
        quoted = json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
        yield from (quoted, quoted.replace("/", "\\/"), json.dumps(quoted)[1:-1])
    yield from (html.escape(secret), html.escape(secret, quote=False), html.escape(secret).replace("&#x27;", "&#39;"))
    yield quote_plus(secret)


def _from_percent(run: str) -> Iterator[str]:
    yield unquote(run)
    yield unquote_plus(run)


def _from_hex(run: str) -> Iterator[bytes]:
    yield bytes.fromhex(run)


def _from_base64(run: str) -> Iterator[bytes]:
    """What it holds, wherever in the run the encoded text begins."""
    characters = run.rstrip("=").translate(_FROM_URL_SAFE)
    for start in range(4):
        part = characters[start:]
        try:
            yield base64.b64decode(part + "A" * (-len(part) % 4))
        except binascii.Error:
            continue


_ENCODINGS: tuple[tuple[re.Pattern[str], Callable[[str], Iterable[str | bytes]]], ...] = (
    (_PERCENT, _from_percent),
    (_HEX, _from_hex),
    (_BASE64, _from_base64),
)
