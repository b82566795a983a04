"""Intervals of ratios of mean scores, and of differences between two estimates, for other seeds and other images.

A share of what was lost is no mean of shares: an image on which little was lost would outweigh all others. It is the
ratio of two means, and its interval follows from that of a difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from numpy.typing import ArrayLike
from scipy.optimize import brentq

from frugalseg.statistics.intervals import Crossed, Estimate
from frugalseg.statistics.seed_variance import Prior

# An end that so many steps, each twice the one before, do not reach is infinite.
_DOUBLINGS = 40


def crossed_ratio(
    models: Sequence[ArrayLike],
    numerator: Sequence[float],
    denominator: Sequence[float],
    *,
    prior: Prior | None = None,
    level: float = 0.95,
) -> Estimate:
    """Ratio of two weighted sums of the means of models on the same images, with an interval for other seeds and images.

    Parameters
    ----------
    models : sequence of array_like
        (seeds, images) of each model; seeds may differ in number, images may not.
    numerator, denominator : sequence of float
        The weights, one a model each.
    prior : Prior, optional
        Of the seed variances.

    Returns
    -------
    Estimate
        NaN where the denominator is not above 0; its ends are infinite where the interval of the denominator reaches 0,
        since then any ratio may be true.

    Notes
    -----
    The interval holds every ratio r for which numerator - r denominator may be 0, by the interval of that contrast
    (Fieller 1954). It is paired by image as that is, and knows few seeds for what they are.
    """
    crossed = Crossed(models, prior)
    above, below = (crossed.contrast(weights, level) for weights in (numerator, denominator))
    if below.value <= 0:
        return Estimate(math.nan, math.nan, math.nan)
    value = above.value / below.value
    if below.low <= 0:
        return Estimate(value, -math.inf, math.inf)

    def rest(ratio: float) -> Estimate:
        weights = [n - ratio * d for n, d in zip(numerator, denominator, strict=True)]
        return crossed.contrast(weights, level)

    low = _last_possible(lambda ratio: rest(ratio).low, value, -1)
    high = _last_possible(lambda ratio: -rest(ratio).high, value, 1)
    return Estimate(value, low, high)


def independent_difference(first: Estimate, second: Estimate) -> Estimate:
    """Difference of two estimates from different images and models; infinite ends stay infinite, and NaN stays NaN.

    The distances of either estimate to its ends stand for its error on that side and add up as squares (MOVER; Zou &
    Donner 2008).
    """
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)


def _last_possible(beyond: Callable[[float], float], start: float, direction: int) -> float:
    """The last value from `start` in a direction at which `beyond` is not above 0; infinite if there is none."""
    if beyond(start) > 0:
        # Without any spread only the start is possible, and rounding moves it.
        return start
    step, inside = 0.01 * max(abs(start), 1.0), start
    for _ in range(_DOUBLINGS):
        outside = start + direction * step
        if beyond(outside) > 0:
            return float(brentq(beyond, inside, outside, xtol=1e-9))
        inside, step = outside, 2 * step
    return direction * math.inf
