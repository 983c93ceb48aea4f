"""What a memory of regions can be learnt from: judged prompts with the cached features of their images. No image is read."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np

from backend.corrections.judged_answers import PastPrompt
from backend.corrections.matching import overlaps
from backend.inference.expressions import read_expression
from backend.label_studio.label_config import Control
from ris_core.errors import BadInput
from ris_core.geometry import masks
from ris_core.learning.memory_examples import make_example
from ris_core.learning.memory_fitting import MemoryExample
from ris_core.learning.words import Words
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage


def read_examples(
    prompts: Iterable[PastPrompt],
    segmenter: Segmenter,
    find_encoded: Callable[[str], EncodedImage | None],
    words: Words | None = None,
    control: Control | None = None,
) -> Iterator[MemoryExample]:
    """Examples image by image; what has no features in the cache, or asks for several things, is left out.

    Expressions are read as those of annotators are, so that the nouns are the same.

    Args:
        segmenter: As it answers without a memory.
        find_encoded: The encoded image of a digest, None if it is not here.
        words: What the project's people mean by some phrases.
        control: Where the project's regions go.
    """
    reword = (words or Words()).reword
    ordered = sorted(prompts, key=lambda one: one.image)
    for number, (image, group) in enumerate(groupby(ordered, key=lambda one: one.image)):
        encoded = find_encoded(image)
        if encoded is None or not len(encoded.proposals):
            continue
        proposals = masks.to_rles(encoded.proposals.masks)
        for past in group:
            saved, has_target = past.truth.masks, bool(past.truth.has_target)
            best = overlaps(proposals, saved).max(axis=1) if saved else np.zeros(len(proposals))
            try:
                text = reword(past.expression).text
                expression = read_expression(segmenter, text, control) if control else segmenter.parser.parse(text)
            except BadInput:
                continue
            if example := make_example(segmenter, encoded, expression, best, has_target, number):
                yield example
