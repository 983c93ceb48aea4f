"""Requests, and the tasks that they and runs are about, at work."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog

from backend.base.errors import BadConfig
from backend.db.records import Request
from backend.inference.encoding_times import picture_key
from backend.label_studio import protocol
from backend.label_studio.gestures import takes_gestures
from backend.label_studio.label_config import LabelConfig, read_config
from backend.settings.project import ProjectSettings
from ris_core.learning.words import Words
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image
from ris_core.types.components import Promptable

log = structlog.get_logger(__name__)

NO_WORDS = Words()


@dataclass(frozen=True)
class TaskSource:
    """A task as those who ask about it know it: an annotator's request, or a run.

    Attributes:
        project: Label Studio's project; None if it is not known.
        data: The task's data.
        label_config: XML.
        hostname: Label Studio's address, where it came with the request.
        extra_params: The project's own settings.
    """

    project: int | None
    task: str
    data: Mapping[str, Any]
    label_config: str
    hostname: str | None
    extra_params: Mapping[str, Any]

    @classmethod
    def of(cls, asked: Request) -> "TaskSource":
        """The task of a request."""
        body = asked.body
        return cls(
            asked.project,
            asked.task,
            body["data"],
            body["label_config"],
            body.get("hostname"),
            body.get("extra_params") or {},
        )


class InferenceContext:
    """A task at work: by which config, settings and segmenter. Times the parts of the work.

    Attributes:
        thresholds: Least score of a candidate that runs hand out, by label.
        words: What the project's people mean by some phrases.
        image: The task's image, once it was fetched.
        encoded: The same, encoded, if it was in the cache.
        parts_s: Seconds of the parts so far, by name.
    """

    def __init__(
        self,
        source: TaskSource,
        settings: ProjectSettings,
        segmenter: Segmenter,
        thresholds: Mapping[str, float] = MappingProxyType({}),
        words: Words = NO_WORDS,
    ) -> None:
        self.source, self.settings, self.segmenter = source, settings, segmenter
        self.thresholds, self.words = thresholds, words
        self.config: LabelConfig = read_config(source.label_config)
        self.image: Image | None = None
        self.encoded: EncodedImage | None = None
        self._started_at = self._last = time.perf_counter()
        self.parts_s: dict[str, float] = {}

    @property
    def image_url(self) -> str:
        """Address of the task's image, as its data gives it.

        Raises:
            BadConfig: If the task has no text in the field that the label config names.
        """
        url = protocol.read_field(self.source.data, self.config.image_key)
        if url is None:
            raise BadConfig(
                f"Task {self.source.task} has no image address in the field {self.config.image_key!r}.",
                "Import it, or correct <Image>.",
                reason=f"this task has no image in “{self.config.image_key}”",
            )
        return url

    @property
    def picture(self) -> str:
        """The task's picture, as workers name what they encode."""
        return picture_key(self.source.project, self.source.task)

    @property
    def expects_gestures(self) -> bool:
        """Clicks and boxes on the image may come, and can be answered."""
        return isinstance(self.segmenter.proposer, Promptable) and takes_gestures(self.source.label_config)

    @property
    def promptable(self) -> Promptable:
        """What answers clicks and boxes.

        Raises:
            BadConfig: If the profile's proposer does not.
        """
        if not isinstance(self.segmenter.proposer, Promptable):
            raise BadConfig(
                f"The proposer of the profile {self.segmenter.profile!r} answers no clicks and boxes.",
                "Take smart key points and rectangles out of the label config, or choose another profile.",
                reason="its models answer no clicks and boxes",
            )
        return self.segmenter.proposer

    def tick(self, part: str) -> None:
        """The time since the last tick went into this part."""
        now = time.perf_counter()
        self.parts_s[f"{part}_s"] = round(now - self._last, 3)
        self._last = now

    def resume(self) -> None:
        """The time since the last tick went into nothing: the work waited for its turn."""
        self._last = time.perf_counter()


class RequestContext(InferenceContext):
    """A request at work. Writes its line into the log."""

    def __init__(
        self,
        asked: Request,
        source: TaskSource,
        settings: ProjectSettings,
        segmenter: Segmenter,
        thresholds: Mapping[str, float] = MappingProxyType({}),
        words: Words = NO_WORDS,
    ) -> None:
        self.asked = asked
        super().__init__(source, settings, segmenter, thresholds, words)

    def log_done(self, image: str, **more: object) -> None:
        """One line a job: image, what was asked, seconds of each component."""
        gesture = self.asked.body.get("gesture")
        log.info(
            "done",
            kind=self.asked.kind,
            task=self.asked.task,
            image=image[:12],
            expressions=list(self.asked.body.get("expressions", [])),
            **({"clicks": len(gesture["clicks"]), "box": gesture["box"] is not None} if gesture else {}),
            seconds=round(time.perf_counter() - self._started_at, 3),
            request=self.asked.id,
            **self.parts_s,
            **more,
        )
