"""`ris verify`: whether a data set is as the export wrote it."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.base.terminal import Column, Progress, print_table
from backend.exporters.files import exit_on_signals
from ris_core.errors import BadInput
from ris_core.output.plain_text import one_line

if TYPE_CHECKING:
    from backend.exporters.verification import FolderVerification

HEX = frozenset("0123456789abcdefABCDEF")
COLUMNS = (Column(is_fixed=True, width=10), Column(), Column())

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a data set that `ris export` wrote.")]
Digest = Annotated[
    str, typer.Option("--manifest-digest", help="The sha256 of manifest.json, as the export printed it; compared too.")
]


def verify(folder: Folder, manifest_sha256: Digest = "") -> None:
    """Compare every file of an exported data set with its manifest. Exits with 1 if anything is changed, missing or added."""
    from backend.exporters.verification import verify as compare

    if manifest_sha256 and (len(manifest_sha256) != 64 or not HEX.issuperset(manifest_sha256)):
        raise BadInput(f"--manifest-digest is {manifest_sha256!r}; it has 64 hexadecimal digits.")
    with exit_on_signals(), Progress(f"Checking {folder}", "files") as progress:
        result = compare(folder, manifest_sha256, progress.count)
    _print(result, folder, is_known=bool(manifest_sha256))
    if result.differences:
        raise typer.Exit(1)


def _print(result: "FolderVerification", folder: Path, is_known: bool) -> None:
    name = one_line(str(folder))
    if result.differences:
        print_table(COLUMNS, [(one.kind, one.name, one.detail) for one in result.differences], has_header=False)
        counts = Counter(one.kind for one in result.differences)
        print(
            f"{name} is not as it was exported: {', '.join(f'{count:,} {kind}' for kind, count in counts.items())}. "
            "Get it again from where it came, or export it again.",
            file=sys.stderr,
        )
    else:
        print(f"{name}: {result.files:,} files, all as they were exported.")
    if result.made_from:
        print(_say_position(result.made_from))
    if result.is_old:
        print(
            "An older version wrote the manifest. Not known: the record that it was made from, whether files behind symbolic "
            "links were changed, and whether somebody deleted files together with their lines in the manifest."
        )
    if is_known:
        return
    print(
        f"The manifest's sha256 is {result.manifest_sha256}. Whoever can write to the folder can write a new manifest; compare "
        "with --manifest-digest and the digest that the export printed to exclude that."
    )


def _say_position(made_from: Mapping[str, Any]) -> str:
    counts = ", ".join(
        f"{value:,} {name.replace('_', ' ')}"
        for name, value in made_from.items()
        if isinstance(value, int) and name != "project"
    )
    newest = f"; newest annotation {made_from['newest_annotation']}" if made_from.get("newest_annotation") else ""
    return one_line(f"Made from project {made_from.get('project')}: {counts}{newest}.")
