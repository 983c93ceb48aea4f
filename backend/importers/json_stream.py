"""Large JSON files, element by element: COCO's annotations take gigabytes as Python values."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from backend.base.redaction import reason_of
from ris_core.errors import BadInput


def read_elements(file: Path, member: str) -> Iterator[Any]:
    """The elements of an array that is a member of a JSON object, in the file's order; none if there is no such member.

    Raises:
        BadInput: If the file cannot be read, or is no JSON.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                stream.seek(0)
            yield from ijson.items(stream, f"{member}.item", use_float=True)
    except OSError as error:
        raise BadInput(f"The file {file} cannot be read ({error.strerror}).", "Check --root.") from error
    except (ijson.JSONError, ValueError) as error:
        raise BadInput(f"The file {file} is no JSON ({reason_of(error)}).", "Get it again.") from error
