"""A data set's card: its content, its origin and its licence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backend.exporters.request import ExportFilter, ExportRequest
from backend.exporters.sign_off import SignOff, describe
from backend.exporters.targets import AnnotatedImage, Written
from backend.label_studio.protocol import Json
from ris_core.output.plain_text import markdown

LOADING: Mapping[str, str] = {
    "refcoco": """from refer import REFER  # or: ris eval --dataset refcoco --root .

refer = REFER(".", dataset="refcoco", splitBy="unc")  # run it in this folder
ref = refer.loadRefs(refer.getRefIds(split="train"))[0]
mask = refer.getMask(ref)["mask"]""",
    "grefcoco": """import json

from pycocotools import mask as coco

refs = json.load(open("grefcoco/grefs(unc).json"))
instances = json.load(open("grefcoco/instances.json"))
images = {one["id"]: one for one in instances["images"]}
annotations = {one["id"]: one for one in instances["annotations"]}
ref = next(ref for ref in refs if ref["ann_id"] != [-1])  # [-1]: its sentences mean nothing in the image
size = images[ref["image_id"]]["height"], images[ref["image_id"]]["width"]
parts = [coco.frPyObjects(annotations[id]["segmentation"], *size) for id in ref["ann_id"]]
mask = sum(coco.decode(part).max(2) for part in parts)""",
    "coco": """from pycocotools.coco import COCO

coco = COCO("annotations/{instances}")
mask = coco.annToMask(coco.anns[1])  # its sentences: coco.anns[1]["sentences"]""",
    "yolo-seg": """from ultralytics import YOLO  # or another reader of YOLO's segmentation labels

YOLO("yolo11n-seg.pt").train(data="data.yaml")  # run it in this folder""",
    "hf": """from pathlib import Path

import numpy as np
from datasets import load_dataset

rows = load_dataset(str(Path().resolve()), split="{split}")  # run it in this folder
row = next(row for row in rows if row["mask"])  # without a mask, its sentences mean nothing in the image
mask = np.asarray(row["mask"]) > 127""",
    "masks": """import json

import numpy as np
from PIL import Image

for line in map(json.loads, open("index.jsonl")):
    mask = np.asarray(Image.open(line["mask"])) > 127""",
    "jsonl": """import json

from pycocotools import mask as coco

for line in map(json.loads, open("records.jsonl")):
    if line["mask"]:  # without one, its sentences mean nothing in the image
        mask = coco.decode(line["mask"])""",
}
"""How each format is read, in Python. `coco-polygons` is read as `coco`."""


@dataclass
class CardCounts:
    """Counts of what was written.

    Attributes:
        annotated_images: Images that were looked at.
        images: Keys of the images.
        files: Names of the image files.
        sentences, absent: Sentences in the files, of targets and that mean nothing in their image.
        unheld: Recorded sentences that the format has no place for.
        empty: Images that were saved without any region.
        ious, head: As of `Written`.
        newest: When the newest region was saved, seconds since 1970; 0 without regions.
        by_address: Tasks whose image is known by its address only.
    """

    annotated_images: int = 0
    images: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    targets: int = 0
    sentences: int = 0
    absent: int = 0
    unheld: int = 0
    empty: int = 0
    ious: list[float] = field(default_factory=list)
    head: str = ""
    several_annotators: int = 0
    unverified: int = 0
    by_split: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    by_outcome: Counter[str] = field(default_factory=Counter)
    by_review: Counter[str] = field(default_factory=Counter)
    by_shape: Counter[str] = field(default_factory=Counter)
    annotators: set[int] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    uncalibrated: frozenset[str] = frozenset()
    newest: float = 0.0
    unnamed: int = 0
    left_out: int = 0
    negatives: int = 0
    by_address: int = 0

    def add(self, annotated: AnnotatedImage, is_written: bool = True) -> None:
        """Count an annotated image.

        Args:
            is_written: The format has a place for what is said about it.
        """
        self.annotated_images += 1
        self.absent += len(annotated.absent)
        if not is_written:
            return
        self.empty += annotated.is_empty
        self.images.add(annotated.image.key)
        self.files.add(annotated.image.file_name)
        for target in annotated.targets:
            self.targets += 1
            self.sentences += len(target.sentences)
            self.by_split[annotated.image.split or "-"] += 1
            self.by_label[target.label or "-"] += 1
            self.by_outcome[target.sources[0].outcome or "predicted"] += 1
            self.by_review[target.sources[0].review] += 1
            self.by_shape[target.sources[0].shape or "-"] += 1
            self.unverified += not target.is_verified
            self.several_annotators += len(target.sources) > 1
            for source in target.sources:
                self.annotators |= {source.annotator} - {None}  # type: ignore[arg-type]
                self.versions |= {source.model_version or ""} - {""}
                self.newest = max(self.newest, source.updated_at)

    def close(self, written: Written) -> None:
        """Replace the counts of recorded sentences by those of the files."""
        self.unheld = self.absent - written.absent + (0 if written.sentences else self.sentences)
        self.sentences, self.absent, self.ious = written.sentences, written.absent, written.ious
        self.head = written.head

    def count_negatives(self, negatives: Iterable[Json]) -> Iterator[Json]:
        """Pass hard negatives on, and count them and the image files that they need."""
        for negative in negatives:
            self.negatives += 1
            self.files.add(negative["image"])
            yield negative


def render(request: ExportRequest, counts: CardCounts, signed: SignOff | None = None) -> str:
    """The card as Markdown, with titles and labels escaped: others wrote them.

    Args:
        signed: The sign-off of a data set of approved regions.

    The only time in it is that of the newest region, so that equal corrections give an equal card.
    """
    return counts.head + "\n".join([*_lines(request, counts), *(describe(signed) if signed else ())]) + "\n"


def _lines(request: ExportRequest, counts: CardCounts) -> Iterator[str]:
    export_filter = request.filter
    newest = datetime.fromtimestamp(counts.newest, UTC).isoformat(timespec="seconds") if counts.newest else "-"
    yield from (
        f"# {markdown(request.title)}",
        "",
        f"Referring expressions and masks from Label Studio, project {export_filter.project}.",
        "",
    )
    facts = {
        "licence": request.licence,
        "format": request.format,
        "made by": f"label-studio-ris {request.version}",
        "newest region": newest,
        "regions": {"both": "annotations, and predictions of tasks without any"}.get(
            export_filter.source, export_filter.source
        ),
        "outcomes": ", ".join(export_filter.only) or "all",
        **({"quality review": ", ".join(export_filter.review)} if export_filter.review else {}),
        "agreement at least": f"{export_filter.min_agreement:g}",
        "splits": _splits(export_filter),
        "masks": _masks(counts),
        "images": {"copy": "copied", "link": "linked", "none": "not included"}[request.images],
        "answered by": ", ".join(sorted(counts.versions)) or "-",
        **({"scores are no probabilities of": ", ".join(sorted(counts.uncalibrated))} if counts.uncalibrated else {}),
    }
    yield from ("| | |", "| --- | --- |", *(f"| {name} | {markdown(value)} |" for name, value in facts.items()), "")
    numbers = {
        "images": len(counts.images),
        "targets": counts.targets,
        "sentences": counts.sentences,
        "sentences that mean nothing in their image": counts.absent,
        "recorded sentences that this format has no place for": counts.unheld,
        "images that were saved empty": counts.empty,
        "targets of several annotators": counts.several_annotators,
        "targets that nobody verified (`verified: false`)": counts.unverified,
        "targets without a sentence (`unnamed.jsonl`)": counts.unnamed,
        "left out (`left-out.jsonl` says why)": counts.left_out,
        "hard negatives": counts.negatives,
        "annotators": len(counts.annotators),
        "images known by their address only": counts.by_address,
    }
    yield from ("| counts | |", "| --- | ---: |", *(f"| {name} | {number:,} |" for name, number in numbers.items()), "")
    splits = [split for split in sorted(counts.by_split) if split != "-"]
    split = max(splits, key=counts.by_split.__getitem__, default="")
    reading = LOADING[request.format.removesuffix("-polygons")]
    reading = reading.replace("{instances}", f"instances_{split}.json" if split else "instances.json")
    reading = reading.replace("{split}", split or "train")
    yield from ("To read it, in its folder:", "", "```python", *reading.splitlines(), "```", "")
    tables = [
        ("split", counts.by_split),
        ("label", counts.by_label),
        ("outcome", counts.by_outcome),
        ("drawn as", counts.by_shape),
    ]
    if set(counts.by_review) - {"unseen"}:
        tables.append(("quality review", counts.by_review))
    for title, counter in tables:
        rows = (f"| {markdown(name)} | {number:,} |" for name, number in sorted(counter.items()))
        yield from (f"| {title} | targets |", "| --- | ---: |", *rows, "")


def _masks(counts: CardCounts) -> str:
    if not counts.ious:
        return "exact"
    mean, least = sum(counts.ious) / len(counts.ious), min(counts.ious)
    return f"as the reader draws them, an IoU of {mean:.3f} with the recorded ones on average, {least:.3f} at least"


def _splits(export_filter: ExportFilter) -> str:
    if export_filter.split_field:
        return f"as the tasks' field {export_filter.split_field!r} says"
    if not export_filter.shares:
        return "none"
    groups = f", images of one {export_filter.group_field!r} together" if export_filter.group_field else ""
    return "/".join(f"{share:g}" for share in export_filter.shares) + f" by the images' sha256{groups}"
