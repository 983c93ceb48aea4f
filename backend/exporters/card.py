"""A data set's card: what is in it, how it came about, and under which licence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backend.exporters.targets import Scene

if TYPE_CHECKING:
    from backend.exporters.export import Order


@dataclass
class Counts:
    """What was written; `images` by key, `files` by name."""

    scenes: int = 0
    images: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    targets: int = 0
    sentences: int = 0
    absent: int = 0
    several_annotators: int = 0
    unverified: int = 0
    by_split: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    annotators: set[int] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    newest: float = 0.0
    unnamed: int = 0
    left_out: int = 0
    negatives: int = 0
    by_address: int = 0

    def add(self, scene: Scene) -> None:
        """Count a scene."""
        self.scenes += 1
        self.images.add(scene.picture.key)
        self.files.add(scene.picture.file_name)
        self.absent += len(scene.absent)
        for target in scene.targets:
            self.targets += 1
            self.sentences += len(target.sentences)
            self.by_split[scene.picture.split or "-"] += 1
            self.by_label[target.label or "-"] += 1
            self.by_outcome[target.sources[0].outcome or "predicted"] += 1
            self.unverified += not target.is_verified
            self.several_annotators += len(target.sources) > 1
            for source in target.sources:
                self.annotators |= {source.annotator} - {None}  # type: ignore[arg-type]
                self.versions |= {source.model_version or ""} - {""}
                self.newest = max(self.newest, source.updated_at)


def render(order: Order, counts: Counts) -> str:
    """The card as Markdown. It names no time but that of its newest region: the same ledger gives the same card."""
    return "\n".join(_lines(order, counts)) + "\n"


def _lines(order: Order, counts: Counts) -> Iterator[str]:
    choice = order.choice
    newest = datetime.fromtimestamp(counts.newest, UTC).isoformat(timespec="seconds") if counts.newest else "-"
    yield from (
        f"# {order.title}",
        "",
        f"Referring expressions and masks from Label Studio, project {choice.project}.",
        "",
    )
    facts = {
        "licence": order.licence,
        "format": order.format,
        "made by": f"label-studio-ris {order.version}",
        "newest region": newest,
        "regions": {"both": "annotations, and predictions of tasks without any"}.get(choice.source, choice.source),
        "outcomes": ", ".join(choice.only) or "all",
        "agreement at least": f"{choice.min_agreement:g}",
        "splits": _splits(order),
        "images": {"copy": "copied", "link": "linked", "none": "not included"}[order.images],
        "answered by": ", ".join(sorted(counts.versions)) or "-",
    }
    yield from ("| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in facts.items()), "")
    numbers = {
        "images": len(counts.images),
        "targets": counts.targets,
        "sentences": counts.sentences,
        "sentences that mean nothing in their image": counts.absent,
        "targets of several annotators": counts.several_annotators,
        "targets that nobody verified (`verified: false`)": counts.unverified,
        "targets without a sentence (`unnamed.jsonl`)": counts.unnamed,
        "left out (`left-out.jsonl` says why)": counts.left_out,
        "hard negatives": counts.negatives,
        "annotators": len(counts.annotators),
        "images known by their address only": counts.by_address,
    }
    yield from ("| counts | |", "| --- | ---: |", *(f"| {name} | {number:,} |" for name, number in numbers.items()), "")
    for title, counter in (("split", counts.by_split), ("label", counts.by_label), ("outcome", counts.by_outcome)):
        rows = (f"| {name} | {number:,} |" for name, number in sorted(counter.items()))
        yield from (f"| {title} | targets |", "| --- | ---: |", *rows, "")


def _splits(order: Order) -> str:
    choice = order.choice
    if choice.split_field:
        return f"as the tasks' field {choice.split_field!r} says"
    if not choice.shares:
        return "none"
    kept = f", images of one {choice.group_field!r} together" if choice.group_field else ""
    return "/".join(f"{share:g}" for share in choice.shares) + f" by the images' sha256{kept}"
