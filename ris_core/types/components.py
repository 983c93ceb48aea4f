"""What each kind of component provides; the segmenter knows components only by these protocols.

They can be checked at run time, so that the tests' type checker sees a component that lacks something.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.types import EncodedImage, Expression, Image, Proposals, Scores
from ris_core.types.prompts import PromptEmbedding, Prompts


@runtime_checkable
class Proposer(Protocol):
    """Image -> class-agnostic mask proposals."""

    fingerprint: Mapping[str, object]
    """Everything that decides the proposals, weights' digests included; JSON values."""

    def propose(self, image: Image) -> Proposals:
        """N proposals at the image's size; N may be 0."""


@runtime_checkable
class Promptable(Protocol):
    """A proposer that also says what is pointed at."""

    embed_fp: str
    """Digest of what decides an embedding: weights, preprocessing."""

    def embed(self, image: Image) -> PromptEmbedding:
        """Do everything that does not depend on the prompts; what `propose` did for the same image just before is not repeated."""

    def mask(self, embedding: PromptEmbedding, prompts: Prompts) -> Proposals:
        """What is pointed at, at the image's size: candidates, best first, several only where the prompts are vague; or none."""


@runtime_checkable
class Batched(Protocol):
    """A proposer or encoder that puts several things through its model at once; fewer need less memory."""

    batch_size: int
    """How many, at least 1."""


@runtime_checkable
class ExpressionParser(Protocol):
    """Text -> what it says of the object it refers to."""

    fingerprint: str
    """Changes with everything that decides how an expression is read."""
    quirks: frozenset[str]
    """Behaviours of the released code that it reproduces."""

    def parse(self, text: str) -> Expression:
        """Read one expression as it was typed."""


@runtime_checkable
class Encoder(Protocol):
    """Image and proposals -> region features; texts -> text features. Made with the names of the `features` to make."""

    fingerprint: Mapping[str, object]
    """Everything that decides the features, weights' digests included; JSON values."""
    logit_scale: float
    """Factor on the cosine between region and text features that the encoder was trained with."""
    logit_bias: float
    """What it was trained to add to that: 0 of a model of a softmax; of a sigmoid model, such as SigLIP, about -10 and less."""

    def encode(self, image: Image, proposals: Proposals) -> dict[str, Float[Array, "..."]]:
        """Features by name, float32: of regions, the first axis of each is N; of the whole image on a grid, "heat"."""

    def encode_texts(self, texts: Sequence[str]) -> Float[Array, "t e"]:
        """Text features, float32 (T, E), not normalised."""


@runtime_checkable
class Worded(Protocol):
    """An encoder that tells which words are usual in its language."""

    @property
    def words(self) -> Sequence[str]:
        """Lower-cased, the most usual first."""


@runtime_checkable
class Method(Protocol):
    """Region features and an expression -> scores; arithmetic in numpy only."""

    settings: Mapping[str, object]
    """Its settings, for the version of its answers; JSON values."""
    features: Sequence[str]
    """Names of the encoder's features that it reads."""
    excludes: bool
    """It can leave out what an expression says not to mean: "everything except the tree"."""

    def texts(self, expression: Expression) -> dict[str, str]:
        """The strings it needs text features of, by a name of its own."""

    def score(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Scores:
        """Judge the N >= 1 proposals of an image by the features of `texts(expression)`; scale and bias are the encoder's."""
