"""What `ris eval` reads and loads: the data set, the methods, and the folder of the results."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.base.redaction import reason_of
from backend.base.terminal import Progress
from backend.settings.environment import Settings
from ris_core.errors import BadInput
from ris_core.output.file_names import check_name

if TYPE_CHECKING:
    from ris_core.evaluation.dataset import Dataset
    from ris_core.segmentation.segmenter import Segmenter
    from ris_core.types import EncodedImage, Image

STYLES = ("templates", "free", "everyday", "second", "practice", "held")
SCENES = "scenes"
"""Name of the synthetic benchmark, which needs no files."""


def read_dataset(
    name: str,
    root: Path | None,
    split: str,
    partition: str,
    wording: str,
    quirks: frozenset[str],
    style: str = "templates",
) -> "Dataset":
    """The data set that the options name.

    Args:
        style: Of the scenes' expressions: "templates", "free" for those that were written by hand, "everyday" for places as
            people use them, or a world of other drawings: "second", "practice" or "held".

    Raises:
        BadInput: If there is none of that name, its folder is not given, or its files cannot be read.
    """
    from ris_core.evaluation.phrasecut import read_phrasecut
    from ris_core.evaluation.refer import PARTITIONS, read_refer

    if name == SCENES:
        from demo.benchmark import SCENE_READERS

        if style not in STYLES:
            raise BadInput(f"No style named {style!r}. Available: {', '.join(STYLES)}.")
        return SCENE_READERS[style](split) if split else SCENE_READERS[style]()
    if name != "phrasecut" and name not in PARTITIONS:
        raise BadInput(f"No data set named {name!r}. Available: {', '.join([SCENES, *PARTITIONS, 'phrasecut'])}.")
    if root is None:
        raise BadInput(f"The data set {name} is read from files. Name their folder: --root FOLDER.")
    with Progress(f"Reading the data set {name}"):
        if name == "phrasecut":
            return read_phrasecut(root, split or "val")
        return read_refer(root, name, split or "val", partition=partition, wording=wording, quirks=quirks)


def load_segmenters(ours: Settings, profile: str, methods: Sequence[str], settings: str) -> dict[str, "Segmenter"]:
    """A segmenter for each method, by the method as it was typed; an image that one has encoded serves all.

    Raises:
        BadInput: If the settings are not a JSON object of objects, or hold those of the method.
        UnknownName: If there is no such profile or method.
    """
    from ris_core import profiles
    from ris_core.runtime.weights import WeightStore

    typed = {text: read_method(text) for text in methods or [profiles.read_profile(profile)["method"]["name"]]}
    try:
        overrides: dict[str, Any] = {kind: dict(values) for kind, values in json.loads(settings).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f'--settings is {settings!r}, which is not a JSON object of objects ({reason_of(error)}). Write {{"proposer": {{…}}}}.'
        ) from error
    if "method" in overrides:
        raise BadInput("--settings has settings of the method; write them as --method NAME:SETTING=VALUE.")
    overrides = {**ours.component_overrides, **overrides}
    with Progress(f"Loading the models of the profile {profile}"):
        segmenters = profiles.load_segmenters(
            profile,
            [{"name": name, **values} for name, values in typed.values()],
            device=ours.device,
            store=WeightStore(ours.model_dir, mirrors=ours.model_mirrors),
            **overrides,
        )
    if segmenters[0].warning:
        print(f"note: {segmenters[0].warning}", file=sys.stderr)
    return dict(zip(typed, segmenters, strict=True))


def read_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method's name and settings from "name" or "name:setting=value,…"; a value is JSON, or else a string.

    Raises:
        BadInput: If a setting has no value.
    """
    name, _, rest = text.partition(":")
    settings: dict[str, Any] = {}
    for part in rest.split(",") if rest else []:
        key, equals, value = part.partition("=")
        if not (key and equals):
            raise BadInput(
                f"The method {text!r} has the setting {part!r}; write NAME:SETTING=VALUE, as in hybrid_gl:guided=false."
            )
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return name, settings


def make_header(dataset: "Dataset", segmenters: Mapping[str, "Segmenter"], quirks: frozenset[str]) -> dict[str, Any]:
    """Everything that the records depend on; of the code, only what computes answers."""
    import ris_core
    from ris_core.evaluation.dataset import digest_files
    from ris_core.evaluation.runner import TOP_K

    files = sorted(Path(ris_core.__file__).parent.rglob("*.py"))
    return {
        "dataset": [dataset.name, dataset.split, dataset.digest],
        "code": digest_files([file for file in files if file.parent.name != "evaluation"], ""),
        "methods": {name: segmenter.model_version for name, segmenter in segmenters.items()},
        "calibrated": {name: bool(s.method.settings.get("calibration")) for name, s in segmenters.items()},
        "quirks": sorted(quirks),
        "top_k": TOP_K,
    }


def folder_name(profile: str, header: Mapping[str, Any]) -> str:
    """A name that differs for every choice of settings, so that evaluations do not mix."""
    name, split, _ = header["dataset"]
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:8]
    return check_name(f"{name}-{split}-{profile}-{digest}".replace(" ", "-"), "The run's folder")


def check_folder(folder: Path, fresh: bool) -> None:
    """Refuse a folder with reports that no evaluation wrote; if `fresh`, delete the journal of an earlier evaluation.

    Raises:
        BadInput: If there are such reports, or the journal is not one.
    """
    from ris_core.evaluation.journal import read_journal

    journal = folder / "journal.jsonl"
    if not os.path.lexists(journal):
        reports = [name for name in ("report.json", "report.md") if os.path.lexists(folder / name)]
        if reports:
            raise BadInput(f"{folder / reports[0]} exists, but it belongs to no evaluation. Choose another --out.")
    elif fresh:
        read_journal(journal)  # raises if this file is something else, which must not be deleted
        journal.unlink()


def make_encoder(segmenter: "Segmenter", cache: Path | None, max_bytes: int) -> Callable[["Image"], "EncodedImage"]:
    """The segmenter's `encode`; with a cache folder, stored results are reused.

    Args:
        max_bytes: Limit of the cache.
    """
    if cache is None:
        return segmenter.encode
    from backend.inference.feature_cache import FeatureCache

    features, encode_fp = FeatureCache(cache, max_bytes), segmenter.encode_fp

    def encode(image: "Image") -> "EncodedImage":
        encoded = features.get(encode_fp, image.sha256)
        if encoded is None:
            encoded = segmenter.encode(image)
            features.put(encoded)
        return encoded

    return encode
