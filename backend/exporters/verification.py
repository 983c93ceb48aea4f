"""Compares the folder of a data set with its `manifest.json`, byte by byte.

What it cannot find: a manifest that somebody wrote anew for other files, with a sha256 that fits. Only a digest of the manifest that
was kept elsewhere shows that. Times, permissions and owners of files are not compared.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backend.base.redaction import reason_of
from backend.exporters.manifest import FORMAT, MANIFEST, PROGRAM, digest_bytes, digest_content, digest_file, list_files
from backend.exporters.manifest import to_bytes as manifest_bytes
from ris_core.errors import BadInput

DifferenceKind = Literal["changed", "missing", "added", "unreadable"]


@dataclass(frozen=True)
class FileDifference:
    """A file that is not as the export wrote it.

    Attributes:
        name: Its path in the folder.
        detail: What is different, if more than its bytes.
    """

    kind: DifferenceKind
    name: str
    detail: str = ""


@dataclass(frozen=True)
class FolderVerification:
    """What was found in a folder.

    Attributes:
        files: Number of files that the manifest lists.
        manifest_sha256: Of the bytes of `manifest.json`.
        made_from: Where the record stood, see `record_position`; None in manifests of version 1.
        is_old: The manifest is of version 1.
    """

    files: int
    manifest_sha256: str
    made_from: Mapping[str, Any] | None
    is_old: bool
    differences: tuple[FileDifference, ...]


def verify(
    folder: Path, manifest_sha256: str = "", report: Callable[[int, int], None] = lambda done, total: None
) -> FolderVerification:
    """Read every file of a data set and compare it with the manifest.

    Args:
        manifest_sha256: Digest of the manifest that was kept elsewhere; compared if not empty.
        report: Called with the number of files that were compared, and of all.

    Raises:
        BadInput: If it is no folder, or has no manifest that can be read.
    """
    file = folder / MANIFEST
    content, written = _read(file)
    sha256 = digest_bytes(file)
    differences = [*_check_manifest(content, written, sha256, manifest_sha256), *_check_files(folder, content, report)]
    return FolderVerification(
        files=len(content["files"]),
        manifest_sha256=sha256,
        made_from=content["made_from"] if isinstance(content.get("made_from"), dict) else None,
        is_old="format" not in content,
        differences=tuple(differences),
    )


def _read(file: Path) -> tuple[dict[str, Any], bytes]:
    """A manifest, and its bytes."""
    folder, remedy = file.parent, "Name the folder of a data set, or export it again."
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder.", "Name the folder of a data set.")
    if file.is_symlink() or not file.is_file():
        raise BadInput(f"{folder} has no {MANIFEST}, so there is nothing to compare its files with.", remedy)
    try:
        written = file.read_bytes()
        content = json.loads(written)
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{file} cannot be read ({reason_of(error)}): it was changed or damaged.", remedy) from error
    if not isinstance(content, dict) or content.get("made_by") != PROGRAM or not _is_table(content.get("files")):
        raise BadInput(f"{file} is no manifest of {PROGRAM}, or was changed.", remedy)
    if content.get("format", FORMAT) != FORMAT or not _is_table(content.get("linked", {})):
        raise BadInput(
            f"{file} has the format {content.get('format')!r}; this program reads {FORMAT}.",
            "Use the version of the program that wrote it.",
        )
    return content, written


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values())


def _check_manifest(
    content: Mapping[str, Any], written: bytes, sha256: str, kept_sha256: str
) -> Iterator[FileDifference]:
    if kept_sha256 and sha256 != kept_sha256.lower():
        yield FileDifference("changed", MANIFEST, f"its sha256 is {sha256}, not {kept_sha256}")
    elif written != manifest_bytes(content):
        yield FileDifference("changed", MANIFEST, "its bytes are not those that an export writes")
    elif "format" in content and content.get("sha256") != digest_content(content):
        yield FileDifference("changed", MANIFEST, "its content does not fit its sha256")


def _check_files(
    folder: Path, content: Mapping[str, Any], report: Callable[[int, int], None]
) -> Iterator[FileDifference]:
    listed, linked = content["files"], content.get("linked", {})
    try:
        names = list_files(folder) - {MANIFEST}
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be read whole ({reason_of(error)}).", "Run this as a user who may read all of it."
        ) from error
    every = sorted(names | listed.keys())
    for number, name in enumerate(every):
        report(number, len(every))
        if name not in listed:
            detail = "a link" if (folder / name).is_symlink() else "an empty folder" if (folder / name).is_dir() else ""
            yield FileDifference("added", name, detail)
        elif name not in names:
            yield FileDifference("missing", name)
        else:
            yield from _compare(folder / name, name, listed[name], linked.get(name))
    report(len(every), len(every))


def _compare(file: Path, name: str, listed: str, linked: str | None) -> Iterator[FileDifference]:
    try:
        if digest_file(file) != listed:
            is_new_link = file.is_symlink() and not listed.startswith("link ")
            yield FileDifference("changed", name, "a link took its place" if is_new_link else "")
        elif linked is not None and not file.is_file():
            yield FileDifference("missing", name, "the file that it links to")
        elif linked is not None and digest_bytes(file) != linked:
            yield FileDifference("changed", name, "the file that it links to")
    except OSError as error:
        yield FileDifference("unreadable", name, reason_of(error))
