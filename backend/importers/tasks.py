"""From an image of a data set to a task of Label Studio: its data, and what is drawn on it."""

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass

from backend.importers.source import DataSource, SourceImage, SourceObject
from backend.label_studio.drawn_regions import IMPORT_NOTE
from backend.label_studio.label_config import Control, LabelConfig
from backend.label_studio.new_tasks import Kind, make_new_task
from backend.label_studio.protocol import Json, prompt_result
from backend.label_studio.regions import make_region
from ris_core.errors import BadInput
from ris_core.output.plain_text import whole

IDENTITY = "ris_import"
"""Field of a task's data that says which image of which data set it is: "FORMAT/NAME/IMAGE#DIGEST"."""
ID_LENGTH = 10
_ID_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class ImportTarget:
    """Where a data set goes, and as what.

    Attributes:
        name: Name of the data set; with its format it tells data sets in one project apart.
        labels: Label of the control by name of the category.
    """

    project: int
    config: LabelConfig
    kind: Kind
    name: str
    labels: Mapping[str, str]

    @property
    def control(self) -> Control:
        """Where the masks go."""
        return self.config.controls[0]

    def key_of(self, format: str, image: SourceImage) -> str:
        """What a task of this image is known by, without the digest of its content."""
        return f"{format}/{self.name}/{image.id}"


def choose_labels(source: DataSource, control: Control, project: str) -> dict[str, str]:
    """A label of the control for each category: the one of that name, or the only one that there is.

    Args:
        project: What the project is called in a message.

    Raises:
        BadInput: If a category has no label.
    """
    labels, unknown = {}, []
    for category in source.labels or ("",):
        match = control.names.find(category) if category else None
        if match and len(match.labels) == 1:
            labels[category] = match.labels[0]
        elif len(control.labels) == 1:
            labels[category] = control.labels[0]
        else:
            unknown.append(category)
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise BadInput(
            f"{project} has no label for the categories {', '.join(map(ascii, unknown[:3]))}{more}.",
            "Add them to its label config, or give --new-project TITLE, which makes a project with these labels.",
        )
    return labels


def make_task(image: SourceImage, address: str, format: str, target: ImportTarget) -> tuple[Json, list[str]]:
    """A task with its annotation or prediction, and what could not be kept, in words.

    An object with several sentences becomes as many regions with the same mask: a region has one sentence.
    """
    problems: list[str] = []
    key = target.key_of(format, image)
    results = [region for one in image.objects for region in _regions(one, key, target, problems)]
    if target.kind == "annotations":
        results += _absent_results(image, key, target, problems)
    elif image.absent:
        problems.append(f"{key}: {len(image.absent)} sentences mean nothing here, which a prediction cannot say")
    data = {target.config.image_key: address, **_data_of(image, key, target)}
    return make_new_task(data, target.kind, results, f"import {target.name}"), problems


def _data_of(image: SourceImage, key: str, target: ImportTarget) -> Json:
    data: Json = {IDENTITY: f"{key}#{image.digest}"}
    if image.split:
        data["split"] = image.split
    sentences = dict.fromkeys(whole(text) for one in image.objects for text in one.sentences)
    # an object without a sentence would be taken for what this field says
    if (sentences or image.absent) and all(one.sentences for one in image.objects):
        data[target.config.expression_key] = "; ".join([*sentences, *(f"none: {whole(text)}" for text in image.absent)])
    return data


def _regions(one: SourceObject, key: str, target: ImportTarget, problems: list[str]) -> list[Json]:
    label = target.labels.get(one.label)
    if label is None:
        problems.append(f"{key}: the object {one.id} has a category that the data set does not list")
        return []
    try:
        mask = one.draw()
    except BadInput as error:
        problems.append(f"{key}: {error}")
        return []
    if not mask.any():
        problems.append(f"{key}: the object {one.id} has no pixels")
        return []
    regions = []
    for number, sentence in enumerate(one.sentences or ("",)):
        region_id = _make_id(f"{target.project} {key} {one.id} {number}")
        notes = {IMPORT_NOTE: f"{key}/{one.id}"}
        region = make_region(mask, target.control, label, region_id, 1.0, whole(sentence), notes)
        if target.kind == "annotations":
            del region["score"]
        regions.append(region)
    return regions


def _absent_results(image: SourceImage, key: str, target: ImportTarget, problems: list[str]) -> list[Json]:
    """An entry of the prompt: "none: the purple zebra"."""
    if not image.absent:
        return []
    if not target.config.prompts:
        problems.append(
            f"{key}: {len(image.absent)} sentences mean nothing here, and the label config has no prompt to say it in"
        )
        return []
    problems += [f"{key}: {text!a} is cut at its semicolons" for text in image.absent if ";" in text]
    texts = [f"none: {whole(text)}" for text in image.absent]
    entry = prompt_result(target.config.prompts[0], _object_of(target.config), texts)
    return [{**entry, "id": _make_id(f"{target.project} {key} absent")}]


def _object_of(config: LabelConfig) -> str:
    """What the prompt belongs to: the image, or the text of the messages."""
    return config.cleaned_prompts.get(config.prompts[0], config.image_name)


def _make_id(text: str) -> str:
    """A region id in Label Studio's form; the same for the same text, so that a repeated import makes the same regions."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    letters = []
    for _ in range(ID_LENGTH):
        number, rest = divmod(number, len(_ID_ALPHABET))
        letters.append(_ID_ALPHABET[rest])
    return "".join(letters)
