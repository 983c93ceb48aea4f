"""The values of the method: frozen, numpy, parallel arrays on the N proposals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Self

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from ris_core import boxes, decoding, grammar, lexicon, reading, things
from ris_core.wording import Referent

if TYPE_CHECKING:
    from spacy.tokens import Doc

Decision = Literal["match", "ambiguous", "no_match"]
NO_CHANCE = 0.02
"""A candidate of which a calibrator says a lower probability is not offered as what else could be meant: fewer than one in fifty is
right, and who asks for it loses more than it brings."""


@dataclass(frozen=True, eq=False)
class Image:
    """An upright RGB image and the digest of the bytes it came from.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, EXIF orientation applied.
        sha256: Hex digest of the encoded file; of the pixels if there was no file.
    """

    pixels: UInt8[ndarray, "h w 3"]
    sha256: str

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[2] != 3:
            raise ValueError(f"pixels must be uint8 (H, W, 3), not {self.pixels.dtype} {self.pixels.shape}.")

    @classmethod
    def open(cls, source: str | Path | bytes | BinaryIO, max_pixels: int = decoding.MAX_PIXELS) -> Self:
        """Decode a file; its size is checked before its pixels are.

        Raises:
            BadImage: If it is not an image, is damaged, or has more than `max_pixels`.
        """
        pixels, sha256 = decoding.decode(source, max_pixels)
        return cls(pixels=pixels, sha256=sha256)

    @classmethod
    def from_array(cls, pixels: UInt8[ndarray, "h w 3"]) -> Self:
        """Take pixels that are in memory already."""
        shape = f"{pixels.shape}".encode()
        return cls(pixels=pixels, sha256=hashlib.sha256(shape + np.ascontiguousarray(pixels).tobytes()).hexdigest())

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Class-agnostic mask proposals of one image.

    Attributes:
        masks: bool (N, H, W).
        boxes_xywh: float32 (N, 4), tight and half-open, in pixels.
        predicted_iou: float32 (N,), the proposer's own estimate of its IoU with an object, in [0, 1].
        stability: float32 (N,), IoU of the mask with itself under shifted thresholds, in [0, 1].
    """

    masks: Bool[ndarray, "n h w"]
    boxes_xywh: Float[ndarray, "n 4"]
    predicted_iou: Float[ndarray, "n"]
    stability: Float[ndarray, "n"]

    def __post_init__(self) -> None:
        if self.masks.dtype != bool or self.masks.ndim != 3:
            raise ValueError(f"masks must be bool (N, H, W), not {self.masks.dtype} {self.masks.shape}.")
        n = len(self.masks)
        for name, shape in {"boxes_xywh": (n, 4), "predicted_iou": (n,), "stability": (n,)}.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, not {getattr(self, name).shape}.")

    @classmethod
    def from_masks(cls, masks: Bool[ndarray, "n h w"]) -> Self:
        """Masks that somebody else vouches for: tight boxes, predicted IoU and stability 1."""
        ones = np.ones(len(masks), np.float32)
        return cls(masks=masks, boxes_xywh=boxes.from_masks(masks), predicted_iou=ones, stability=ones)

    def __len__(self) -> int:
        return len(self.masks)

    def digest(self) -> str:
        """Hex digest of the masks."""
        packed = np.packbits(self.masks, axis=-1).tobytes()
        return hashlib.sha256(f"{self.masks.shape}".encode() + packed).hexdigest()


@dataclass(frozen=True)
class Expression:
    """A referring expression and what its grammar says.

    Attributes:
        raw: As typed.
        text: Lower-cased, tokens joined by single blanks: what the text encoder reads.
        target_phrase: Noun phrase of the thing referred to.
        head: Head noun of the target phrase; the whole text if there is none.
        other_phrases: The other noun phrases, in order.
        position: "left", "right", "middle", "up", "down" or "none": where in the image.
        relation: "left", "right", "up", "down", "big", "small", "within" or "none": against the other things.
        is_whole: No noun phrase was found; the target phrase is the whole text.
        referents: What is asked for in full, with its clauses: one thing, or several that are joined by "and". Empty if it
            was not read.
        unused: Words that the profile does not know, and that count for nothing; see `ris_core.vocabulary`.
    """

    raw: str
    text: str
    target_phrase: str
    head: str
    other_phrases: tuple[str, ...]
    position: str
    relation: str
    is_whole: bool
    referents: tuple[Referent, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def meant(self) -> tuple[str, str]:
        """Head and noun phrase of the first thing that is meant, as typed if it is the target: of "not the cat but the dog" the dog."""
        if not self.referents:
            return self.head, self.target_phrase
        first, named = self.referents[0], lexicon.spelled(self.head)
        is_target = first.head in (named, lexicon.singular(named))
        return (self.head, self.target_phrase) if is_target else (first.head, first.phrase)

    @classmethod
    def from_doc(cls, doc: Doc, quirks: frozenset[str] = frozenset(), raw: str | None = None) -> Self:
        """Read a dependency parse (spaCy, ClearNLP-style labels).

        Args:
            doc: The parsed text.
            quirks: Identifiers of the released code's behaviours to reproduce (`docs/developers/method.md`).
            raw: What was typed, if it differs from the text of `doc`.
        """
        phrases = grammar.analyse(doc, quirks)
        return cls(
            raw=doc[:].text if raw is None else raw,
            text=doc[:].text,  # `doc.text` may end in a blank
            target_phrase=phrases.target,
            head=phrases.head,
            other_phrases=phrases.others,
            position=phrases.position,
            relation=phrases.relation,
            is_whole=phrases.is_whole,
            referents=reading.read(doc),
        )


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """Everything about an image that does not depend on the expression.

    Attributes:
        image_sha256: Digest of the image's bytes.
        size_hw: Height and width of the image in pixels.
        proposals: Its N mask proposals.
        features: Arrays by name: of the proposals, with N for their first axis, or of the whole image on a grid.
        encode_fp: Digest of what made the arrays and of which there are: proposer, encoder, weights, preprocessing.
    """

    image_sha256: str
    size_hw: tuple[int, int]
    proposals: Proposals
    features: Mapping[str, ndarray]
    encode_fp: str


@dataclass(frozen=True, eq=False)
class Scores:
    """A method's judgement of N proposals.

    Attributes:
        values: float64 (N,), in [0, 1], larger is better. A share among the proposals, not a probability of being right;
            of a method that decides, a calibrated probability that the IoU is at least 0.5.
        parts: float (N,) by name: the terms that the values are made of; NaN where a proposal has no such term.
        decision: The method's own; None leaves it to the segmenter.
        selected: Indices of the proposals that answer, if there is a decision: none, one, or several of a plural.
    """

    values: Float[ndarray, "n"]
    parts: Mapping[str, Float[ndarray, "n"]]
    decision: Decision | None = None
    selected: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one expression on one image: K candidates, best first, or more if more of them answer.

    Attributes:
        expression: What was asked, as it was read.
        masks: bool (K, H, W), also when the decision is "no_match".
        scores: float64 (K,), in [0, 1].
        boxes_xywh: float32 (K, 4), tight and half-open, in pixels.
        parts: For each candidate the terms of its score, by name.
        decision: "match", "ambiguous" or "no_match".
        selected: Indices of the candidates that answer; the answer is the union of their masks.
        model_version: Profile, method and digest of everything that decides the answer.
    """

    expression: Expression
    masks: Bool[ndarray, "k h w"]
    scores: Float[ndarray, "k"]
    boxes_xywh: Float[ndarray, "k 4"]
    parts: Sequence[Mapping[str, float]]
    decision: Decision
    selected: tuple[int, ...]
    model_version: str
    warnings: tuple[str, ...] = field(default=())

    @property
    def others(self) -> tuple[int, ...]:
        """Indices of the candidates that could be meant instead; none that has no chance, where chances are known."""
        rest = (i for i in range(len(self.masks)) if i not in self.selected and self.masks[i].any())
        return tuple(i for i in rest if self.parts[i].get("probability", 1.0) >= NO_CHANCE)

    @property
    def rival_rank(self) -> int:
        """Rank, from 1, of the best candidate that is another thing than those that answer: what fits nearly as well."""
        same = things.same_thing(things.overlaps(self.masks))
        others = (i for i in self.others if not same[i, list(self.selected)].any())
        return 1 + next(others, len(self.selected))

    @property
    def answer(self) -> Bool[ndarray, "h w"]:
        """Union of the selected masks; empty if nothing was selected."""
        return np.logical_or.reduce(self.masks[list(self.selected)], axis=0)
