"""What a memory of regions can be learnt from: judged prompts with the cached features of their images. No image is read."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np

from backend.corrections.judged_answers import PastPrompt
from backend.corrections.matching import overlaps
from ris_core.geometry import masks
from ris_core.learning.memory_examples import make_example
from ris_core.learning.memory_fitting import MemoryExample
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage


def read_examples(
    prompts: Iterable[PastPrompt], segmenter: Segmenter, find_encoded: Callable[[str], EncodedImage | None]
) -> Iterator[MemoryExample]:
    """Examples image by image; what has no features in the cache, or asks for several things, is left out.

    Args:
        segmenter: As it answers without a memory.
        find_encoded: The encoded image of a digest, None if it is not here.
    """
    ordered = sorted(prompts, key=lambda one: one.image)
    for number, (image, group) in enumerate(groupby(ordered, key=lambda one: one.image)):
        encoded = find_encoded(image)
        if encoded is None or not len(encoded.proposals):
            continue
        proposals = masks.to_rles(encoded.proposals.masks)
        for past in group:
            saved, has_target = past.truth.masks, bool(past.truth.has_target)
            best = overlaps(proposals, saved).max(axis=1) if saved else np.zeros(len(proposals))
            if example := make_example(segmenter, encoded, past.expression, best, has_target, number):
                yield example
