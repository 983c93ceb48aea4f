"""The method as a whole: encode an image once, then segment any number of expressions on it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ris_core import behaviour
from ris_core.arrays import Array
from ris_core.errors import BadInput, NamesNothing, NegatedTarget
from ris_core.geometry import masks
from ris_core.geometry.run_length_masks import RunLengthMasks
from ris_core.language.vocabulary import Vocabulary
from ris_core.types import Decision, EncodedImage, Expression, Image, Prediction, Proposals, Scores
from ris_core.types.components import Encoder, ExpressionParser, Method, Proposer, Worded

SAME_THING_IOU = 0.5
"""Candidates that overlap more than this are taken for the same thing when ambiguity is judged."""


@dataclass(frozen=True)
class Segmenter:
    """A profile's components, loaded. Made by `load_segmenter`.

    Attributes:
        profile: Name of the profile.
        method_name: Name of the method.
        version_prefix: What the versions of its answers begin with.
        warning: What must be said with every answer, or empty.
        ambiguous_ratio: In (0, 1]: a second thing that scores at least this share of the best makes the answer ambiguous.
        vocabulary: The words that the encoder knows, if they are few.
        learned_version: Version of the answers, if a calibrator was learnt for them; else it follows from the components.
    """

    profile: str
    method_name: str
    proposer: Proposer
    encoder: Encoder
    method: Method
    parser: ExpressionParser
    version_prefix: str
    warning: str = ""
    ambiguous_ratio: float = 0.8
    vocabulary: Vocabulary | None = None
    learned_version: str = ""

    @property
    def encode_fp(self) -> str:
        """Digest of what makes the encoded arrays, and of which: proposer, encoder, weights, preprocessing, the code's behaviour."""
        return self._encode_digest({"proposer": self.proposer.fingerprint})

    @property
    def model_version(self) -> str:
        """Profile, method and digest of everything that decides an answer; never contains the expression."""
        if self.learned_version:
            return self.learned_version
        decides = {
            "encode": self.encode_fp,
            "behaviour": behaviour.ANSWER_BEHAVIOUR,
            "method": [self.method_name, self.method.settings],
            "parser": self.parser.fingerprint,
            "ambiguous_ratio": self.ambiguous_ratio,
            **({"vocabulary": self.vocabulary.digest} if self.vocabulary else {}),
        }
        return f"{self.version_prefix}.{self.method_name}.{_digest(decides)[:8]}"

    @property
    def known_words(self) -> Sequence[str]:
        """Words that it surely knows, the most usual first; empty if its encoder does not tell."""
        if self.vocabulary:
            return self.vocabulary.words
        return self.encoder.words if isinstance(self.encoder, Worded) else ()

    def encode(self, image: Image, proposals: Proposals | None = None) -> EncodedImage:
        """Do everything that does not depend on the expression.

        Args:
            image: The image.
            proposals: Use these instead of the profile's own; their masks have the image's size.

        Raises:
            BadInput: If the proposals are not of the image's size.
        """
        encode_fp = self.encode_fp
        if proposals is None:
            proposals = self.proposer.propose(image)
        elif proposals.masks.shape[1:] != image.size_hw:
            raise BadInput(
                f"The proposals are {proposals.masks.shape[1:]} (H, W), the image is {image.size_hw}. Resize the masks."
            )
        else:
            encode_fp = self._encode_digest({"proposals": proposals.digest()})
        return EncodedImage(
            image_sha256=image.sha256,
            size_hw=image.size_hw,
            proposals=proposals,
            features=self.encoder.encode(image, proposals),
            encode_fp=encode_fp,
        )

    def read(self, expression: str | Expression) -> Expression:
        """What is asked for, as far as it can be answered.

        Raises:
            BadExpression: As `segment` does.
        """
        return self._admit(self.parser.parse(expression) if isinstance(expression, str) else expression)

    def segment(self, encoded: EncodedImage, expression: str | Expression, top_k: int = 5) -> Prediction:
        """Find what an expression refers to.

        Args:
            encoded: What `encode` returned.
            expression: As typed, or parsed already.
            top_k: How many candidates to return at most, at least 1.

        Raises:
            BadExpression: If there is nothing to read in the expression, or it cannot be answered: `NegatedTarget`, `UnknownWord`.
            BadInput: If `top_k` is below 1, or `encoded` lacks features that the method reads.
        """
        if top_k < 1:
            raise BadInput(f"top_k is {top_k}; ask for at least 1 candidate.")
        expression = self.read(expression)
        if len(encoded.proposals) == 0:
            return self._prediction(encoded, expression, _no_scores(), top_k)
        if missing := sorted(set(self.method.features) - set(encoded.features)):
            raise BadInput(
                f"The image was encoded without {', '.join(missing)}, which {self.method_name} reads. Encode it with a "
                "segmenter of this method, or name them in the encoder's features."
            )
        texts = self.method.texts(expression)
        features = dict(zip(texts, self.encoder.encode_texts(list(texts.values())), strict=True))
        scores = self.method.score(encoded, expression, features, self.encoder.logit_scale, self.encoder.logit_bias)
        return self._prediction(encoded, expression, scores, top_k)

    def _encode_digest(self, proposals: Mapping[str, Any]) -> str:
        return _digest({**proposals, "encoder": self.encoder.fingerprint, "behaviour": behaviour.ENCODE_BEHAVIOUR})

    def _admit(self, expression: Expression) -> Expression:
        """What can be answered of an expression: never by what it says not to mean, nor by words that the encoder never saw."""
        is_released = "Q-NEGATED" in self.parser.quirks
        for referent in expression.referents:
            can_exclude = referent.number is None and self.method.excludes  # "everything except the tree"
            if referent.is_only_denied and not can_exclude and not is_released:
                raise NegatedTarget(expression.raw)
        if not is_released and expression.names_nothing:
            raise NamesNothing(expression.raw)
        return self.vocabulary.restrict(expression) if self.vocabulary else expression

    def _prediction(self, encoded: EncodedImage, expression: Expression, scores: Scores, top_k: int) -> Prediction:
        best = np.argsort(-scores.values, kind="stable")[:top_k].tolist()
        decision, answers = scores.decision, scores.selected
        if decision is None:
            decision = _decide(scores.values, encoded.proposals.masks, self.ambiguous_ratio)
            answers = () if decision == "no_match" else (best[0],)
        kept = best + [i for i in answers if i not in best]  # an answer is never cut
        quality = {"predicted_iou": encoded.proposals.predicted_iou, "stability": encoded.proposals.stability}
        parts = {**scores.parts, **quality}
        return Prediction(
            expression=expression,
            masks=masks.take(encoded.proposals.masks, kept),
            scores=scores.values[kept],
            boxes_xywh=encoded.proposals.boxes_xywh[kept],
            parts=[{name: float(part[i]) for name, part in parts.items() if not np.isnan(part[i])} for i in kept],
            decision=decision,
            selected=tuple(kept.index(i) for i in answers),
            model_version=self.model_version,
            warnings=tuple(filter(None, (self.warning, _unused_warning(expression.unused)))),
        )


def _decide(values: Array, all_masks: Array | RunLengthMasks, ambiguous_ratio: float) -> Decision:
    """ "no_match" without proposals; "ambiguous" if another thing scores nearly as well; else "match".

    The scores are shares among the proposals, so they cannot tell that the thing is absent.
    """
    if len(values) == 0:
        return "no_match"
    best = int(values.argmax())
    rivals = np.flatnonzero(values >= ambiguous_ratio * values[best]).tolist()
    overlaps = masks.iou(masks.take(all_masks, [best]), masks.take(all_masks, rivals))[0]
    return "ambiguous" if (overlaps < SAME_THING_IOU).any() else "match"


def _unused_warning(unused: Sequence[str]) -> str:
    return f"Not used: {', '.join(unused)}." if unused else ""


def _no_scores() -> Scores:
    return Scores(values=np.zeros(0), parts={})


def _digest(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
