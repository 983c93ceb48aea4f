"""The values that a data set is read into: images, the objects on them, and their sentences."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool

from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.output.file_names import inside

DIGEST_LENGTH = 16
"""Characters of a content's digest; 64 bits."""


@dataclass(frozen=True)
class SourceObject:
    """An object of a data set.

    Attributes:
        id: Unique within its image.
        label: Name of its category; empty if it has none.
        sentences: Exactly as the data set has them.
        draw: Its mask, bool (H, W) at the size of the image. Raises `BadInput` if it cannot be drawn.
    """

    id: str
    label: str
    sentences: tuple[str, ...]
    draw: Callable[[], Bool[Array, "h w"]]


@dataclass(frozen=True)
class SourceImage:
    """An image of a data set.

    Attributes:
        id: Unique within the data set, and the same each time that it is read.
        folder: Folder of its file, from the caller and not from the data.
        name: Path of its file below the folder, from the data.
        size_hw: Height and width in pixels, as its annotations see it.
        split: Name of its split; empty if it has none, or several.
        absent: Sentences that mean nothing in the image.
        content: What its objects and sentences are, as text; equal texts are equal contents.
        problem: Why it cannot be imported, in words; empty if it can.
    """

    id: str
    folder: Path
    name: str
    size_hw: tuple[int, int]
    split: str
    objects: tuple[SourceObject, ...]
    absent: tuple[str, ...]
    content: str
    problem: str = ""

    @property
    def digest(self) -> str:
        """Digest of what would be imported, without the pixels."""
        parts = [self.name, self.split, self.content]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class DataSource:
    """A data set that is read.

    Attributes:
        format: A name of `backend.importers.reading.FORMATS`.
        labels: Names of the categories of its objects.
        count: Number of its images.
        images: Reads them, one by one.
    """

    format: str
    labels: tuple[str, ...]
    count: int
    images: Callable[[], Iterator[SourceImage]]


def find_file(folder: Path, name: str, what: str) -> Path:
    """A file that data names, below a folder.

    Raises:
        BadInput: If it lies elsewhere, also by a link, or no file can have its name.
    """
    file = inside(folder, name, what)
    try:
        place = file.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, or halves of surrogate pairs
        raise BadInput(f"{what} is {name!a}, which cannot be opened.", "Put the file itself there.") from error
    if not place.is_relative_to(folder.resolve()):
        raise BadInput(
            f"{what} is {name!a}, which a link leads out of {folder}.",
            "Put the file itself there; links are not followed.",
        )
    return file
