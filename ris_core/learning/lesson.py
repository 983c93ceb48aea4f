"""A lesson: what was learnt from the corrections of one project, as a value that decides answers.

Its digest is part of the version of the answers that it decides: "<version>.learned-<digest>".
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ris_core.errors import BadInput
from ris_core.learning.words import Words
from ris_core.methods._calibration import Calibrator
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods.guided import GuidedMethod
from ris_core.segmentation.segmenter import Segmenter

MARK = ".learned-"
_DIGEST_LENGTH = 8


@dataclass(frozen=True)
class Lesson:
    """What was learnt.

    Attributes:
        base_version: Version of the answers that it was learnt from; it decides answers of that version only.
        calibrator: None for the profile's own.
        thresholds: By label, the least probability of a candidate that is handed out, in [0, 1].
        words: What the project's people mean by some phrases.
        memory: Remembered regions, if any are.
    """

    base_version: str
    calibrator: Calibrator | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    words: Words = field(default_factory=Words)
    memory: RegionMemory | None = None

    @property
    def digest(self) -> str:
        """Changes with everything that decides an answer; hexadecimal."""
        digest = self.calibrator.digest if self.calibrator else None
        decides: list[Any] = [self.base_version, digest, dict(self.thresholds)]
        decides += [self.words.to_json()] if self.words else []
        decides += [{"memory": self.memory.digest}] if self.memory else []
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]

    @property
    def model_version(self) -> str:
        """Version of the answers that it decides."""
        return f"{self.base_version}{MARK}{self.digest}"

    def apply(self, segmenter: Segmenter) -> Segmenter:
        """The same segmenter with what was learnt; encodings serve both.

        Raises:
            BadInput: If the segmenter answers with another version than the one that this was learnt from.
        """
        if segmenter.model_version != self.base_version:
            raise BadInput(
                f"This was learnt from answers of {self.base_version}; the worker answers with {segmenter.model_version}.",
                "Run `ris learn` again.",
            )
        method, vocabulary = segmenter.method, segmenter.vocabulary
        if isinstance(method, GuidedMethod):  # of another method nothing but words is learnt
            method = method.with_calibrator(self.calibrator) if self.calibrator else method
            method = method.with_memory(self.memory)
            vocabulary = vocabulary and vocabulary.with_names(self.memory.prototypes if self.memory else ())
        return replace(segmenter, method=method, vocabulary=vocabulary, learned_version=self.model_version)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "base_version": self.base_version,
            "calibrator": self.calibrator.to_json() if self.calibrator else None,
            "thresholds": dict(self.thresholds),
            "words": self.words.to_json(),
            **({"memory": self.memory.to_json()} if self.memory else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Lesson":
        """Read `to_json`'s values."""
        calibrator, words = stored["calibrator"], stored.get("words")  # older ones have no words
        return cls(
            stored["base_version"],
            Calibrator.from_json(calibrator) if calibrator else None,
            stored["thresholds"],
            Words.from_json(words) if words else Words(),
            RegionMemory.from_json(stored["memory"]) if "memory" in stored else None,
        )


def split_version(model_version: str) -> tuple[str, str]:
    """A version without what was learnt, and the digest of that; empty if nothing was."""
    base, _, rest = model_version.partition(MARK)
    return base, rest.partition(".")[0]
