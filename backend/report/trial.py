"""A trial of a profile on one's own images: what is proposed, how expressions are read and answered, and what it costs."""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ris_core.errors import BadExpression
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import Image, Prediction, Proposals


@dataclass(frozen=True)
class StageCost:
    """What a stage took.

    Attributes:
        seconds: As a clock shows them.
        cpu_s: Of all cores together.
        peak_bytes: Most memory that this process had until the stage ended.
    """

    name: str
    seconds: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True)
class TriedExpression:
    """An expression and its answer, or why there is none."""

    text: str
    prediction: Prediction | None
    refusal: str


@dataclass(frozen=True)
class TriedImage:
    """An image with its proposals, and the answers to every expression."""

    name: str
    image: Image
    proposals: Proposals
    expressions: Sequence[TriedExpression]
    costs: Sequence[StageCost]


@dataclass
class Stopwatch:
    """Costs of stages, in the order in which they ended."""

    costs: list[StageCost] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done within it."""
        began, began_cpu = time.perf_counter(), time.process_time()
        yield
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        self.costs.append(StageCost(name, seconds, cpu_s, _peak_bytes()))


def try_image(
    segmenter: Segmenter, name: str, image: Image, texts: Sequence[str], say: Callable[[str], object], top_k: int = 5
) -> TriedImage:
    """Propose, encode and answer, stage by stage.

    Args:
        texts: The expressions; one that cannot be answered is told with its reason.
        say: Told what is done next.
    """
    watch = Stopwatch()
    say(f"Proposing masks in {name}")
    with watch.stage("propose masks"):
        proposals = segmenter.proposer.propose(image)
    say(f"Encoding {len(proposals)} masks of {name}")
    with watch.stage(f"encode {len(proposals)} masks"):
        encoded = segmenter.encode(image, proposals)
    tried = []
    for text in texts:
        say(f"Answering {name}: {text}")
        with watch.stage(f"answer “{text}”"):
            try:
                tried.append(TriedExpression(text, segmenter.segment(encoded, text, top_k), ""))
            except BadExpression as error:
                tried.append(TriedExpression(text, None, str(error)))
    return TriedImage(name, image, proposals, tried, watch.costs)


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
