"""Pixel values of more than 8 bits as 8 bits, as a person would want to see them.

Cameras of 10 to 14 bits, floats and counts fill a small part of what their type holds: scaled by the type they are black. Such
values are stretched by their own range; others are scaled by their type, as browsers do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ris_core.arrays import Array

SMALL_PART = 0.25
"""Share of a type's range up to which values are stretched; 14 of 16 bits are a quarter."""
OUTLIERS_PERCENT = 0.01
"""Of the values at either end, what may be hot pixels, or mark that nothing was measured."""
_SAMPLES = 1 << 20


@dataclass(frozen=True)
class ContrastLimits:
    """Values that become black and white.

    Attributes:
        is_stretched: They are the values' own, not their type's.
    """

    low: float
    high: float
    is_stretched: bool

    def apply(self, values: Array) -> Array:
        """Values of any shape as uint8; what is not a number is black."""
        scaled = (np.asarray(values, np.float64) - self.low) * (255 / (self.high - self.low))
        if self.is_stretched:
            np.rint(scaled, out=scaled)
        return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255).astype(np.uint8)


def find_limits(chunks: Iterable[Array], tops: Sequence[float], count: int) -> ContrastLimits:
    """What should be black and white.

    Args:
        chunks: All values, in parts.
        tops: What the type holds at most, or may be meant to; the first that no value exceeds is taken, if none is negative.
        count: How many values there are.
    """
    low, high = np.inf, -np.inf
    samples: list[Array] = []
    step = max(1, count // _SAMPLES)
    for chunk in chunks:
        finite = chunk[np.isfinite(chunk)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
            samples.append(finite[::step].copy())  # not a view, which keeps all of it
    if low > high:  # nothing is a number
        return ContrastLimits(0.0, 1.0, is_stretched=False)
    ends = (OUTLIERS_PERCENT, 100 - OUTLIERS_PERCENT)
    inner_low, inner_high = map(float, np.percentile(np.concatenate(samples), ends, method="nearest"))
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if 0 < inner_high - inner_low <= SMALL_PART * (high - low):
        low, high = inner_low, inner_high
    if low == high:  # one value only: there is nothing to be stretched
        return ContrastLimits(0.0, float(top or max(abs(high), 1.0)), is_stretched=False)
    if top is not None and high - low > SMALL_PART * top:
        return ContrastLimits(0.0, float(top), is_stretched=False)
    return ContrastLimits(low, high, is_stretched=True)
