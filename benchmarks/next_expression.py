"""`ris bench expression`: CPU time of one more expression on a picture that is encoded already, beside its bare texts.

Real components of the size of a profile, with random weights if the published ones are not here; made proposals and features, since
what they show does not change what they cost.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from backend.inference import cache_layout
from backend.inference.expressions import AnswerOptions, answer_expression
from backend.label_studio.label_config import read_config
from benchmarks.speed import make_up
from ris_core import behaviour
from ris_core.arrays import Array
from ris_core.profiles import catalog, load_parser, read_profile
from ris_core.runtime import weights
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Proposals

SIZES_HW = ((480, 640), (3000, 4000))
COUNTS = (20, 100)
"""Proposals of a picture."""
SENTENCES = {"a thing": "the {}", "a thing by another": "the {} left of the {}", "its colour said": "the red {}"}
CONFIG = """<View><Image name="image" value="$image"/><TextArea name="prompt" toName="image"/>
<BrushLabels name="label" toName="image"><Label value="Thing"/><Label value="Other"/></BrushLabels></View>"""


@dataclass(frozen=True)
class ExpressionCost:
    """Medians of what expressions cost that were never asked before, in CPU milliseconds.

    Attributes:
        size: Height x width of the picture in pixels.
        proposals: Masks of the picture.
        texts: Texts that were encoded for an expression.
        texts_ms: Encoding as many other texts of the same wording.
        parse_ms: Reading the expression.
        answer_ms: All of it: from the words to the region that Label Studio gets, with the record of five candidates.
    """

    kind: str
    size: str
    proposals: int
    texts: float
    texts_ms: float
    parse_ms: float
    answer_ms: float

    @property
    def rest_ms(self) -> float:
        """What is neither the parser's nor the text encoder's."""
        return self.answer_ms - self.texts_ms - self.parse_ms


@dataclass(frozen=True)
class ExpressionReport:
    """The costs, and of what profile."""

    profile: str
    is_random: bool
    costs: tuple[ExpressionCost, ...]

    def to_json(self) -> str:
        """As one JSON document."""
        costs = [{**asdict(cost), "rest_ms": cost.rest_ms} for cost in self.costs]
        return json.dumps({"profile": self.profile, "random": self.is_random, "costs": costs}, indent=1)

    def to_markdown(self) -> str:
        """As a table."""
        weights_told = "random weights of the true size" if self.is_random else "its own weights"
        head = "| expression | picture | proposals | texts | texts, ms | reading, ms | answer, ms | the rest, ms |"
        rows = [
            f"| {c.kind} | {c.size} | {c.proposals} | {c.texts:.0f} | "
            + " | ".join(f"{ms:.1f}" for ms in (c.texts_ms, c.parse_ms, c.answer_ms, c.rest_ms))
            + " |"
            for c in self.costs
        ]
        return "\n".join(
            [
                f"Profile `{self.profile}` with {weights_told}; CPU milliseconds.",
                "",
                head,
                "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
                *rows,
            ]
        )


def measure(
    profile: str, device: str, repeats: int, random_weights: bool, tell: Callable[[str], None] = print
) -> ExpressionReport:
    """Time expressions that were never asked before.

    Args:
        profile: Its name.
        repeats: Expressions of each kind.
        random_weights: Make weights of the true size up.

    Raises:
        UnknownName: If there is no such profile.
        WeightsMissing: If its weights are not here and none are made up.
    """
    with ExitStack() as stack:
        segmenter = build_segmenter(profile, device, random_weights, stack)
        costs = []
        for size_hw, count in itertools.product(SIZES_HW, COUNTS):
            tell(f"{size_hw[0]} x {size_hw[1]} with {count} proposals")
            encoded = make_encoded(segmenter, size_hw, count)
            costs += [_cost(segmenter, encoded, kind, repeats) for kind in SENTENCES]
    return ExpressionReport(profile, random_weights, tuple(costs))


class _NoProposer:
    """Stands where a proposer does; the proposals are made."""

    fingerprint: Mapping[str, object] = {"component": "made"}

    def propose(self, image: object) -> Proposals:
        raise NotImplementedError("The proposals are made.")


def build_segmenter(profile: str, device: str, random_weights: bool, stack: ExitStack) -> Segmenter:
    """The components of a profile but for its proposer. Made weights lie in a folder that goes with `stack`."""
    sections, store = read_profile(profile), weights.WeightStore()
    parser = load_parser(profile, store, "")
    if random_weights:
        store = make_up(sections, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ris-bench-"))))
    about = sections["encoder"]
    encoder = catalog.build("encoders", about["name"], {**about["settings"], "store": store, "device": device})
    method = catalog.build("methods", sections["method"]["name"], sections["method"]["settings"])
    return Segmenter(profile, sections["method"]["name"], _NoProposer(), encoder, method, parser, profile)


def make_encoded(segmenter: Segmenter, size_hw: tuple[int, int], count: int, seed: int = 0) -> EncodedImage:
    """An image with `count` proposals as it comes from the cache, with features of random directions."""
    rng = np.random.default_rng(seed)
    width = segmenter.encoder.encode_texts(["a thing"]).shape[1]
    features = {name: rng.standard_normal((count, width)).astype(np.float32) for name in segmenter.method.features}
    proposals = Proposals.from_masks(_make_ellipses(count, size_hw, rng))
    return cache_layout.compact(EncodedImage("0" * 64, size_hw, proposals, features, str(behaviour.ENCODE_BEHAVIOUR)))


def _make_ellipses(count: int, size_hw: tuple[int, int], rng: np.random.Generator) -> Bool[Array, "n h w"]:
    """Things from a sixteenth to a half of the picture's sides."""
    stack = np.zeros((count, *size_hw), bool)
    y, x = np.arange(size_hw[0])[:, None], np.arange(size_hw[1])[None]
    for mask in stack:
        cy, cx = rng.uniform(0.1, 0.9, 2) * size_hw
        ry, rx = rng.uniform(1 / 32, 1 / 4, 2) * size_hw
        mask[:] = ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
    return stack


def _cost(segmenter: Segmenter, encoded: EncodedImage, kind: str, repeats: int) -> ExpressionCost:
    [control], options, words = read_config(CONFIG).controls, AnswerOptions(top_k=5), _nouns()
    answer_expression(segmenter, encoded, "the thing", control, "1", options)  # label texts are read once
    rows = []
    for _ in range(repeats):
        sentence = _fill(kind, words)
        expression = segmenter.parser.parse(_fill(kind, words))
        texts = list(segmenter.method.texts(expression).values())
        rows.append(
            (
                len(texts),
                _cpu_ms(lambda: segmenter.encoder.encode_texts(texts)),  # noqa: B023 - called at once
                _cpu_ms(lambda: segmenter.parser.parse(_fill(kind, words))),
                _cpu_ms(lambda: answer_expression(segmenter, encoded, sentence, control, "1", options)),  # noqa: B023
            )
        )
    height, width = encoded.size_hw
    return ExpressionCost(kind, f"{height} x {width}", len(encoded.proposals), *np.median(rows, axis=0).tolist())


def _cpu_ms(step: Callable[[], Any]) -> float:
    started = time.process_time()
    step()
    return 1e3 * (time.process_time() - started)


_numbers = itertools.count()


def _nouns() -> Iterator[str]:
    """Words that were never asked before, of the length of usual ones."""
    for number in _numbers:
        yield "".join("bdfgklmnprstvz"[number // 14**place % 14] + "aeiou"[(number + place) % 5] for place in range(3))


def make_sentences() -> Iterator[str]:
    """Expressions of each kind by turns, that were never asked before."""
    words = _nouns()
    for kind in itertools.cycle(SENTENCES):
        yield _fill(kind, words)


def _fill(kind: str, words: Iterator[str]) -> str:
    sentence = SENTENCES[kind]
    return sentence.format(*itertools.islice(words, sentence.count("{}")))
