"""What things looked like that people saved: features of regions, by noun, beside what a text says of them.

The log-odds that a proposal shows a noun rise with its likeness to the nearest remembered region of that noun. Likeness is the cosine
after the mean of the project's proposals is taken off: features of one encoder all point much the same way, and only what is left tells
things apart. What is unlike all that is remembered is judged by the text alone: a noun may have other looks, too. Likeness says nothing of
colours and places, so it makes nothing surer than a text does: else what stands elsewhere would be taken. And where a colour is asked
for, it counts as much as that colour is likely beside the likeliest: else a red one would be taken for the blue one that is not there.
Expressions that name no remembered noun are judged as if there were no memory.

Source: ours; regions kept beside texts follow the idea of [0] Zhang et al., "Tip-Adapter", ECCV 2022, section 3.1.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from ris_core.arrays import Array
from ris_core.methods._similarity import unit

ALIKE = 0.2
"""Likeness from which a memory speaks for a proposal."""
CERTAIN = 1e-4
"""Probabilities are taken to be at least so far from 0 and 1 before something is added to their log-odds."""
_DIGEST_LENGTH = 16


@dataclass(frozen=True, eq=False)
class RegionMemory:
    """Remembered regions.

    Attributes:
        centre: (E,), mean of the features of the project's proposals.
        prototypes: (P, E) by noun, float16: features of saved regions, centred and of length 1. Nouns are in the singular.
        weight: Log-odds for each unit of likeness above `ALIKE`.
        surest: Probability to which the best proposal is lifted at most, the others as far below it as before; in (0, 1].
        heeds_colour: Whether likeness counts less for proposals of another colour than the one that is asked for.
    """

    centre: Float[Array, "e"]
    prototypes: Mapping[str, Float[Array, "_ e"]]
    weight: float
    surest: float = 1.0
    heeds_colour: bool = False

    def knows(self, noun: str) -> bool:
        """Whether anything is remembered of a noun."""
        return noun.casefold() in self.prototypes

    def adjust(
        self,
        probability: Float[Array, "n"],
        noun: str,
        visual: Float[Array, "n e"],
        colour: Float[Array, "n"] | float = 1.0,
    ) -> Float[Array, "n"]:
        """Probabilities of showing a noun, with what is remembered of it; the same ones if nothing is.

        Args:
            visual: Features of the proposals, of length 1.
            colour: How likely the colour that is asked for is beside the likeliest, in [0, 1]; 1 if none is asked for.
        """
        if not self.knows(noun):
            return probability
        remembered = self.prototypes[noun.casefold()].astype(np.float32)
        likeness = (unit(visual - self.centre) @ remembered.T).max(axis=1)
        sure = np.clip(probability, CERTAIN, 1 - CERTAIN)
        by_text = np.log(sure / (1 - sure))
        lift = self.weight * np.maximum(likeness - ALIKE, 0)
        logits = by_text + (lift * colour if self.heeds_colour else lift)
        if self.surest < 1:
            at_most = max(np.log(self.surest / (1 - self.surest)), by_text.max())
            logits = np.maximum(by_text, logits - max(logits.max() - at_most, 0))
        adjusted: Float[Array, "n"] = 0.5 * (1 + np.tanh(logits / 2))
        return adjusted

    @cached_property
    def digest(self) -> str:
        """Changes with everything that decides an answer; hexadecimal."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:_DIGEST_LENGTH]

    @property
    def n_bytes(self) -> int:
        """What the remembered regions take, in bytes."""
        return sum(one.nbytes for one in self.prototypes.values())

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "centre": _pack(self.centre),
            "prototypes": {noun: _pack(own) for noun, own in self.prototypes.items()},
            "weight": self.weight,
            **({"surest": self.surest} if self.surest < 1 else {}),
            **({"heeds_colour": True} if self.heeds_colour else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RegionMemory":
        """Read `to_json`'s values."""
        centre = _unpack(stored["centre"])
        prototypes = {noun: _unpack(own).reshape(-1, len(centre)) for noun, own in stored["prototypes"].items()}
        surest, heeds_colour = (
            stored.get("surest", 1.0),
            stored.get("heeds_colour", False),
        )  # the first ones had neither
        return cls(centre.astype(np.float32), prototypes, stored["weight"], surest, heeds_colour)


def _pack(values: Float[Array, "..."]) -> str:
    return base64.b64encode(values.astype("<f2").tobytes()).decode("ascii")


def _unpack(text: str) -> Float[Array, "n"]:
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float16)
