"""How alike features are, and what share of the whole each has."""

import numpy as np
from jaxtyping import Float

from ris_core.arrays import Array


def cosine(features: Float[Array, "n e"], text: Float[Array, "e"]) -> Float[Array, "n"]:
    """Cosine similarity of each row with one vector, in [-1, 1]; 0 where either is all zero."""
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(text)
    similarity: Float[Array, "n"] = np.divide(features @ text, norms, out=np.zeros(len(features)), where=norms > 0)
    return similarity


def softmax(logits: Float[Array, "n"]) -> Float[Array, "n"]:
    """Shares in [0, 1] that sum to 1, float64."""
    powers = np.exp(logits - logits.max())
    shares: Float[Array, "n"] = powers / powers.sum()
    return shares


def unit(features: Float[Array, "*n e"]) -> Float[Array, "*n e"]:
    """Scaled to length 1; zeros stay zeros."""
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    units: Float[Array, "*n e"] = np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
    return units
