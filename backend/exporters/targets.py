"""The values that a data set consists of: images, the targets on them, and their sentences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from backend.corrections.matching import area, overlap
from backend.corrections.wording import fold
from backend.label_studio.protocol import Json
from backend.review.decisions import State
from ris_core.geometry.masks import Rle

SAME_INSTANCE = 0.8
"""IoU from which regions of several annotators show the same object."""


@dataclass(frozen=True)
class DatasetImage:
    """An image of a data set.

    Attributes:
        key: sha256 of its bytes; where the bytes are not known, "address:" and the sha256 of its address.
        file_name: Name of its file in the data set.
        size_hw: Upright height and width in pixels.
        address: Its address in Label Studio; empty if it is not known.
        split: Name of its split; empty if the data set has none.
        group: Name of a video or another group whose images stay in one split; empty if there is none.
    """

    key: str
    file_name: str
    size_hw: tuple[int, int]
    address: str
    split: str
    group: str


@dataclass(frozen=True)
class TargetSource:
    """A region of an annotator or a prediction, from which a target is built.

    Attributes:
        annotation: Label Studio's id; None for a predicted region that nobody has reviewed.
        outcome: Its outcome; empty for such a predicted region.
        sentences: Its referring expressions.
        shape: What was drawn: a name of `drawn_shapes.SHAPES`; empty if nothing says so.
        review: What a lead decided about its mask.
    """

    task: str
    annotation: int | None
    region: str
    annotator: int | None
    updated_at: float
    is_reviewed: bool
    outcome: str
    model_version: str | None
    label: str
    sentences: tuple[str, ...]
    mask: Rle
    shape: str = ""
    review: State = "unseen"


@dataclass(frozen=True)
class DatasetTarget:
    """An object on an image.

    Attributes:
        sources: The regions that show it, of several annotators. The mask and the label are those of the first.
        sentences: Its referring expressions, each wording once.
        agreement: Share of the annotators of its tasks who drew it, in (0, 1].
    """

    sources: tuple[TargetSource, ...]
    sentences: tuple[str, ...]
    agreement: float

    @property
    def mask(self) -> Rle:
        """Mask of the reviewed region, else of the newest."""
        return self.sources[0].mask

    @property
    def label(self) -> str:
        """Label of the region whose mask is taken."""
        return self.sources[0].label

    @property
    def is_verified(self) -> bool:
        """Whether a person has saved it."""
        return self.sources[0].annotation is not None

    def provenance(self) -> Json:
        """Who drew it and when, and which model version predicted it."""
        names = (
            "task",
            "annotation",
            "region",
            "annotator",
            "updated_at",
            "is_reviewed",
            "outcome",
            "model_version",
            "shape",
        )
        sources = [
            # records of earlier versions do not say with what shape a region was drawn
            {name: getattr(source, name) for name in names if name != "shape" or source.shape}
            for source in self.sources
        ]
        return {"verified": self.is_verified, "agreement": round(self.agreement, 4), "sources": sources}


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and the targets on it, from all tasks that have it.

    Attributes:
        absent: Expressions that mean nothing in the image, as annotators stated.
        is_empty: It was saved without any region by everybody who annotated it.
    """

    image: DatasetImage
    targets: tuple[DatasetTarget, ...]
    absent: tuple[str, ...] = ()
    is_empty: bool = False


@dataclass
class Written:
    """What a writer has written.

    Attributes:
        sentences: Sentences of targets.
        absent: Sentences that mean nothing in their image.
        ious: IoU of each mask with what readers of the format draw; empty if they draw all exactly.
        head: What the card begins with, for readers of the format; it ends with an empty line.
    """

    sentences: int = 0
    absent: int = 0
    ious: list[float] = field(default_factory=list)
    head: str = ""


Name = int | str | list[int]
"""What a target is called in a data set: its id, its ids or its file; no ids if it is not in it."""


class DatasetWriter(Protocol):
    """Writes a data set in one format.

    Attributes:
        written: What it has written so far.
    """

    written: Written

    def add(self, annotated: AnnotatedImage) -> list[Name]:
        """Write an annotated image; the name of each of its targets in the data set."""

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes after all images, and close the files.

        Args:
            about: Title, licence and version of the data set.
        """


def merge(sources: Iterable[TargetSource], annotators: int) -> list[DatasetTarget]:
    """Merge regions into targets.

    Regions of different annotations with an IoU of at least `SAME_INSTANCE` become one target. Regions of the same annotation
    do so only if their masks are equal.

    Args:
        annotators: Number of annotators of the tasks.
    """
    groups: list[list[TargetSource]] = []
    for source in sorted(sources, key=_precedence):
        group = next((group for group in groups if _belongs(source, group)), None)
        if group is None:
            groups.append([source])
        else:
            group.append(source)
    drawn_by = [len({source.annotator for source in group}) for group in groups]
    return [make_target(group, min(1.0, n / max(annotators, 1))) for group, n in zip(groups, drawn_by, strict=True)]


def make_target(sources: Sequence[TargetSource], agreement: float) -> DatasetTarget:
    """A target of regions that show the same object, the one whose mask is taken first; each wording once."""
    sentences: dict[str, str] = {}
    for source in sources:
        for sentence in source.sentences:
            sentences.setdefault(fold(sentence), sentence)
    return DatasetTarget(tuple(sources), tuple(sentences.values()), agreement)


def _precedence(source: TargetSource) -> tuple[bool, float, int, str]:
    """Reviewed regions first, then the newest; ids last, so that equal times give the same order each time."""
    return not source.is_reviewed, -source.updated_at, source.annotation or 0, source.region


def _belongs(source: TargetSource, group: Sequence[TargetSource]) -> bool:
    if source.mask == group[0].mask:
        return True
    if any(source.annotation == other.annotation for other in group):
        return False
    small, large = sorted((area(source.mask), area(group[0].mask)))
    return (
        small >= SAME_INSTANCE * large and overlap(source.mask, group[0].mask) >= SAME_INSTANCE
    )  # the ratio of areas bounds the IoU, and is cheap
