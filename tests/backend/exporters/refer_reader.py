"""RefCOCO's files as the documentation of the `refer` API says that they are read; knows nothing of the product."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco


class Refer:
    """`REFER(data_root, dataset, splitBy)`: refs from the pickle, everything else from instances.json, by ids.

    The loaders of gRefCOCO look for its images elsewhere.
    """

    def __init__(self, root: Path, dataset: str, split_by: str, stem: str = "refs") -> None:
        import json

        folder = "images/train2014" if dataset == "grefcoco" else "images/mscoco/images/train2014"
        self.images_folder = root / folder
        self.refs = pickle.loads((root / dataset / f"{stem}({split_by}).p").read_bytes())
        instances = json.loads((root / dataset / "instances.json").read_text())
        self.images = {image["id"]: image for image in instances["images"]}
        self.annotations = {annotation["id"]: annotation for annotation in instances["annotations"]}
        self.categories = {category["id"]: category["name"] for category in instances["categories"]}

    def mask(self, ann_id: int) -> np.ndarray:
        """A list of polygons is drawn, anything else is a list of run lengths; the parts are added up."""
        annotation = self.annotations[ann_id]
        image = self.images[annotation["image_id"]]
        parts = annotation["segmentation"]
        if isinstance(parts[0], list):
            parts = coco.frPyObjects(parts, image["height"], image["width"])
        return np.sum(coco.decode(parts), axis=2).astype(np.uint8)

    def image_file(self, ref: dict[str, Any]) -> Path:
        return self.images_folder / self.images[ref["image_id"]]["file_name"]
