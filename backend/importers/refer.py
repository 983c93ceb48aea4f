"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO, in the files that `ris_core/evaluation/refer.py` describes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from backend.importers.coco import CocoFile, CocoObject, describe, read_coco_file
from backend.importers.source import DataSource, SourceImage
from ris_core.errors import BadInput
from ris_core.evaluation.refer import Ref, find_images, read_refs


def read_refer(root: Path, name: str, images: Path | None = None, wording: str = "raw") -> DataSource:
    """Read all splits of a data set of the RefCOCO family. Objects without a ref are not read.

    Args:
        name: "refcoco", "refcoco+", "refcocog" or "grefcoco".
        images: Folder of the images; `images/mscoco/images/train2014` in the root if None; of gRefCOCO `images/train2014` if it is there.
        wording: "raw" or "sent".

    Raises:
        BadInput: If a file is missing or is not in its format.
    """
    by_image: dict[int, list[Ref]] = defaultdict(list)
    for ref in read_refs(root, name, wording=wording):
        by_image[ref.image_id].append(ref)
    wanted = {ann_id for refs in by_image.values() for ref in refs for ann_id in ref.ann_ids}
    file = read_coco_file(root / name / "instances.json", wanted)
    used = {one.category_id for objects in file.objects.values() for one in objects}
    labels = dict.fromkeys(label for id, label in file.categories.items() if id in used)
    folder = images or find_images(root, name)
    return DataSource(name, tuple(labels), len(by_image), partial(_images, file, folder, by_image))


def _images(file: CocoFile, folder: Path, by_image: dict[int, list[Ref]]) -> Iterator[SourceImage]:
    for image_id, refs in by_image.items():
        image = file.image(image_id)
        objects = {one.id: one for one in file.objects.get(image_id, ())}
        sentences = _sentences_of(refs, objects, file)
        absent = tuple(text for ref in refs if not ref.ann_ids for _, text in ref.sentences)
        splits = {ref.split for ref in refs}
        yield SourceImage(
            id=str(image_id),
            folder=folder,
            name=image.file_name,
            size_hw=image.size_hw,
            split=splits.pop() if len(splits) == 1 else "",
            objects=tuple(file.source_object(one, image.size_hw, tuple(sentences[one.id])) for one in objects.values()),
            absent=tuple(dict.fromkeys(absent)),
            content=describe(objects.values(), [sentences, absent]),
        )


def _sentences_of(refs: Sequence[Ref], objects: dict[int, CocoObject], file: CocoFile) -> dict[int, list[str]]:
    """By annotation, the sentences that mean it, alone or with others."""
    sentences: dict[int, list[str]] = {id: [] for id in objects}
    for ref in refs:
        for ann_id in ref.ann_ids:
            if ann_id not in sentences:
                raise BadInput(
                    f"The annotation {ann_id} of ref {ref.ref_id} is not one of image {ref.image_id} in {file.file}.",
                    "Get both files of the same release.",
                )
            sentences[ann_id] += [text for _, text in ref.sentences]
    return sentences
