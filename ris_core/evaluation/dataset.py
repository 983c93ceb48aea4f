"""What is evaluated: images with their objects, and expressions about them with their targets.

A data set is a list of images that are loaded one by one, because an image is encoded once for all its expressions.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool
from PIL import Image as Pil

from ris_core.arrays import Array
from ris_core.errors import BadImage, BadInput
from ris_core.images.decoding import read
from ris_core.types import Image

MAIN = "main"
"""Name of the part that the tables are about; other parts are reported apart from it."""


@dataclass(frozen=True)
class EvaluationSample:
    """One expression and what it means.

    Attributes:
        id: Unique within the data set.
        text: The expression as it is given to the method.
        targets: Rows of the case's `objects`; empty if the expression means nothing in the image.
        kind: What kind of expression it is, if the data set knows; else it is told from the parse.
        same_class: How many objects of the target's class the image has, itself included; 0 if that is unknown.
    """

    id: str
    text: str
    targets: tuple[int, ...]
    kind: str = ""
    same_class: int = 0


@dataclass(frozen=True, eq=False)
class EvaluationImage:
    """One image with everything that is asked about it.

    Attributes:
        image: The image.
        objects: bool (T, H, W), the annotated objects.
        samples: The expressions; none if the image turns out to have nothing to ask about.
    """

    image: Image
    objects: Bool[Array, "t h w"]
    samples: tuple[EvaluationSample, ...]

    def truth(self, sample: EvaluationSample) -> Bool[Array, "h w"]:
        """Union of the targets' masks; empty if there is no target."""
        truth: Bool[Array, "h w"] = np.logical_or.reduce(self.objects[list(sample.targets)], axis=0, initial=False)
        return truth


@dataclass(frozen=True)
class DatasetItem:
    """An image of a data set before it is loaded.

    Attributes:
        image_id: Unique within the data set.
        load: Reads the image and its annotations.
        part: Which part of the data set it belongs to.
    """

    image_id: str
    load: Callable[[], EvaluationImage]
    part: str = MAIN


@dataclass(frozen=True)
class Dataset:
    """A split of a data set, and how its papers count.

    Attributes:
        name: Such as "refcoco+".
        split: Such as "val".
        items: Its images; any first few of them are a fair sample.
        digest: Digest of the annotations and of how they are read.
        precision_at: Thresholds t of Pr@t, the share of answers whose IoU passes t.
        precision_inclusive: An IoU of exactly t passes.
    """

    name: str
    split: str
    items: tuple[DatasetItem, ...]
    digest: str
    precision_at: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9)
    precision_inclusive: bool = False

    def first(self, images: int) -> Self:
        """The same with at most so many images of each part.

        Raises:
            BadInput: If that is less than 1.
        """
        if images < 1:
            raise BadInput(f"The limit is {images} images; give at least 1.")
        counts: Counter[str] = Counter()
        items = []
        for item in self.items:
            counts[item.part] += 1
            if counts[item.part] <= images:
                items.append(item)
        return replace(self, items=tuple(items))


def shuffled(items: Iterable[DatasetItem]) -> tuple[DatasetItem, ...]:
    """The same order on every machine, and unrelated to what the ids mean."""
    return tuple(sorted(items, key=lambda item: hashlib.sha256(item.image_id.encode()).digest()))


def digest_files(files: Iterable[Path], reading: str) -> str:
    """Hex digest of annotation files and of how they are read."""
    digest = hashlib.sha256(reading.encode())
    for file in files:
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]


def open_pixels(file: Path, size_hw: tuple[int, int], *, resize: bool = False) -> Image:
    """An image as its annotations see it: EXIF orientation is not applied.

    Args:
        file: The image file.
        size_hw: Height and width that the annotations state.
        resize: Resize to that size if the file has another one.

    Raises:
        BadImage: If the file is missing, cannot be read, or has another size.
    """
    try:
        pixels = read(file.read_bytes(), upright=False).pixels
    except FileNotFoundError as error:
        raise BadImage(f"The image {file} is missing.", "Put the data set's images there.", cause="missing") from error
    except OSError as error:
        raise BadImage(f"The image {file} cannot be read ({error.strerror}).", "Get it again.") from error
    except BadImage as error:
        wrong = f"The image {file} cannot be read. {error.wrong}"
        raise BadImage(wrong, error.remedy, cause=error.cause, kind=error.kind) from error
    found_hw = (pixels.shape[0], pixels.shape[1])
    if found_hw != size_hw:
        if not resize:
            raise BadImage(
                f"The image {file} is {found_hw} (H, W), its annotations say {size_hw}.", "Get the original."
            )
        resized = Pil.fromarray(pixels).resize((size_hw[1], size_hw[0]), Pil.Resampling.BILINEAR)
        pixels = np.asarray(resized).copy()
    return Image.from_array(pixels)
