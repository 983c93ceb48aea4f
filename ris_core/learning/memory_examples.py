"""From an encoded image and an expression to what a memory can be learnt from and judged on."""

from dataclasses import replace
from functools import partial

from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.language.values import Referent
from ris_core.learning.memory_fitting import ChosenProposal, MemoryExample
from ris_core.methods._judging import Judge
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods.guided import GuidedMethod, referents_of
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage


def make_example(
    segmenter: Segmenter,
    encoded: EncodedImage,
    text: str,
    overlaps: Float[Array, "n"],
    has_target: bool,
    image: int,
) -> MemoryExample | None:
    """An example of a memory; None of what asks for no single named thing, cannot be read, or has nothing to choose from.

    Args:
        segmenter: With the method `guided`, as it answers without a memory.
        overlaps: (N,), IoU of each proposal with what was saved; all 0 if nothing is meant.
        image: The same number for the same image.
    """
    method = segmenter.method
    if not isinstance(method, GuidedMethod) or not len(encoded.proposals):
        return None
    try:
        expression = segmenter.read(text)
    except BadInput:
        return None
    referents = referents_of(expression)
    if len(referents) != 1 or referents[0].number != 1 or not referents[0].head:
        return None
    [referent] = referents
    wordings = method.texts(expression)
    encoder = segmenter.encoder
    features = dict(zip(wordings, encoder.encode_texts(list(wordings.values())), strict=True))
    judge = method.judge(encoded, features, encoder.logit_scale, encoder.logit_bias)
    return MemoryExample(
        noun=referent.head,
        names=frozenset(thing.head for thing in referent.things),
        image=image,
        visual=judge.looks.visual,
        overlaps=overlaps,
        has_target=has_target,
        choose=partial(_choose, method, judge, referent),
    )


def _choose(
    method: GuidedMethod, judge: Judge, referent: Referent, memory: RegionMemory | None
) -> ChosenProposal | None:
    chosen = method.choose(replace(judge, memory=memory), referent)
    return ChosenProposal(*chosen) if chosen else None
