"""The baseline that both papers start from: each region cut out, against the sentence."""

from collections.abc import Mapping

from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.methods._settings import check_weights
from ris_core.methods._similarity import cosine, softmax
from ris_core.types import EncodedImage, Expression, Scores


class CroppingMethod:
    """The region alone: no context in the picture and, by default, none of the noun phrase.

    Args:
        text_mix: Weight of the whole sentence against its noun phrase, in [0, 1].

    Raises:
        BadInput: If the weight is outside [0, 1].
    """

    features = ("local",)
    excludes = False

    def __init__(self, text_mix: float = 1.0) -> None:
        check_weights(text_mix=text_mix)
        self.text_mix = text_mix
        self.settings = {"text_mix": text_mix}

    def texts(self, expression: Expression) -> dict[str, str]:
        """The sentence and its target noun phrase."""
        return {"sentence": expression.text, "noun_phrase": expression.target_phrase}

    def score(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Scores:
        """Softmax over the proposals of the scaled cosine, which is the only part."""
        text = self.text_mix * texts["sentence"] + (1 - self.text_mix) * texts["noun_phrase"]
        logits = logit_scale * cosine(encoded.features["local"], text) + logit_bias
        return Scores(values=softmax(logits), parts={"logit": logits})


Component = CroppingMethod
"""What `ris_core.profiles.catalog` makes of this file's name."""
