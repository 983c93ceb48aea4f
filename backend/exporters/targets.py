"""What data sets are made of: images, what is on them, and what it is called. Values only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.corrections.matching import area, overlap
from backend.label_studio.protocol import Json
from ris_core.geometry.masks import Rle

SAME_INSTANCE = 0.8
"""IoU from which regions of several annotators are the same thing."""


@dataclass(frozen=True)
class DatasetImage:
    """An image.

    Attributes:
        key: sha256 of its bytes; of its address, after "address:", where the bytes are not known.
        file_name: Name of its file in the data set.
        size_hw: Upright height and width in pixels.
        address: Where Label Studio has it; empty if that is not known.
        split: Name of its split; empty if the data set has none.
        group: Video, scene or whatever else keeps images together; empty if nothing does.
    """

    key: str
    file_name: str
    size_hw: tuple[int, int]
    address: str
    split: str
    group: str


@dataclass(frozen=True)
class TargetSource:
    """A region that a target is made of.

    Attributes:
        annotation: None of a machine's region that nobody has looked at.
        outcome: What became of it; empty of a machine's region.
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
    expression: str | None
    mask: Rle


@dataclass(frozen=True)
class DatasetTarget:
    """A thing on an image.

    Attributes:
        sources: The regions that show it, of several annotators; that whose mask and label count is first.
        sentences: What it is called, each wording once.
        agreement: Share of its task's annotators who have it, in (0, 1].
    """

    sources: tuple[TargetSource, ...]
    sentences: tuple[str, ...]
    agreement: float

    @property
    def mask(self) -> Rle:
        """The reviewed one, else the newest."""
        return self.sources[0].mask

    @property
    def label(self) -> str:
        """Label of the same region."""
        return self.sources[0].label

    @property
    def is_verified(self) -> bool:
        """Whether a person has saved it."""
        return self.sources[0].annotation is not None

    def provenance(self) -> Json:
        """Who, when, and by which version."""
        told = ("task", "annotation", "region", "annotator", "updated_at", "is_reviewed", "outcome", "model_version")
        sources = [{name: getattr(source, name) for name in told} for source in self.sources]
        return {"verified": self.is_verified, "agreement": round(self.agreement, 4), "sources": sources}


@dataclass(frozen=True)
class AnnotatedImage:
    """Everything that one task gives: its image and the things on it.

    Attributes:
        absent: Expressions that mean nothing in the image, as somebody said.
    """

    picture: DatasetImage
    task: str
    targets: tuple[DatasetTarget, ...]
    absent: tuple[str, ...] = ()


class DatasetWriter(Protocol):
    """Writes a data set in a format. Made with the folder; one image may come in several scenes."""

    def add(self, scene: AnnotatedImage) -> list[int | str]:
        """Write a scene; how each of its targets is called in the data set."""

    def close(self, about: Mapping[str, Any]) -> None:
        """Write what comes last."""


def merge(sources: Iterable[TargetSource], annotators: int) -> list[DatasetTarget]:
    """Targets of regions: those of different annotations with an IoU of `SAME_INSTANCE` are one, as are equal ones of the same.

    Args:
        annotators: How many looked at the task.
    """
    ordered = sorted(sources, key=lambda one: (not one.is_reviewed, -one.updated_at, one.annotation or 0, one.region))
    groups: list[list[TargetSource]] = []
    for source in ordered:
        group = next((group for group in groups if _belongs(source, group)), None)
        if group is None:
            groups.append([source])
        else:
            group.append(source)
    return [_make_target(group, annotators) for group in groups]


def _belongs(source: TargetSource, group: Sequence[TargetSource]) -> bool:
    if source.mask == group[0].mask:
        return True
    if any(source.annotation == other.annotation for other in group):
        return False
    small, large = sorted((area(source.mask), area(group[0].mask)))
    return small >= SAME_INSTANCE * large and overlap(source.mask, group[0].mask) >= SAME_INSTANCE  # the first is quick


def _make_target(group: Sequence[TargetSource], annotators: int) -> DatasetTarget:
    sentences: dict[str, str] = {}
    for source in group:
        if source.expression:
            sentences.setdefault(" ".join(source.expression.casefold().split()), source.expression)
    people = len({source.annotator for source in group})
    return DatasetTarget(tuple(group), tuple(sentences.values()), min(1.0, people / max(annotators, 1)))
