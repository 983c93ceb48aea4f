"""HybridGL: features of regions that look at the whole picture and at the region alone in one pass, and where things are.

Sources: [0] Liu and Li, "Hybrid Global-Local Representation with Augmented Spatial Guidance", CVPR 2025; [1] Bousselham et
al., "Grounding Everything", CVPR 2024, for the heat map.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ris_core.arrays import Array
from ris_core.geometry import spatial_guidance
from ris_core.methods._settings import check_choice, check_counts, check_quirks, check_weights
from ris_core.methods._similarity import cosine, softmax, unit
from ris_core.types import EncodedImage, Expression, Scores

QUIRKS = {
    "Q-BOX1": "compare boxes that are a pixel too short each way, not tight ones",
    "Q-VERT": "let no position be up or down, not a prior by rows",
    "Q-RSCALE": "multiply the term of an expression without relation by what it would be compared with, not leave it",
    "Q-KSHRINK": "never again look at more candidates than an image had proposals, not start afresh with each",
    "Q-NEGNAN": "leave the likeness to other things undefined where there are none, not 0",
    "Q-FULLMASK": "let undefined terms win (a mask of the whole image, a flat map), not count them as 0",
    "Q-ARTICLE": 'ask for "a photo of a the dog", not "a photo of a dog"',
}
"""Behaviours of the released code that can be switched on, and what is done otherwise."""
FUSIONS = {
    "G2L": ("hybrid_G2L",),
    "L2G": ("hybrid_L2G",),
    "G2L&L2G": ("hybrid_G2L", "hybrid_L2G"),
    "attn_masking": ("hybrid_attn_masking",),
    "token_masking": ("hybrid_token_masking",),
    "crop": ("hybrid_crop",),
}
"""Modes of [0], and the encoder's features whose sum each is."""
ARTICLES = frozenset({"a", "an", "the"})
TIE = 1e-9
"""Share by which a place in the order lowers a value, so that equal values keep their order."""


class HybridGLMethod:
    """The method of [0].

    Args:
        fusion: One of `FUSIONS`; [0] uses "G2L".
        text_mix: Weight r of the whole sentence against its noun phrase, in [0, 1]; [0] uses 0.5.
        guided: Whether the best candidates are put in order by where they are; otherwise by looks alone.
        candidates: How many are put in order, k1, at least 1; [0] uses 3.
        compared: How many other things they are compared with, k2, at least 1; [0] uses 6.
        coherence_mix: Weight alpha of the heat map against relations, in [0, 1]; [0] uses 0.6.
        quirks: Behaviours of the released code to reproduce, keys of `QUIRKS`.

    Raises:
        BadInput: If a setting is out of range, or there is no such mode.
        UnknownName: If there is no such quirk.
    """

    excludes = False

    def __init__(
        self,
        fusion: str = "G2L",
        text_mix: float = 0.5,
        guided: bool = True,
        candidates: int = 3,
        compared: int = 6,
        coherence_mix: float = 0.6,
        quirks: Sequence[str] = (),
    ) -> None:
        check_choice("fusion", fusion, FUSIONS)
        check_weights(text_mix=text_mix, coherence_mix=coherence_mix)
        check_counts(candidates=candidates, compared=compared)
        self.text_mix, self.coherence_mix, self.guided = text_mix, coherence_mix, guided
        self.streams = FUSIONS[fusion]
        self.features = (*self.streams, "heat") if guided else self.streams
        self.quirks = check_quirks("hybrid_gl", quirks, QUIRKS)
        self.settings = {
            "fusion": fusion,
            "text_mix": text_mix,
            "guided": guided,
            "candidates": candidates,
            "compared": compared,
            "coherence_mix": coherence_mix,
            "quirks": sorted(quirks),
        }
        self._limits = candidates, compared  # fixed, but for quirk Q-KSHRINK

    def texts(self, expression: Expression) -> dict[str, str]:
        """The sentence and its noun phrase; for the guidance the noun phrase on a photo, and each other noun phrase."""
        texts = {"sentence": expression.text, "noun_phrase": expression.target_phrase}
        if self.guided:
            phrase = expression.target_phrase
            texts["photo"] = f"a photo of a {phrase if 'Q-ARTICLE' in self.quirks else _without_article(phrase)}."
            texts |= {f"other_{i}": f"a photo of {other}" for i, other in enumerate(expression.other_phrases)}
        return texts

    def score(
        self,
        encoded: EncodedImage,
        expression: Expression,
        texts: Mapping[str, Float[Array, "e"]],
        logit_scale: float,
        logit_bias: float = 0.0,
    ) -> Scores:
        """Shares by looks; with guidance the best candidates' shares are dealt out again in their order by place.

        The parts: "logit" and "pure", the share by looks. With guidance also "other_logit" of the other things named, and, of
        the candidates only, "relation" (rho), "coherence" (g) and "guided" (S), whose order decides; NaN for the others.
        """
        visual = np.sum([encoded.features[name] for name in self.streams], axis=0)  # (N, E), not normalised
        text = self.text_mix * texts["sentence"] + (1 - self.text_mix) * texts["noun_phrase"]
        logits = logit_scale * cosine(visual, text) + logit_bias
        parts = {"logit": logits, "pure": softmax(logits)}
        if not self.guided:
            return Scores(values=parts["pure"], parts=parts)
        others = [feature for name, feature in texts.items() if name.startswith("other_")]
        parts["other_logit"] = self._other_logits(visual, others, logit_scale, logit_bias)
        chosen, compared = self._pick(parts, bool(others))
        parts |= self._guide(encoded, expression, texts["photo"], chosen, compared, parts["pure"][chosen])
        return Scores(values=_deal(parts["pure"], chosen, parts["guided"][chosen]), parts=parts)

    def _other_logits(
        self, visual: Float[Array, "n e"], others: list[Float[Array, "e"]], logit_scale: float, logit_bias: float
    ) -> Float[Array, "n"]:
        if others:
            return logit_scale * cosine(visual, np.mean(others, axis=0)) + logit_bias
        return np.full(len(visual), np.nan if "Q-NEGNAN" in self.quirks else 0.0)

    def _pick(self, parts: Mapping[str, Float[Array, "n"]], has_others: bool) -> tuple[Int[Array, "k"], "_Compared"]:
        """The best k1 by looks, best first, and what they are compared with: the best k2 other things, or themselves."""
        candidates, compared = (min(limit, len(parts["pure"])) for limit in self._limits)
        if "Q-KSHRINK" in self.quirks:
            self._limits = candidates, compared
        chosen = _descending(parts["pure"])[:candidates]
        if not has_others:
            return chosen, _Compared(chosen, parts["pure"][chosen])
        shares = softmax(parts["other_logit"])
        best = _descending(shares)[:compared]
        return chosen, _Compared(best, shares[best])

    def _guide(
        self,
        encoded: EncodedImage,
        expression: Expression,
        photo: Float[Array, "e"],
        chosen: Int[Array, "k"],
        compared: "_Compared",
        shares: Float[Array, "k"],
    ) -> dict[str, Float[Array, "n"]]:
        """[0] Eq. 8-11."""
        guarded = "Q-FULLMASK" not in self.quirks
        boxes = encoded.proposals.boxes_xywh.astype(np.float64)
        if "Q-BOX1" in self.quirks:
            boxes[:, 2:] = np.maximum(boxes[:, 2:] - 1, 0)
        terms = spatial_guidance.relation_terms(
            boxes[chosen], shares, boxes[compared.indices], compared.shares, expression.relation, guarded
        )
        keeps_scale = expression.relation == "none" and "Q-RSCALE" not in self.quirks
        relation = softmax(terms.mean(1) if keeps_scale else terms.sum(1))
        heat = spatial_guidance.heat_map(encoded.features["heat"] @ unit(photo), encoded.size_hw, guarded)
        heat *= spatial_guidance.position_prior(
            encoded.size_hw, expression.position, vertical="Q-VERT" not in self.quirks
        )
        coherence = spatial_guidance.coherence(heat, encoded.proposals.masks[chosen], expression.relation, guarded)
        guided = (1 - self.coherence_mix) * relation + self.coherence_mix * coherence
        return {
            name: _scatter(values, chosen, len(boxes))
            for name, values in {"relation": relation, "coherence": coherence, "guided": guided}.items()
        }


class _Compared(NamedTuple):
    """Other things: which proposals, and what share of the look each has."""

    indices: Int[Array, "j"]
    shares: Float[Array, "j"]


def _without_article(phrase: str) -> str:
    first, _, rest = phrase.partition(" ")
    return rest if rest and first in ARTICLES else phrase


def _descending(values: Float[Array, "n"]) -> Int[Array, "n"]:
    """Indices, the largest first, NaN before all, the first of equals first."""
    return np.argsort(-np.where(np.isnan(values), np.inf, values), kind="stable")


def _scatter(values: Float[Array, "k"], indices: Int[Array, "k"], n: int) -> Float[Array, "n"]:
    """Of n values those at the indices; NaN elsewhere."""
    values_of_all = np.full(n, np.nan)
    values_of_all[indices] = values
    return values_of_all


def _deal(shares: Float[Array, "n"], chosen: Int[Array, "k"], guided: Float[Array, "k"]) -> Float[Array, "n"]:
    """The same shares, those of the chosen in the order of their guided values."""
    order = _descending(shares)
    ranked = np.concatenate([chosen[_descending(guided)], order[len(chosen) :]])
    new_shares = np.empty_like(shares)
    new_shares[ranked] = shares[order] * (1 - TIE * np.arange(len(order)))
    return new_shares


Component = HybridGLMethod
"""What `ris_core.profiles.catalog` makes of this file's name."""
