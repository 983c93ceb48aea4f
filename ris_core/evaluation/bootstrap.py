"""Percentile bootstrap over images: expressions on one image are not independent, images are.

All intervals of a run use the same draws, so that differences between methods are paired.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ris_core.arrays import Array
from ris_core.evaluation.metrics import Ratio

RESAMPLES = 1000
LEVEL = 95
"""Per cent of the draws inside an interval."""


class ConfidenceInterval(NamedTuple):
    """A number with its interval; all three are None if nothing counts. `n` is how many expressions do."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class Bootstrap:
    """The draws of one run.

    Args:
        image: int (S,), the image of each expression, in [0, images).
        images: How many images there are.
        resamples: How many times they are drawn anew.
        seed: Of the draws.
    """

    def __init__(self, image: Int[Array, "s"], images: int, resamples: int = RESAMPLES, seed: int = 0) -> None:
        self._image, self._images = image, images
        rng = np.random.default_rng(seed)
        shares = np.full(images, 1 / max(images, 1))
        self._draws = (
            rng.multinomial(images, shares, resamples).astype(float) if images else None
        )  # (R, G): how often drawn

    def ratio(self, ratio: Ratio) -> ConfidenceInterval:
        """A ratio of sums over expressions."""
        return self._estimate(np.stack(ratio, axis=1), _divide, int(np.count_nonzero(ratio.denominator)))

    def difference(self, one: Ratio, two: Ratio) -> ConfidenceInterval:
        """The first ratio less the second, on the same draws."""
        columns = np.stack([*one, *two], axis=1)
        count = int(np.count_nonzero(one.denominator))
        return self._estimate(columns, lambda sums: _divide(sums[..., :2]) - _divide(sums[..., 2:]), count)

    def statistic(
        self,
        columns: Float[Array, "s c"],
        finish: Callable[[Float[Array, "r c"]], Float[Array, "r"]],
        counts: Bool[Array, "s"],
    ) -> ConfidenceInterval:
        """Anything that is made of sums of columns over the expressions that count."""
        return self._estimate(columns * counts[:, None], finish, int(counts.sum()))

    def _estimate(
        self, columns: Float[Array, "s c"], finish: Callable[[Array], Array], count: int
    ) -> ConfidenceInterval:
        if not count or self._draws is None:
            return ConfidenceInterval(None, None, None, 0)
        per_image = np.stack(
            [np.bincount(self._image, column, minlength=self._images) for column in columns.T], axis=1
        )  # (G, C)
        value = finish(per_image.sum(axis=0, keepdims=True))[0]
        resampled_values = finish(self._draws @ per_image)
        tail = (100 - LEVEL) / 2
        low, high = np.nanpercentile(resampled_values, [tail, 100 - tail])
        return ConfidenceInterval(float(value), float(low), float(high), count)


def _divide(sums: Float[Array, "r 2"]) -> Float[Array, "r"]:
    """NaN where nothing was drawn that counts."""
    ratios: Float[Array, "r"] = np.divide(
        sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] > 0
    )
    return ratios
