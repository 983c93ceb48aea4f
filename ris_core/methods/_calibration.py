"""From the terms of a score to the probability that the mask is right, by logistic models fitted beforehand.

A calibrator is a value, stored as JSON beside the profile whose components it was fitted on, and holds for those only. How
reliable it was on scenes that it was not fitted on stands in the same file.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ris_core.arrays import Array
from ris_core.errors import UnknownName

FOLDER = Path(__file__).parents[1] / "profiles"
SUFFIX = ".calibration.json"
NEWTON_STEPS = 40
"""Far more than a fit needs."""


@dataclass(frozen=True)
class Logistic:
    """A logistic model: the odds of yes are exp(bias + weights · features).

    Attributes:
        weights: By the name of the feature.
        bias: Logarithm of the odds where all features are 0.
    """

    weights: Mapping[str, float]
    bias: float = 0.0

    def __call__(self, features: Mapping[str, Float[Array, "n"]]) -> Float[Array, "n"]:
        """Probabilities in [0, 1]; features that the model does not weigh count for nothing.

        Raises:
            KeyError: If a feature that it weighs is not given.
        """
        logits = self.bias + sum(weight * features[name] for name, weight in self.weights.items())
        return 0.5 * (1 + np.tanh(logits / 2))

    @classmethod
    def fit(cls, features: Mapping[str, Float[Array, "n"]], truth: Bool[Array, "n"], ridge: float = 1e-3) -> "Logistic":
        """Maximise the likelihood by Newton's method; `ridge` holds the weights of standardised features small."""
        raw = np.stack(list(features.values()), axis=1).astype(float)
        mean, scale = raw.mean(0), raw.std(0) + 1e-9
        inputs = np.c_[(raw - mean) / scale, np.ones(len(raw))]
        penalty = np.r_[np.full(len(features), ridge), 0.0]
        weights = np.zeros(len(features) + 1)
        for _ in range(NEWTON_STEPS):
            expected = 0.5 * (1 + np.tanh(inputs @ weights / 2))
            gradient = inputs.T @ (expected - truth) / len(raw) + penalty * weights
            curvature = (inputs * (expected * (1 - expected))[:, None]).T @ inputs / len(raw)
            weights -= np.linalg.solve(curvature + np.diag(penalty + 1e-9), gradient)
        slopes = weights[:-1] / scale
        return cls(dict(zip(features, slopes.tolist(), strict=True)), float(weights[-1] - slopes @ mean))


@dataclass(frozen=True)
class Calibrator:
    """What was fitted for one profile.

    Attributes:
        look: From the features of a look to the probability that a proposal shows the phrase.
        answer: From the features of an answer to the probability that its IoU with the target is at least 0.5.
        no_match_below: Nothing matches if the best answer's presence is lower.
        about: On what it was fitted and how reliable it is there; for people and for the reliability figures.
    """

    look: Logistic
    answer: Logistic
    no_match_below: float
    about: Mapping[str, Any] = field(default_factory=dict)

    def presence(self, features: Mapping[str, Float[Array, "n"]]) -> Float[Array, "n"]:
        """How probable an answer were if nothing rivalled it: of two dogs "the dog" is unsure, and yet there."""
        return self.answer({**features, "margin": np.zeros_like(features["margin"])})

    @property
    def digest(self) -> str:
        """Changes with everything that decides an answer."""
        decides = {name: value for name, value in asdict(self).items() if name != "about"}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str) -> "Calibrator":
        """Read a stored calibrator.

        Args:
            name: Name of the profile that it lies beside.

        Raises:
            UnknownName: If there is none of that name.
        """
        file = FOLDER / f"{name}{SUFFIX}"
        if not file.is_file():
            names = sorted(other.name.removesuffix(SUFFIX) for other in FOLDER.glob(f"*{SUFFIX}"))
            raise UnknownName(f"No calibrator named {name!r}.", f"Available: {', '.join(names)}.")
        return cls.from_json(json.loads(file.read_text(encoding="utf-8")))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Calibrator":
        """Read `to_json`'s values.

        Raises:
            KeyError, TypeError: If they are not such values.
        """
        models = {name: Logistic(**stored[name]) for name in ("look", "answer")}
        return cls(**{**stored, **models})

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
