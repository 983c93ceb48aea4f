"""A data set's card: what is in it, how it came about, and under which licence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from backend.exporters.request import ExportRequest
from backend.exporters.targets import AnnotatedImage
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
annotations = {one["id"]: one for one in json.load(open("grefcoco/instances.json"))["annotations"]}
ref = next(ref for ref in refs if ref["ann_id"] != [-1])  # [-1]: its sentences mean nothing in the image
mask = sum(coco.decode(annotations[id]["segmentation"]).sum(2) for id in ref["ann_id"])""",
    "coco": """from pycocotools.coco import COCO

coco = COCO("annotations/{instances}")
mask = coco.annToMask(coco.anns[1])  # its sentences: coco.anns[1]["sentences"]""",
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

    def add(self, scene: AnnotatedImage) -> None:
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

    def count_negatives(self, negatives: Iterable[Json]) -> Iterator[Json]:
        """Count hard negatives, and the images that they need, on their way."""
        for one in negatives:
            self.negatives += 1
            self.files.add(one["image"])
            yield one


def render(order: ExportRequest, counts: CardCounts) -> str:
    """The card as Markdown, in which what others wrote is text.

    It names no time but that of its newest region: the same ledger gives the same card.
    """
    return "\n".join(_lines(order, counts)) + "\n"


def _lines(order: ExportRequest, counts: CardCounts) -> Iterator[str]:
    choice = order.choice
    newest = datetime.fromtimestamp(counts.newest, UTC).isoformat(timespec="seconds") if counts.newest else "-"
    yield from (
        f"# {markdown(order.title)}",
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
    yield from ("| | |", "| --- | --- |", *(f"| {name} | {markdown(value)} |" for name, value in facts.items()), "")
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
    splits = [split for split in sorted(counts.by_split) if split != "-"]
    split = max(splits, key=counts.by_split.__getitem__, default="")
    reading = LOADING[order.format.removesuffix("-polygons")]
    reading = reading.replace("{instances}", f"instances_{split}.json" if split else "instances.json")
    yield from ("How it is read, in its folder:", "", "```python", *reading.splitlines(), "```", "")
    for title, counter in (("split", counts.by_split), ("label", counts.by_label), ("outcome", counts.by_outcome)):
        rows = (f"| {markdown(name)} | {number:,} |" for name, number in sorted(counter.items()))
        yield from (f"| {title} | targets |", "| --- | ---: |", *rows, "")


def _splits(order: ExportRequest) -> str:
    choice = order.choice
    if choice.split_field:
        return f"as the tasks' field {choice.split_field!r} says"
    if not choice.shares:
        return "none"
    kept = f", images of one {choice.group_field!r} together" if choice.group_field else ""
    return "/".join(f"{share:g}" for share in choice.shares) + f" by the images' sha256{kept}"
