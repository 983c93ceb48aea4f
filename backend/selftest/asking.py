"""Asks a profile the expressions of the photographs, and says how it did."""

import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool

from backend.report.trial import Stopwatch
from backend.selftest.photographs import Photograph
from ris_core.arrays import Array
from ris_core.errors import BadExpression
from ris_core.geometry import masks
from ris_core.segmentation.segmenter import Segmenter

MIN_IOU = 0.5
"""From here on a mask counts as found."""
MIN_FOUND = 9
"""So many of the twelve must be found. Set before the test was ever run with published weights."""


@dataclass(frozen=True)
class SelftestAnswer:
    """What became of an expression.

    Attributes:
        iou: Of the first candidate's mask with what is meant, in [0, 1]; 0 without a candidate.
        nearest_iou: The same of the best proposal, whatever was answered: what a perfect choice would reach.
    """

    photograph: str
    text: str
    iou: float
    nearest_iou: float


@dataclass(frozen=True)
class SelftestResult:
    """What became of all expressions.

    Attributes:
        encode_s: Seconds for each photograph, proposals and features.
        answer_s: Seconds for each expression.
        peak_bytes: Most memory that the process had.
    """

    answers: Sequence[SelftestAnswer]
    encode_s: Sequence[float]
    answer_s: Sequence[float]
    peak_bytes: int

    @property
    def found(self) -> int:
        """Expressions whose thing was found."""
        return sum(one.iou >= MIN_IOU for one in self.answers)

    @property
    def is_passed(self) -> bool:
        """Whether enough were found."""
        return self.found >= MIN_FOUND

    def to_text(self) -> str:
        """For people: a line for each expression, and the verdict."""
        rows = [
            f"  {one.iou:.2f}  {one.nearest_iou:.2f}  {one.photograph}: {one.text}"
            + ("" if one.iou >= MIN_IOU else "  not found")
            for one in self.answers
        ]
        verdict = "passed" if self.is_passed else "not passed"
        return "\n".join(
            [
                "   IoU  best  expression (best: of all proposals)",
                *rows,
                f"{self.found} of {len(self.answers)} found (IoU of at least {MIN_IOU}); it takes {MIN_FOUND}: {verdict}.",
            ]
        )

    def to_report(self, version: str, segmenter: Segmenter, device: str, digests: Mapping[str, str]) -> str:
        """A block to paste, with nothing of the machine but what it is.

        Args:
            digests: Sha256 of each of the profile's weights, by name.
        """
        mean = statistics.mean(one.iou for one in self.answers)
        facts = {
            "expressions": f"{self.found} of {len(self.answers)} found, mean IoU {mean:.3f}",
            "seconds": f"{statistics.median(self.encode_s):.1f} a photograph, "
            f"{statistics.median(self.answer_s):.2f} an expression (medians)",
            "memory": f"{self.peak_bytes / 2**30:.1f} GiB at most",
            "profile": segmenter.profile,
            "model version": segmenter.model_version,
            "product": f"label-studio-ris {version}",
            "machine": f"{device}, {platform.machine()}, {platform.system()}, torch {torch.__version__}, "
            f"threads {torch.get_num_threads()}",
            **{f"sha256 of {name}": digest for name, digest in digests.items()},
        }
        return "\n".join(["```text", *(f"{name}: {value}" for name, value in facts.items()), "```"])


def run_selftest(
    segmenter: Segmenter, photographs: Sequence[Photograph], say: Callable[[str], object]
) -> SelftestResult:
    """Ask every expression once.

    Args:
        say: Told what is done next.
    """
    watch, answers = Stopwatch(), []
    for photograph in photographs:
        say(f"Encoding {photograph.name}")
        with watch.stage("encode"):
            encoded = segmenter.encode(photograph.image)
        for asked in photograph.asked:
            say(f"Asking {photograph.name}: {asked.text}")
            with watch.stage("answer"):
                try:
                    found = segmenter.segment(encoded, asked.text, top_k=1).masks
                except BadExpression:  # of a model of few words
                    found = np.zeros((0, *encoded.size_hw), bool)
            answers.append(
                SelftestAnswer(
                    photograph.name,
                    asked.text,
                    _best_iou(found, asked.mask),
                    _best_iou(encoded.proposals.masks, asked.mask),
                )
            )
    seconds = {name: [one.seconds for one in watch.costs if one.name == name] for name in ("encode", "answer")}
    return SelftestResult(answers, seconds["encode"], seconds["answer"], watch.costs[-1].peak_bytes)


def _best_iou(found: masks.Stack, meant: Bool[Array, "h w"]) -> float:
    """Of the mask that comes nearest; 0 of none."""
    return float(masks.iou(np.asarray(found), meant[None]).max(initial=0.0))
