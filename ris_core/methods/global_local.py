"""Global-Local CLIP: one feature of the region in its scene, one of the region alone, one text of the sentence and its noun.

Source: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023, Eq. 1-7.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ris_core.types import EncodedImage, Expression, Scores


class Component:
    """The method of [0].

    Args:
        visual_mix: Weight v of the global feature, in [0, 1]; [0] uses 0.95, and 0.85 for RefCOCOg.
        text_mix: Weight r of the whole sentence against its noun phrase, in [0, 1]; [0] uses 0.5.
    """

    def __init__(self, visual_mix: float = 0.95, text_mix: float = 0.5) -> None:
        for name, value in {"visual_mix": visual_mix, "text_mix": text_mix}.items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; give a weight in [0, 1].")
        self.visual_mix, self.text_mix = visual_mix, text_mix
        self.settings = {"visual_mix": visual_mix, "text_mix": text_mix}

    def texts(self, expression: Expression) -> dict[str, str]:
        """The sentence and its target noun phrase."""
        return {"sentence": expression.text, "noun_phrase": expression.target_phrase}

    def score(self, encoded: EncodedImage, texts: Mapping[str, Float[ndarray, "e"]], logit_scale: float) -> Scores:
        """Softmax over the proposals of the scaled cosine between mixed visual and mixed textual features.

        The parts are that logit and the cosine of each branch alone with each text.
        """
        whole, alone = encoded.features["global"], encoded.features["local"]  # (N, E), not normalised
        visual = self.visual_mix * whole + (1 - self.visual_mix) * alone  # [0] Eq. 3
        text = self.text_mix * texts["sentence"] + (1 - self.text_mix) * texts["noun_phrase"]  # [0] Eq. 6
        logits = logit_scale * cosine(visual, text)
        parts = {"logit": logits}
        for branch, features in {"global": whole, "local": alone}.items():
            for name, feature in texts.items():
                parts[f"{branch}_{name}"] = cosine(features, feature)
        return Scores(values=softmax(logits), parts=parts)


def cosine(features: Float[ndarray, "n e"], text: Float[ndarray, "e"]) -> Float[ndarray, "n"]:
    """Cosine similarity of each row with one vector, in [-1, 1]; 0 where either is all zero."""
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(text)
    return np.divide(features @ text, norms, out=np.zeros(len(features)), where=norms > 0)


def softmax(logits: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    """Shares in [0, 1] that sum to 1, float64."""
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
