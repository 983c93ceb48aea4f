"""Global-Local CLIP: one feature of the region in its scene, one of the region alone, one text of the sentence and its noun.

Source: [0] Yu, Seo, Son, "Zero-shot Referring Image Segmentation with Global-Local Context Features", CVPR 2023, Eq. 1-7.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.methods._settings import check_choice, check_quirks, check_weights
from ris_core.methods._similarity import cosine, softmax, unit
from ris_core.types import EncodedImage, Expression, Scores

QUIRKS = {"Q-RN-NORM": "score by dot products, so that the longer of two features wins, not by cosines"}
"""Behaviours of the released code that can be switched on, and what is done otherwise."""
MASKING = {"tokens": "global", "attention": "global_attention"}
"""How the region is seen in its scene, and the encoder's name of that feature."""


class GlobalLocalMethod:
    """The method of [0].

    Args:
        visual_mix: Weight v of the global feature, in [0, 1]; [0] uses 0.95, and 0.85 for RefCOCOg.
        text_mix: Weight r of the whole sentence against its noun phrase, in [0, 1]; [0] uses 0.5.
        masking: One of `MASKING`; [0] uses "tokens".
        unit_parts: Scale the local feature and both texts to length 1 before they are mixed, as [0] does with a ResNet.
        quirks: Behaviours of the released code to reproduce, keys of `QUIRKS`.

    Raises:
        BadInput: If a weight is outside [0, 1], or there is no such masking.
        UnknownName: If there is no such quirk.
    """

    excludes = False

    def __init__(
        self,
        visual_mix: float = 0.95,
        text_mix: float = 0.5,
        masking: str = "tokens",
        unit_parts: bool = False,
        quirks: Sequence[str] = (),
    ) -> None:
        check_weights(visual_mix=visual_mix, text_mix=text_mix)
        check_choice("masking", masking, MASKING)
        self.visual_mix, self.text_mix, self.unit_parts = visual_mix, text_mix, unit_parts
        self.features = (MASKING[masking], "local")
        self.quirks = check_quirks("global_local", quirks, QUIRKS)
        self.settings = {
            "visual_mix": visual_mix,
            "text_mix": text_mix,
            "masking": masking,
            "unit_parts": unit_parts,
            "quirks": sorted(quirks),
        }

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
        """Softmax over the proposals of the scaled cosine between mixed visual and mixed textual features.

        The parts are that logit and the cosine of each branch alone with each text.
        """
        whole, alone = (encoded.features[name] for name in self.features)  # (N, E), not normalised
        parts = {
            f"{branch}_{name}": cosine(features, text)
            for branch, features in {"global": whole, "local": alone}.items()
            for name, text in texts.items()
        }
        if self.unit_parts:
            alone, texts = unit(alone), {name: unit(text) for name, text in texts.items()}
        visual = self.visual_mix * whole + (1 - self.visual_mix) * alone  # [0] Eq. 3
        text = self.text_mix * texts["sentence"] + (1 - self.text_mix) * texts["noun_phrase"]  # [0] Eq. 6
        likeness = visual @ text if "Q-RN-NORM" in self.quirks else cosine(visual, text)
        logits = logit_scale * likeness + logit_bias
        return Scores(values=softmax(logits), parts={"logit": np.asarray(logits, np.float64), **parts})


Component = GlobalLocalMethod
"""What `ris_core.profiles.catalog` makes of this file's name."""
