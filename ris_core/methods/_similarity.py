"""How alike features are, and what share of the whole each has."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def cosine(features: Float[ndarray, "n e"], text: Float[ndarray, "e"]) -> Float[ndarray, "n"]:
    """Cosine similarity of each row with one vector, in [-1, 1]; 0 where either is all zero."""
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(text)
    return np.divide(features @ text, norms, out=np.zeros(len(features)), where=norms > 0)


def softmax(logits: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
    """Shares in [0, 1] that sum to 1, float64."""
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def unit(features: Float[ndarray, "*n e"]) -> Float[ndarray, "*n e"]:
    """Scaled to length 1; zeros stay zeros."""
    norms = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.divide(features, norms, out=np.zeros_like(features), where=norms > 0)
