"""Downloads of weights: they go on after a cut, and no file has its name before all its bytes are there and checked.

A download goes into "<file>.part" beside the file. One process at a time writes it; a later call goes on where it ends. The names of
files are the registry's own: nothing that a server says becomes a name.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR` hold: httpx reads them.
"""

import contextlib
import errno
import fcntl
import hashlib
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

import httpx
import huggingface_hub
from huggingface_hub import constants

from ris_core.runtime.registry import Weight

TIMEOUT_S = 30.0
"""Longest silence of a download's server."""
PAUSES_S = (1.0, 2.0, 4.0)
"""Waits after a cut, before it is tried to go on; then it is given up. They begin anew when more bytes have come."""

_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18})", re.IGNORECASE)

Progress = Callable[[str, int, int], None]
"""Called as (name of the weights, bytes so far, bytes in all or 0 if unknown)."""


class DownloadFailed(Exception):
    """No source gave the file; as a text, the reason of each."""


class WrongBytes(Exception):
    """A source gave other bytes than expected.

    Attributes:
        place: Which source.
        sha256: Hex digest of what it gave.
        kept: Where that is kept.
    """

    def __init__(self, place: str, sha256: str, kept: Path) -> None:
        self.place, self.sha256, self.kept = place, sha256, kept
        super().__init__(place, sha256, kept)


class _NotResumed(Exception):
    """The server does not go on where the partial file ends: begin anew."""


class _Refused(Exception):
    """The server's answer is not the file; as a text, why."""


@dataclass(frozen=True)
class Source:
    """An address that has a file."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The address without a login and a query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def sources(weight: Weight, mirrors: Sequence[str] = ()) -> list[Source]:
    """Where a file of weights can be had, in the order in which they are asked: mirrors, then its publisher.

    Args:
        mirrors: Addresses under which the file is at `weight.path`, as in a folder of weights that a web server hands out.
    """
    mirrored = [Source(f"{mirror.rstrip('/')}/{quote(weight.path)}") for mirror in mirrors]
    if weight.url:
        return [*mirrored, Source(weight.url)]
    file_name = Path(weight.path).name
    url = huggingface_hub.hf_hub_url(weight.hub_repo, file_name, revision=weight.hub_revision)  # HF_ENDPOINT holds
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else huggingface_hub.get_token()
    return [*mirrored, Source(url, {"Authorization": f"Bearer {token}"} if token else {})]


def part_of(file: Path) -> Path:
    """Where a download of a file is kept until it is whole."""
    return file.with_name(f"{file.name}.part")


def download(weight: Weight, file: Path, mirrors: Sequence[str] = (), progress: Progress | None = None) -> str:
    """Download a file of weights, whose folder is made; hex sha256 of what is there now.

    Raises:
        DownloadFailed: If no source gives it. What came is kept, and the next call goes on from there.
        WrongBytes: If what came does not have the weight's sha256: it is kept under another name.
        OSError: If it cannot be written; the same holds for what came.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(file)
    with _only_writer(part) as opened:
        if file.exists():  # another process downloaded it while this one waited
            part.unlink()
            return _sha256(file)
        if not weight.sha256 or _size(opened) > (weight.size_bytes or math.inf):
            opened.truncate(0)  # without a digest nothing would tell whether both ends are of one file
        place = _fill(opened, weight, sources(weight, mirrors), progress)
        os.fsync(opened.fileno())
        digest = _sha256(part)
        if weight.sha256 and digest != weight.sha256:
            kept = _set_aside(part)
            raise WrongBytes(place, digest, kept)
        part.replace(file)  # atomic: nobody ever sees half a file under the final name
    return digest


@contextlib.contextmanager
def _only_writer(part: Path) -> Iterator[BinaryIO]:
    """The partial file, for this process alone: another that downloads the same waits here."""
    while True:
        with part.open("ab") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(opened.fileno()), part.stat()):
                    yield opened
                    return


def _fill(part: BinaryIO, weight: Weight, addresses: Sequence[Source], progress: Progress | None) -> str:
    """Append what the partial file lacks; the place that gave the last of it."""
    reasons = []
    for source in addresses:
        begin = _size(part)
        try:
            _fill_from(source, part, weight, progress)
        except httpx.HTTPStatusError as error:
            reasons.append(f"{source.place} failed (HTTP {error.response.status_code})")
        except httpx.HTTPError as error:
            reasons.append(f"{source.place} failed ({type(error).__name__}: {error})")
        except _Refused as error:
            part.truncate(min(begin, _size(part)))
            reasons.append(f"{source.place} failed ({error})")
        else:
            return source.place
    raise DownloadFailed("; ".join(reasons))


def _fill_from(source: Source, part: BinaryIO, weight: Weight, progress: Progress | None) -> None:
    """Append what one source has; go on after a cut while that brings anything."""
    tag, longest, pauses, was_cut = "", _size(part), iter(PAUSES_S), False
    while not (weight.size_bytes and weight.sha256 and _size(part) == weight.size_bytes):
        begin = _size(part)
        try:
            with _ask(source, begin, tag) as response:
                tag = _strong_tag(response)
                _receive(response, part, weight, progress)
            return
        except _NotResumed:
            part.truncate(0)
        except httpx.TransportError:
            if _size(part) > longest:
                longest, was_cut, pauses = _size(part), True, iter(PAUSES_S)
            pause = next(pauses, None) if was_cut else None
            if pause is None:
                raise
            time.sleep(pause)


def _ask(source: Source, begin: int, tag: str) -> contextlib.AbstractContextManager[httpx.Response]:
    as_is = {"Accept-Encoding": "identity"}  # the digest is that of the file, not of what a server packs it into
    only_rest = {"Range": f"bytes={begin}-"} if begin else {}
    same_file = {"If-Range": tag} if begin and tag else {}
    headers = {**source.headers, **as_is, **only_rest, **same_file}
    return httpx.stream("GET", source.url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S)


def _receive(response: httpx.Response, part: BinaryIO, weight: Weight, progress: Progress | None) -> None:
    """Append an answer, after it was checked that it begins where the partial file ends.

    Raises:
        _NotResumed: If it begins elsewhere.
        _Refused: If it cannot be the file, by its size or because it is packed.
        httpx.HTTPError: If the server refuses, or the answer is cut.
    """
    total = _check_start(response, part)
    if weight.size_bytes and total and total != weight.size_bytes:
        raise _Refused(f"it has {total:,} bytes there, not {weight.size_bytes:,}")
    expected = weight.size_bytes or total
    done = _size(part)
    _check_room(part, expected - done)
    for chunk in response.iter_raw():
        part.write(chunk)
        done += len(chunk)
        if expected and done > expected:
            raise _Refused(f"it sends more than {expected:,} bytes")
        if progress:
            progress(weight.name, done, expected)
    part.flush()
    if done < expected:
        raise httpx.RemoteProtocolError(f"it ended after {done:,} of {expected:,} bytes")


def _check_start(response: httpx.Response, part: BinaryIO) -> int:
    """See that an answer begins where the partial file ends, which is emptied for one with the whole file.

    Returns:
        Bytes of the whole file; 0 if the server does not say.
    """
    begin = _size(part)
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and begin:
        raise _NotResumed
    response.raise_for_status()
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _Refused("it comes packed, though it was asked for as it is")
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if not (match and match[1] and int(match[1]) == begin):
            if not begin:
                raise _Refused("it sends a part, though all was asked for")
            raise _NotResumed
        return int(match[2])
    if begin:
        part.truncate(0)  # the server knows no ranges, or has another file now: this is the whole one
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _check_room(part: BinaryIO, needed: int) -> None:
    free = shutil.disk_usage(Path(part.name).parent).free
    if needed > free:
        reason = f"{needed / 1e6:,.1f} MB more are needed, and {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, reason)


def _strong_tag(response: httpx.Response) -> str:
    tag = str(response.headers.get("etag", ""))
    return tag if tag.startswith('"') else ""  # others may stand for two files


def _set_aside(part: Path) -> Path:
    """Give a file that is refused a name of its own, beside what was refused before."""
    file = part.with_suffix(".refused")
    number = 1
    while file.exists():
        number += 1
        file = part.with_suffix(f".refused-{number}")
    return part.rename(file)


def _size(part: BinaryIO) -> int:
    part.flush()
    return os.fstat(part.fileno()).st_size


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
