"""What people paste into settings, made usable: each function cleans one kind of value or says why it cannot be used.

No message quotes a secret. Whoever asks puts the setting's name before it.
"""

import re
import unicodedata
from urllib.parse import urlsplit

from backend.base.redaction import mask_url

HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?(:\d{1,5})?|\[[0-9a-f:.]+\](:\d{1,5})?")
"""A host of images, lower-case: "host" or "host:port"."""
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "‘": "’", "«": "»"}
_HTTP = re.compile(r"(https?)://(?=[^/])", re.IGNORECASE)
_PAGE = re.compile(r"/(projects(/\d+)?|user/(login|account))(?=/|$)")
"""Where a page of Label Studio begins whose address may be taken for its own."""
_LATIN_1 = range(0x100)


def clean(text: str) -> str:
    """The text without blanks, line ends, byte order marks and other invisible characters around it, and without quotes."""
    while True:
        begin, end = 0, len(text)
        while begin < end and _is_invisible(text[begin]):
            begin += 1
        while begin < end and _is_invisible(text[end - 1]):
            end -= 1
        text = text[begin:end]
        if len(text) < 2 or _QUOTES.get(text[0]) != text[-1]:
            return text
        text = text[1:-1]


def read_token(text: str) -> str:
    """A token that an HTTP header can carry.

    Raises:
        ValueError: If it holds a blank, or a character that is no ASCII.
    """
    for position, character in enumerate(text, 1):
        if not "!" <= character <= "~":
            kind = "no ASCII" if character.isprintable() and not character.isspace() else "a blank or does not print"
            raise ValueError(f"its character {position} is {kind}, which no header can carry; copy it once more")
    return text


def read_bearer(text: str) -> str:
    """A secret of our own that an HTTP header can carry; blanks may be in it.

    Raises:
        ValueError: If it holds a character that is no printable ASCII.
    """
    read_token(text.replace(" ", "_"))
    return text


def read_login(text: str) -> str:
    """A user name or a password that Label Studio can send.

    Raises:
        ValueError: If it holds a character that does not print, or is not in Latin-1.
    """
    for position, character in enumerate(text, 1):
        if not character.isprintable():
            raise ValueError(f"its character {position} does not print; copy it once more")
        if ord(character) not in _LATIN_1:
            raise ValueError(
                f"its character {position} is not in Latin-1, so Label Studio cannot send it; choose another"
            )
    return text


def read_http_url(text: str) -> str:
    """The address of a server, without a slash at its end; a host name in other letters becomes ASCII.

    Raises:
        ValueError: If it is none, or has a login, a query or a fragment.
    """
    if not (scheme := _HTTP.match(text)):
        raise ValueError("it must begin with http:// or https://, then name a host")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("there is a blank, or a character that does not print, in it")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read; write it as in http://host:8080") from None
    if "@" in parts.netloc:
        raise ValueError("it has a user or a password in it; take them out")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError('it must end before "?" and "#"')
    host = _to_ascii(parts.hostname or "")
    if port == 0 or not HOST.fullmatch(host):
        raise ValueError("its host or port cannot be read; write it as in http://host:8080")
    netloc = parts.netloc if parts.netloc.isascii() else host + (f":{port}" if port else "")
    return f"{scheme[1].lower()}://{netloc}{parts.path}".rstrip("/")


def read_studio_url(text: str) -> str:
    """The address of a Label Studio, as `read_http_url` has it.

    Raises:
        ValueError: If it is none, or that of one of its pages.
    """
    url = read_http_url(text)
    if page := _PAGE.search(urlsplit(url).path):
        raise ValueError(f'it must end before "{page[0]}", where a page of Label Studio begins')
    return url


def read_listener_url(text: str) -> str:
    """An address that is told something by POST: with its path, query and login, all of which may be secret.

    Raises:
        ValueError: If it is none; quotes nothing of it.
    """
    url = clean(text)
    if not _HTTP.match(url) or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("it must begin with https:// or http://, and hold no blanks")
    try:
        parts = urlsplit(url)
        host, port = _to_ascii(parts.hostname or ""), parts.port
    except ValueError:
        raise ValueError("its host or port cannot be read") from None
    if port == 0 or not HOST.fullmatch(host):
        raise ValueError("its host or port cannot be read")
    return url


def read_host(text: str) -> str:
    """A host that images come from, lower-case: "host" or "host:port"; of an address, its host and port.

    Raises:
        ValueError: If it is none.
    """
    bare = re.sub(r"^https?://", "", clean(text).lower()).split("/")[0]
    name, colon, port = bare.rpartition(":") if re.search(r":\d+$", bare) else (bare, "", "")
    host = (name if name.startswith("[") else _to_ascii(name)) + colon + port
    if not HOST.fullmatch(host):
        raise ValueError(
            f"{mask_url(text)[:80]!r} is no host; give names as in images.example.org or images.example.org:8443"
        )
    return host


def read_name(text: str) -> str:
    """A name that callers have for the backend, lower-case and without a port; "*" for any.

    Raises:
        ValueError: If it is none.
    """
    return "*" if clean(text) == "*" else read_host(text).partition(":")[0]


def read_redis_url(text: str) -> str:
    """The address of a Redis.

    Raises:
        ValueError: If it is none.
    """
    if not re.match(r"(rediss?|unix)://", text):
        raise ValueError("it must begin with redis://, rediss:// or unix://")
    _check_plain(text)
    from redis.connection import parse_url  # only here: most start without this setting

    try:
        parse_url(text)
    except ValueError:
        raise ValueError(_HOW_TO_ESCAPE) from None
    return text


def read_database_url(text: str) -> str:
    """The address of a database whose driver is installed.

    Raises:
        ValueError: If it is none.
    """
    if not re.match(r"[A-Za-z][\w+]*://", text):
        raise ValueError("it must begin with sqlite:///, or with postgresql+psycopg://")
    _check_plain(text)
    import sqlalchemy as sa  # only here: most start without this setting

    try:
        sa.make_url(text).get_dialect().import_dbapi()
    except (sa.exc.NoSuchModuleError, ImportError):
        name = text.partition(":")[0]
        raise ValueError(
            f"no driver for {name} is installed; write sqlite:///…, "
            "or write postgresql+psycopg://… and run pip install 'label-studio-ris[postgres]'"
        ) from None
    except (sa.exc.ArgumentError, ValueError):
        raise ValueError(_HOW_TO_ESCAPE) from None
    return text


_HOW_TO_ESCAPE = 'it cannot be taken apart; write "/", "?", "#" and "@" in a password as %2F, %3F, %23 and %40'


def _check_plain(text: str) -> None:
    if any(not character.isprintable() for character in text):
        raise ValueError("there is a character in it that does not print")


def _to_ascii(host: str) -> str:
    """A host name as the network knows it; as it is if it has no such form."""
    if host.isascii():
        return f"[{host}]" if ":" in host else host.lower()
    import idna  # only here: few have such a name

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return host


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")
