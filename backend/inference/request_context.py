"""A request at work."""

import time

import structlog

from backend.base.errors import BadConfig
from backend.db.records import Request
from backend.label_studio import protocol
from backend.label_studio.gestures import takes_gestures
from backend.label_studio.label_config import LabelConfig, read_config
from backend.settings.project import ProjectSettings
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import Image
from ris_core.types.components import Promptable

log = structlog.get_logger(__name__)


class RequestContext:
    """A request at work: by which config, settings and segmenter. Times its parts and writes its line into the log.

    Attributes:
        image: The request's image, once it was fetched.
        parts_s: Seconds of its parts so far, by name.
    """

    def __init__(self, asked: Request, settings: ProjectSettings, segmenter: Segmenter) -> None:
        self.asked, self.settings, self.segmenter = asked, settings, segmenter
        self.config: LabelConfig = read_config(asked.body["label_config"])
        self.image: Image | None = None
        self._started_at = self._last = time.perf_counter()
        self.parts_s: dict[str, float] = {}

    @property
    def image_url(self) -> str:
        """Address of the request's image, as its task gives it.

        Raises:
            BadConfig: If the task has no text in the field that the label config names.
        """
        url = protocol.read_field(self.asked.body["data"], self.config.image_key)
        if url is None:
            raise BadConfig(
                f"Task {self.asked.task} has no image address in the field {self.config.image_key!r}.",
                "Import it, or correct <Image>.",
                reason=f"this task has no image in “{self.config.image_key}”",
            )
        return url

    @property
    def expects_gestures(self) -> bool:
        """Clicks and boxes on the image may come, and can be answered."""
        return isinstance(self.segmenter.proposer, Promptable) and takes_gestures(self.asked.body["label_config"])

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
