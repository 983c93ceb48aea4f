"""What a label config says about reading annotations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from backend.base.errors import BadConfig
from backend.label_studio import protocol
from backend.label_studio.config_tags import Tag, read_tags
from backend.label_studio.label_config import (
    DEFAULT_EXPRESSION_KEY,
    PROMPT_WORDS,
    REMARK_WORDS,
    LabelConfig,
    read_config,
)
from backend.label_studio.label_names import split_words

LAYOUTS = 64
"""Label configs kept read: every event brings its project's again."""
NOTE_WORDS = REMARK_WORDS - {
    "caption", "captions", "description", "descriptions", "title", "transcription", "transcriptions",
}  # fmt: skip
"""A text with one of these words in its name holds notes. The other `REMARK_WORDS` may say what a region is, if no other text does."""


@dataclass(frozen=True)
class AnnotationLayout:
    """What a label config says about reading annotations.

    Attributes:
        gestures: Controls of smart tools, whose regions only ask for something.
        expression_key: Field of a task's data that holds its expression.
        image_key: Field of a task's data that holds the image's address; None if the config cannot be read.
        image_name: Name of the image whose regions count; None if the config cannot be read.
        region_texts: TextAreas of regions.
        notes: TextAreas of the whole task whose entries are notes, not expressions.
        labels: All labels, as regions carry them, in the order of the config.
    """

    gestures: frozenset[str] = frozenset()
    expression_key: str = DEFAULT_EXPRESSION_KEY
    image_key: str | None = None
    image_name: str | None = None
    region_texts: tuple[str, ...] = ()
    notes: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()

    def image_of(self, task_data: Mapping[str, Any]) -> str | None:
        """The address of a task's image."""
        return protocol.read_field(task_data, self.image_key) if self.image_key else None


def read_layout(label_config: object) -> AnnotationLayout:
    """Read what matters of a label config; nothing of one that cannot be read."""
    return _read_layout(label_config) if isinstance(label_config, str) else AnnotationLayout()


def choose_region_texts(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the TextAreas of regions whose entries are expressions; the entries of the others are notes.

    All whose names say so; else the first whose name says nothing else; else the first that describes its region.
    """
    plain = [name for name in names if not _words(name) & REMARK_WORDS]
    if by_name := [name for name in plain if _words(name) & PROMPT_WORDS]:
        return tuple(by_name)
    describing = [name for name in names if not _words(name) & NOTE_WORDS]
    return tuple((plain or describing)[:1])


@lru_cache(LAYOUTS)
def _read_layout(label_config: str) -> AnnotationLayout:
    try:
        config, tags = read_config(label_config), read_tags(label_config)
    except BadConfig:
        return AnnotationLayout()
    region_texts = [tag.name for tag in tags if tag.kind == "textarea" and tag.name and tag.is_true("perregion")]
    labels = [tag.attributes.get("alias") or tag.attributes.get("value", "") for tag in tags if tag.kind == "label"]
    return AnnotationLayout(
        gestures=_find_gestures(config, tags),
        expression_key=config.expression_key,
        image_key=config.image_key,
        image_name=config.image_name,
        region_texts=tuple(region_texts),
        notes=frozenset(name for name in config.text_areas if name not in config.prompts and _words(name) & NOTE_WORDS),
        labels=tuple(dict.fromkeys(label.strip() for label in labels if label.strip())),
    )


def _find_gestures(config: LabelConfig, tags: Sequence[Tag]) -> frozenset[str]:
    names = {tag.name for tag in tags if tag.is_true("smart") or tag.is_true("smartonly")}
    drawing = {control.name for control in config.controls if control.kind != "rectangle"}
    # a smart box beside a brush asks for a mask; where boxes are all there is, they are what is annotated
    return frozenset(names - (drawing or {control.name for control in config.controls}))


def _words(name: str) -> set[str]:
    return set(split_words(name))
