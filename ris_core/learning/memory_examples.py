"""From an encoded image and an expression to what a memory can be learnt from and judged on."""

from dataclasses import dataclass, replace
from functools import cached_property

from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.errors import BadInput
from ris_core.language.values import Referent
from ris_core.learning.memory_fitting import ChosenProposal, MemoryExample
from ris_core.methods._judging import Judge
from ris_core.methods._region_memory import RegionMemory
from ris_core.methods.guided import GuidedMethod, referents_of
from ris_core.segmentation.segmenter import Segmenter
from ris_core.types import EncodedImage, Expression

Reading = tuple[GuidedMethod, Judge, Referent]


@dataclass(frozen=True, eq=False)
class RememberingAnswers:
    """How an expression of one thing is answered on an image, with a memory or without.

    A profile's vocabulary may not know a noun. A memory that does lets it pass; without one the expression is refused.

    Attributes:
        segmenter: With the method `guided`, as it answers without a memory.
    """

    segmenter: Segmenter
    encoded: EncodedImage
    expression: Expression

    def choose(self, memory: RegionMemory | None) -> ChosenProposal | None:
        """What answers; None if nothing does."""
        reading = self._find_reading(memory)
        if reading is None:
            return None
        method, judge, referent = reading
        chosen = method.choose(replace(judge, memory=memory), referent)
        return ChosenProposal(*chosen) if chosen else None

    def rank(self, memory: RegionMemory | None) -> list[int]:
        """All proposals, best first; none if the expression is refused."""
        reading = self._find_reading(memory)
        if reading is None:
            return []
        method, judge, referent = reading
        return method.rank(replace(judge, memory=memory), referent)

    def make_example(self, overlaps: Float[Array, "n"], has_target: bool, image: int) -> MemoryExample | None:
        """An example; None unless one single thing with a noun is asked for. Args: as for `make_example`."""
        if self.full is None:
            return None
        _, judge, referent = self.full
        return MemoryExample(
            noun=referent.head,
            names=frozenset(thing.head for thing in referent.things),
            image=image,
            visual=judge.looks.visual,
            overlaps=overlaps,
            has_target=has_target,
            choose=self.choose,
        )

    @cached_property
    def full(self) -> Reading | None:
        """With every noun; None unless one single thing with a noun is asked for."""
        return self._read(self._unknown)

    @cached_property
    def plain(self) -> Reading | None:
        """With the nouns that the profile knows; None if nothing is left of it then, or not one single thing."""
        return self._read(frozenset()) if self._unknown else self.full

    def _find_reading(self, memory: RegionMemory | None) -> Reading | None:
        names = frozenset(noun for noun in self._unknown if memory and memory.knows(noun))
        if not names:
            return self.plain
        return self.full if names == self._unknown else self._read(names)

    @cached_property
    def _unknown(self) -> frozenset[str]:
        """Nouns that the vocabulary does not know."""
        vocabulary = self.segmenter.vocabulary
        things = (thing for referent in referents_of(self.expression) for thing in referent.things)
        heads = {thing.head for thing in things if thing.head}
        return frozenset(head for head in heads if vocabulary and not vocabulary.knows(head))

    def _read(self, names: frozenset[str]) -> Reading | None:
        segmenter, method, encoder = self.segmenter, self.segmenter.method, self.segmenter.encoder
        assert isinstance(method, GuidedMethod)
        vocabulary = segmenter.vocabulary and segmenter.vocabulary.with_names(names)
        try:
            expression = replace(segmenter, vocabulary=vocabulary).read(self.expression)
        except BadInput:
            return None
        referents = referents_of(expression)
        if len(referents) != 1 or referents[0].number != 1 or not referents[0].head:
            return None
        wordings = method.texts(expression)
        features = dict(zip(wordings, encoder.encode_texts(list(wordings.values())), strict=True))
        return method, method.judge(self.encoded, features, encoder.logit_scale, encoder.logit_bias), referents[0]


def make_example(
    segmenter: Segmenter,
    encoded: EncodedImage,
    text: str | Expression,
    overlaps: Float[Array, "n"],
    has_target: bool,
    image: int,
) -> MemoryExample | None:
    """An example of a memory; None of what asks for no single named thing, cannot be read, or has nothing to choose from.

    Args:
        segmenter: With the method `guided`, as it answers without a memory.
        text: As typed, or parsed already.
        overlaps: (N,), IoU of each proposal with what was saved; all 0 if nothing is meant.
        image: The same number for the same image.
    """
    if not isinstance(segmenter.method, GuidedMethod) or not len(encoded.proposals):
        return None
    try:
        expression = segmenter.parser.parse(text) if isinstance(text, str) else text
    except BadInput:
        return None
    return RememberingAnswers(segmenter, encoded, expression).make_example(overlaps, has_target, image)
