"""What proposals look like, against phrases: similarities to ensembles of wordings, and contrasts with what else they may be.

Sources: prompt ensembles as in [0] Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
ICML 2021, section 3.1.4; competing texts as in [1] Sun et al., "CLIP as RNN", CVPR 2024, and [2] Suo et al., "Text Augmented
Spatial-aware Zero-shot Referring Image Segmentation", EMNLP Findings 2023.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.language.values import Referent
from ris_core.methods._similarity import unit


@dataclass(frozen=True)
class Wordings:
    """Which texts are asked for a phrase.

    Attributes:
        templates: Sentences with "{}" for the phrase; their features are averaged.
        negatives: Nouns that compete with the noun of a phrase.
        colours: Colour words that compete with the colour of a phrase.
    """

    templates: tuple[str, ...]
    negatives: tuple[str, ...]
    colours: tuple[str, ...]

    def dress(self, phrase: str) -> list[str]:
        """The texts of a phrase."""
        return [template.format(phrase) for template in self.templates]

    def phrases(self, referent: Referent) -> Iterator[str]:
        """Every phrase that a referent needs, with those of its landmarks and of what it excludes."""
        for thing in referent.things:
            if thing.phrase:
                yield from (thing.phrase, *self.nouns(thing.phrase), *self.recoloured(thing.phrase))

    def nouns(self, phrase: str) -> list[str]:
        """The phrase without its colour, then the nouns that compete with it; none if no nouns do."""
        if not self.negatives:
            return []
        own = " ".join(word for word in phrase.split() if word not in self.colours) or phrase
        return [own, *(noun for noun in self.negatives if not set(noun.split()) <= set(own.split()))]

    def recoloured(self, phrase: str) -> list[str]:
        """The phrase in its own colour, then in each other; none if it has no colour word."""
        words = phrase.split()
        own = next((word for word in words if word in self.colours), None)
        others = [colour for colour in self.colours if own and colour != own]
        return (
            [phrase, *(" ".join(other if word == own else word for word in words) for other in others)] if own else []
        )


class Appearance:
    """The similarities of N proposals to phrases.

    Args:
        visual: (N, E), normalised.
        texts: Features of every text that `wordings` asks for, by text.
        wordings: Which texts a phrase stands for.
        logit_scale, logit_bias: Factor on the cosine, and what is added to that.
    """

    def __init__(
        self,
        visual: Float[Array, "n e"],
        texts: Mapping[str, Float[Array, "e"]],
        wordings: Wordings,
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> None:
        self.visual, self.texts, self.wordings = visual, texts, wordings
        self.logit_scale, self.logit_bias = logit_scale, logit_bias
        self._known: dict[str, Float[Array, "n"]] = {}

    def similarity(self, phrases: Sequence[str]) -> Float[Array, "n p"]:
        """Logits; what was asked once is remembered."""
        new = [phrase for phrase in dict.fromkeys(phrases) if phrase not in self._known]
        if new:
            dressed = np.stack([[self.texts[text] for text in self.wordings.dress(phrase)] for phrase in new])
            columns = self.logit_scale * unit(unit(dressed).mean(axis=1)) @ self.visual.T + self.logit_bias
            self._known.update(zip(new, columns, strict=True))
        return np.stack([self._known[phrase] for phrase in phrases], axis=1)

    def features(self, phrase: str) -> dict[str, Float[Array, "n"]]:
        """What tells whether a proposal shows a phrase.

        "similarity" is a logit; the others are logarithms of shares: "standing" among the proposals, "noun" of the phrase's noun
        among the nouns that compete, "colour" of its colour among the colours; 0 where nothing competes.
        """
        similarity = self.similarity([phrase])
        return {
            "similarity": similarity[:, 0],
            "standing": log_share(similarity, axis=0)[:, 0],
            "noun": self._contrast(self.wordings.nouns(phrase)),
            "colour": self._contrast(self.wordings.recoloured(phrase)),
        }

    def colour_fit(self, phrase: str) -> Float[Array, "n"]:
        """How likely a phrase's colour is beside the likeliest colour, in (0, 1]; 1 without a colour."""
        phrases = self.wordings.recoloured(phrase)
        if not phrases:
            return np.ones(len(self.visual))
        similarity = self.similarity(phrases)
        fit: Float[Array, "n"] = np.exp(similarity[:, 0] - similarity.max(axis=1))
        return fit

    def _contrast(self, phrases: Sequence[str]) -> Float[Array, "n"]:
        """Logarithm of the first one's share among the phrases; 0 without phrases."""
        return log_share(self.similarity(phrases), axis=1)[:, 0] if phrases else np.zeros(len(self.visual))


def log_share(logits: Float[Array, "n m"], axis: int) -> Float[Array, "n m"]:
    """Logarithm of the softmax."""
    shifted = logits - logits.max(axis, keepdims=True)
    logarithms: Float[Array, "n m"] = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return logarithms
