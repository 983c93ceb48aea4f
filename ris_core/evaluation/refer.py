"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO, in the files their authors published.

    <root>/<name>/instances.json
    <root>/refcoco/refs(unc).p, refs(google).p     <root>/refcoco+/refs(unc).p     <root>/refcocog/refs(umd).p, refs(google).p
    <root>/grefcoco/grefs(unc).json or grefs(unc).p
    <root>/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg; of gRefCOCO also <root>/images/train2014/

Sources: [0] Kazemzadeh et al., EMNLP 2014; Yu et al., ECCV 2016; Mao et al., CVPR 2016; their interface `refer` for the
files and the matching of splits. [1] Liu, Ding, Jiang, "GRES: Generalized Referring Expression Segmentation", CVPR 2023,
for gRefCOCO: several targets, or none (`ann_id == [-1]`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ris_core.errors import BadInput, UnknownName
from ris_core.evaluation import pickles
from ris_core.evaluation.dataset import (
    Dataset,
    DatasetItem,
    EvaluationImage,
    EvaluationSample,
    digest_files,
    open_pixels,
    shuffled,
)
from ris_core.evaluation.instances import InstanceAnnotation, Instances, rasterise, read_instances, read_json
from ris_core.output.file_names import inside

PARTITIONS = {"refcoco": ("unc", "google"), "refcoco+": ("unc",), "refcocog": ("umd", "google"), "grefcoco": ("unc",)}
"""Who divided each data set into splits; the first is the one that papers mean."""
WORDINGS = ("raw", "sent")
"""As typed by the annotator, or cleaned by the authors; the released code of the papers uses the first."""
IMAGES = Path("images/mscoco/images/train2014")
GREFCOCO_IMAGES = Path("images/train2014")
"""Where the loaders of gRefCOCO look."""
NOBODY = -1
"""The `ann_id` of an expression that means nothing in the image."""


@dataclass(frozen=True)
class Ref:
    """An object, or several, or none, with the sentences about it."""

    ref_id: int
    image_id: int
    ann_ids: tuple[int, ...]
    split: str
    sentences: tuple[tuple[int, str], ...]
    """Number and text of each."""


def read_refer(
    root: Path,
    name: str,
    split: str,
    *,
    partition: str = "",
    wording: str = "raw",
    quirks: frozenset[str] = frozenset(),
) -> Dataset:
    """Read a split of a data set of the RefCOCO family.

    Args:
        root: Folder with the data sets and the images.
        name: A name of `PARTITIONS`.
        split: "train", "val", "test", "testA" or "testB", as the partition has them.
        partition: "unc", "umd" or "google"; the papers' if empty.
        wording: A name of `WORDINGS`.
        quirks: Q-GTOVERLAP or nothing, see `ris_core.evaluation.protocol`.

    Raises:
        UnknownName: If there is no such data set, partition, split or wording.
        BadInput: If a file is missing or is not in its format.
    """
    partition = _checked(name, partition, wording)
    refs_file = _refs_file(root, name, partition)
    refs = _read_refs(refs_file, wording)
    split_refs = [ref for ref in refs if _is_in_split(ref.split, split)]
    if not split_refs:
        splits = ", ".join(sorted({ref.split for ref in refs}))
        raise UnknownName(f"{refs_file} has no split named {split!r}. Available: {splits}.")
    instances = read_instances(root / name / "instances.json")
    reading = f"{partition} {wording} {sorted(quirks & {'Q-GTOVERLAP'})}"
    by_image: dict[int, list[Ref]] = defaultdict(list)
    for ref in split_refs:
        by_image[ref.image_id].append(ref)
    load = partial(_load, instances, find_images(root, name), "Q-GTOVERLAP" in quirks)
    is_generalized = name == "grefcoco"
    return Dataset(
        name=name,
        split=split if partition == PARTITIONS[name][0] else f"{split} ({partition})",
        items=shuffled(
            DatasetItem(str(image_id), partial(load, image_id, refs)) for image_id, refs in by_image.items()
        ),
        digest=digest_files([refs_file, instances.file], reading),
        precision_at=(0.7, 0.8, 0.9) if is_generalized else (0.5, 0.6, 0.7, 0.8, 0.9),
        precision_inclusive=is_generalized,
    )


def read_refs(root: Path, name: str, *, partition: str = "", wording: str = "raw") -> list[Ref]:
    """Read the refs of all splits.

    Args, raises: as of `read_refer`.
    """
    return _read_refs(_refs_file(root, name, _checked(name, partition, wording)), wording)


def find_images(root: Path, name: str) -> Path:
    """The folder of a data set's images."""
    has_own = name == "grefcoco" and (root / GREFCOCO_IMAGES).is_dir()
    return root / (GREFCOCO_IMAGES if has_own else IMAGES)


def _checked(name: str, partition: str, wording: str) -> str:
    if name not in PARTITIONS:
        raise UnknownName(f"No data set named {name!r}. Available: {', '.join(PARTITIONS)}.")
    if partition and partition not in PARTITIONS[name]:
        raise UnknownName(f"{name} has no partition {partition!r}. Available: {', '.join(PARTITIONS[name])}.")
    if wording not in WORDINGS:
        raise UnknownName(f"No wording named {wording!r}. Available: {', '.join(WORDINGS)}.")
    return partition or PARTITIONS[name][0]


def _refs_file(root: Path, name: str, partition: str) -> Path:
    stem = "grefs" if name == "grefcoco" else "refs"
    files = [root / name / f"{stem}({partition}).{ending}" for ending in ("json", "p")]
    for file in files if name == "grefcoco" else files[1:]:
        if file.exists():
            return file
    raise BadInput(f"The file {files[-1]} is missing. Put {name}'s files there, or name another --root than {root}.")


def _is_in_split(ref_split: str, split: str) -> bool:
    """As [0] matches: "testA" is an A in the split's name, "test" any test."""
    if split in ("testA", "testB", "testC"):
        return split[-1] in ref_split
    return "test" in ref_split if split == "test" else ref_split == split


def _read_refs(file: Path, wording: str) -> list[Ref]:
    content = read_json(file) if file.suffix == ".json" else pickles.load(file)
    if not isinstance(content, list):
        raise BadInput(f"The file {file} holds a {type(content).__name__}, not a list of refs. Get the original file.")
    refs = []
    for number, ref in enumerate(content):
        try:
            refs.append(_read_ref(ref, wording))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"Ref {number} of {file} is not in the format: {type(error).__name__} {error}. It has ref_id, ann_id, "
                "image_id, split and sentences (sent_id, raw, sent)."
            ) from error
    return refs


def _read_ref(ref: Mapping[str, Any], wording: str) -> Ref:
    ann_ids = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    return Ref(
        ref_id=int(ref["ref_id"]),
        image_id=int(ref["image_id"]),
        ann_ids=tuple(int(ann_id) for ann_id in ann_ids if int(ann_id) != NOBODY),
        split=_text(ref["split"]),
        sentences=tuple((int(s["sent_id"]), _text(s[wording])) for s in ref["sentences"]),
    )


def _text(value: object) -> str:
    # not `str(value)`: lists that hold a list twice, which holds a list twice, are small in a pickle and endless as text
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} is no text")
    return value


def _load(
    instances: Instances, images: Path, overlap_is_background: bool, image_id: int, refs: Sequence[Ref]
) -> EvaluationImage:
    picture = instances.picture(image_id)
    every = {ann_id: instances.annotation(ann_id) for ref in refs for ann_id in ref.ann_ids}
    annotations = {ann_id: annotation for ann_id, annotation in every.items() if not annotation.is_crowd}  # as [1] does
    rows = {ann_id: row for row, ann_id in enumerate(annotations)}
    masks = [
        rasterise(annotation.segmentation, picture.size_hw, overlap_is_background=overlap_is_background)
        for annotation in annotations.values()
    ]
    return EvaluationImage(
        image=open_pixels(inside(images, picture.file_name, f"The file of image {image_id}"), picture.size_hw),
        objects=np.array(masks, bool).reshape(-1, *picture.size_hw),
        samples=tuple(
            EvaluationSample(
                id=f"{ref.ref_id}.{sent_id}",
                text=text,
                targets=tuple(rows[ann_id] for ann_id in ref.ann_ids if ann_id in rows),
                same_class=instances.same_class(annotations[ref.ann_ids[0]]) if _is_one(ref, annotations) else 0,
            )
            for ref in refs
            for sent_id, text in ref.sentences
        ),
    )


def _is_one(ref: Ref, annotations: Mapping[int, InstanceAnnotation]) -> bool:
    return len(ref.ann_ids) == 1 and ref.ann_ids[0] in annotations
