"""The scenes of `ris bench memory`, the expressions that are asked of them, and the simulated annotators who save regions of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from backend.inference.feature_cache import FeatureCache
from demo.everyday_places import make_everyday_expressions
from demo.expressions import SceneExpression, make_expressions
from demo.new_things import NAMES, call_by_made_up_names, make_new_scene
from demo.scenes import Scene, make_scene
from ris_core import load_segmenter
from ris_core.arrays import Array
from ris_core.geometry import masks
from ris_core.learning.memory_examples import RememberingAnswers
from ris_core.learning.memory_fitting import MemoryExample
from ris_core.methods._region_memory import RegionMemory
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Image

PROFILE = "demo"
SEEDS: Mapping[str, Sequence[int]] = {
    "open": range(900_000, 900_160),
    "held": range(930_000, 930_120),
    "ordinary": (*range(910_000, 910_175), *range(911_600, 912_925)),
}
"""Of the scenes; nothing was trained or fitted on any of them."""
WRITERS: Mapping[str, Callable[[Scene], list[SceneExpression]]] = {
    "templates": make_expressions,
    "everyday": make_everyday_expressions,
}
"""Who writes expressions: the one that projects are simulated with, and another one."""
PER_IMAGE = 2
"""Expressions of an image that an annotator corrects."""
CACHE_BYTES = 4 * 1024**3
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class MemoryCase:
    """An expression of one thing in a scene.

    Attributes:
        noun: Of what is meant.
        overlaps: (N, K), IoU of each proposal with each thing of the scene.
        target: Which thing is meant.
        rank: All proposals with a memory or without, best first.
    """

    example: MemoryExample
    noun: str
    overlaps: Float[Array, "n k"]
    target: int
    rank: Callable[[RegionMemory | None], list[int]]

    def saved(self, thing: int | None) -> MemoryExample:
        """The example as an annotator left it: with that thing saved, or with what was offered if None."""
        if thing is None:
            chosen = self.example.choose(None)
            offered = np.zeros(len(self.overlaps))
            offered[[chosen.proposal] if chosen else []] = 1
            return replace(self.example, overlaps=offered, has_target=chosen is not None)
        return replace(self.example, overlaps=self.overlaps[:, thing])


def annotate(
    cases: Sequence[MemoryCase], number: int, seed: int, mistakes: float
) -> tuple[list[MemoryExample], frozenset[int]]:
    """Corrections of a few expressions of each image, some of them mistaken, and the images that are labelled with that."""
    rng = np.random.default_rng(seed)
    chosen = choose_cases(cases, number, rng)
    saved = [one.saved(mistake(one, rng, mistakes)) for one in chosen]
    return saved, frozenset(one.example.image for one in chosen)


def choose_cases(cases: Sequence[MemoryCase], number: int, rng: np.random.Generator) -> list[MemoryCase]:
    """A few of each image until there are enough."""
    images = np.array([one.example.image for one in cases])
    chosen: list[MemoryCase] = []
    for image in rng.permutation(np.unique(images)).tolist():
        own = rng.permutation(np.flatnonzero(images == image))[:PER_IMAGE]
        chosen += [cases[i] for i in own.tolist()]
        if len(chosen) >= number:
            break
    return chosen[:number]


def mistake(case: MemoryCase, rng: np.random.Generator, share: float) -> int:
    """What is meant, or sometimes another thing of the scene."""
    others = [thing for thing in range(case.overlaps.shape[1]) if thing != case.target]
    return others[rng.integers(len(others))] if others and rng.random() < share else case.target


def read_cases(
    folder: Path, part: str, number: int, is_named: bool, report: Callable[[str], None] = lambda text: None
) -> list[MemoryCase]:
    """The expressions of a part's scenes that mean one thing; scenes that are not encoded yet are.

    Args:
        is_named: With made-up names, and without the profile's vocabulary, which would refuse them.
    """
    segmenter = load_segmenter(PROFILE)
    segmenter = replace(segmenter, vocabulary=None) if is_named else segmenter
    scenes, cases = _Scenes(segmenter, folder, part, report), []
    for seed in SEEDS[part][:number]:
        scene = scenes.draw(seed)
        encoded, overlaps = scenes.encode(scene)
        for one in make_expressions(scene):
            if len(one.targets) == 1 and (case := _make_case(segmenter, scene, encoded, one, overlaps, is_named)):
                cases.append(case)
    return cases


def read_ordinary(
    folder: Path, number: int, nouns: Collection[str], report: Callable[[str], None] = lambda text: None
) -> dict[str, list[MemoryExample]]:
    """By writer, the expressions of ordinary scenes that name one of these nouns and mean one thing or nothing.

    Scenes without any of the nouns are not encoded.
    """
    segmenter = load_segmenter(PROFILE)
    scenes = _Scenes(segmenter, folder, "ordinary", report)
    examples: dict[str, list[MemoryExample]] = {writer: [] for writer in WRITERS}
    for seed in SEEDS["ordinary"][:number]:
        scene = scenes.draw(seed)
        if not {one.noun for one in scene.objects} & set(nouns):
            continue
        encoded, overlaps = scenes.encode(scene)
        for writer, write in WRITERS.items():
            for one in write(scene):
                if len(one.targets) <= 1 and (answers := _read(segmenter, encoded, one.text)):
                    own = overlaps[:, one.targets[0]] if one.targets else np.zeros(len(overlaps))
                    example = answers.make_example(own, bool(one.targets), seed)
                    if example and example.names & set(nouns):
                        examples[writer].append(replace(example, choose=_once(example.choose, example.names)))
    return examples


class _Scenes:
    """The scenes of a part, encoded once."""

    def __init__(self, segmenter: Segmenter, folder: Path, part: str, report: Callable[[str], None]) -> None:
        self._segmenter, self._part, self._report = segmenter, part, report
        self._cache = FeatureCache(folder, CACHE_BYTES)

    def draw(self, seed: int) -> Scene:
        return make_scene(seed) if self._part == "ordinary" else make_new_scene(self._part, seed)

    def encode(self, scene: Scene) -> tuple[EncodedImage, Float[Array, "n k"]]:
        """With the IoU of each proposal with each thing."""
        image = Image.from_array(scene.image)
        encoded = self._cache.get(self._segmenter.encode_fp, image.sha256)
        if encoded is None:
            self._report(f"encoding scene {scene.seed} of {self._part}")
            encoded = self._cache.put(self._segmenter.encode(image))
        things = np.array([one.mask for one in scene.objects])
        return encoded, masks.iou(encoded.proposals.masks, things)


def _make_case(
    segmenter: Segmenter,
    scene: Scene,
    encoded: EncodedImage,
    expression: SceneExpression,
    overlaps: Float[Array, "n k"],
    is_named: bool,
) -> MemoryCase | None:
    [target] = expression.targets
    answers = _read(segmenter, encoded, call_by_made_up_names(expression.text) if is_named else expression.text)
    example = answers and answers.make_example(overlaps[:, target], True, scene.seed)
    if not answers or not example:
        return None
    noun = scene.objects[target].noun
    return MemoryCase(
        replace(example, choose=_once(example.choose, example.names)),
        NAMES.get(noun, noun) if is_named else noun,
        overlaps,
        target,
        _once(answers.rank, example.names),
    )


def _read(segmenter: Segmenter, encoded: EncodedImage, text: str) -> RememberingAnswers | None:
    return RememberingAnswers(segmenter, encoded, segmenter.parser.parse(text)) if len(encoded.proposals) else None


def _once(answer: Callable[[RegionMemory | None], T], names: frozenset[str]) -> Callable[[RegionMemory | None], T]:
    """The same, worked out once where no memory touches it."""
    plain = cache(lambda: answer(None))
    return lambda memory: answer(memory) if memory and any(map(memory.knows, names)) else plain()
