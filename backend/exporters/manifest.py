"""`manifest.json`: every file that an export wrote, with its sha256. Only a folder that matches its manifest is replaced.

made_by: The name of this program.
format: Version of the manifest; manifests without it are of version 1, which has `made_by` and `files` only.
program: Version of this program.
made_from: Where the record stood, see `record_position`.
files: By path, the sha256 of the bytes; of a symbolic link, "link" and the sha256 of the path that it holds.
linked: By path of a symbolic link to a file, the sha256 of that file's bytes.
sha256: Of the manifest without this entry.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.exporters.reporting import Report, keep_quiet
from ris_core.errors import BadInput

MANIFEST = "manifest.json"
CARD = "README.md"
FORMAT = 2
PROGRAM = "label-studio-ris"
"""The value of `made_by`, by which an export knows its own folders."""
LISTED = 3
"""Files that an error message names; it counts the others."""


def write_manifest(folder: Path, about: Mapping[str, Any] | None = None, report: Report = keep_quiet) -> None:
    """List every file of a data set; equal folders give equal bytes.

    Args:
        about: Entries that say what it was made from: `program`, `made_from`.
        report: Told of each file that is hashed.
    """
    files, names = {}, sorted(list_files(folder))
    for number, name in enumerate(names):
        report("Hashing the files", number, len(names))
        files[name] = digest_file(folder / name)
    content: dict[str, Any] = {
        "made_by": PROGRAM,
        "format": FORMAT,
        **(about or {}),
        "files": files,
        "linked": {name: digest_bytes(folder / name) for name in names if _is_link_to_file(folder / name)},
    }
    content["sha256"] = digest_content(content)
    (folder / MANIFEST).write_bytes(to_bytes(content))


def to_bytes(content: Mapping[str, Any]) -> bytes:
    """A manifest as the bytes of its file."""
    return (json.dumps(content, indent=1, ensure_ascii=True) + "\n").encode()


def digest_content(content: Mapping[str, Any]) -> str:
    """sha256 of a manifest without its entry `sha256`."""
    return hashlib.sha256(to_bytes({name: value for name, value in content.items() if name != "sha256"})).hexdigest()


def read_manifest(folder: Path) -> dict[str, str] | None:
    """Digests by path of a data set's files, the manifest among them; None if the folder has no manifest of an export or no card."""
    file = folder / MANIFEST
    if file.is_symlink() or not file.is_file():
        return None
    try:
        content = json.loads(file.read_bytes())
        files = {str(name): str(digest) for name, digest in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    if content.get("made_by") != PROGRAM or CARD not in files or not (folder / CARD).is_file():
        return None
    # files that are listed get deleted when the data set is replaced, so a forged list must not reach outside the folder
    if any(name.startswith("/") or ".." in name.split("/") for name in files):
        return None
    return {**files, MANIFEST: digest_file(file)}


def check_unchanged(folder: Path) -> None:
    """Check that a folder that is to be replaced holds exactly the files that its manifest lists.

    Raises:
        BadInput: If it has no manifest of an export, or a file was added or changed.
    """
    if problem := find_change(folder):
        raise BadInput(f"{folder} is not replaced: {problem}. Move it away, or name another folder.")


def find_change(folder: Path) -> str:
    """How a folder differs from what an export wrote, in words; empty if it does not."""
    digests = read_manifest(folder)
    if digests is None:
        return f"it has no {MANIFEST} that an export of this version wrote"
    files = list_files(folder)
    added = sorted(files - digests.keys())
    changed = [name for name in sorted(files & digests.keys()) if digest_file(folder / name) != digests[name]]
    for names, problem in (
        (added, "it holds files that no export wrote"),
        (changed, "files were changed after the export"),
    ):
        if names:
            rest = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            return f"{problem}: {', '.join(map(ascii, names[:LISTED]))}{rest}"
    return ""


def list_files(folder: Path) -> set[str]:
    """Relative paths of everything below a folder that is not a folder, and of empty folders.

    Raises:
        OSError: If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    paths = set()
    for parent, folders, files in os.walk(folder, onerror=refuse):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        if not folders and not files and Path(parent) != folder:
            paths.add(os.path.relpath(parent, folder))
        paths |= {os.path.relpath(os.path.join(parent, name), folder) for name in [*files, *links]}
    return paths


def digest_file(file: Path) -> str:
    """sha256 of a file's bytes; of a link, "link" and the sha256 of its target's path; of anything else "none"."""
    if file.is_symlink():
        return "link " + hashlib.sha256(os.fsencode(os.readlink(file))).hexdigest()
    if not file.is_file():
        return "none"
    return digest_bytes(file)


def digest_bytes(file: Path) -> str:
    """sha256 of a file's bytes; links are followed."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_link_to_file(file: Path) -> bool:
    return file.is_symlink() and file.is_file()
