"""A learning curve in one number: the area under it, and the amount that brings almost all of the full score."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.statistics.bootstrap import Estimate
from frugalseg.statistics.curve_draws import draw_curves
from frugalseg.statistics.intervals import crossed_mean
from frugalseg.statistics.learning_curve import check_curve
from frugalseg.statistics.tests import check_fraction


def area_under_curve(amounts: ArrayLike, values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean score over the logarithm of the amount, from the smallest to the largest: one number for a whole curve.

    Parameters
    ----------
    amounts : array_like
        (R,), growing.
    values : array_like
        (R, S, I): scores in [0, 1] for every seed on the same test images. A seed is taken as one run through all
        amounts: subsets drawn by lot grow with the amount and have it in common.
    level : float
        Probability the interval is meant to cover, in (0, 1).

    Returns
    -------
    Estimate
        In [0, 1], by the trapezoidal rule; the interval is that of `frugalseg.statistics.intervals.crossed_mean`.

    Raises
    ------
    ValueError
        As of `frugalseg.statistics.learning_curve.check_curve`.
    """
    amounts, values = check_curve(amounts, values)
    steps = np.diff(np.log(amounts))
    weights = (np.append(steps, 0) + np.append(0, steps)) / (2 * steps.sum())
    return crossed_mean(np.tensordot(weights, values, axes=1), level=level)


def amount_to_reach(
    amounts: ArrayLike,
    values: ArrayLike,
    generator: np.random.Generator,
    *,
    share: float = 0.95,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """The smallest amount that brings a share of the score of the largest.

    Parameters
    ----------
    amounts, values
        As of :func:`area_under_curve`.
    generator : np.random.Generator
        Draws seeds and images anew, see `frugalseg.statistics.curve_draws.draw_curves`.
    share : float
        Of the mean score at the largest amount, in (0, 1).
    draws : int
        Curves that are drawn.
    level : float
        Probability the interval is meant to cover, in (0, 1).

    Returns
    -------
    Estimate
        Between the smallest amount, where that is enough already, and the largest. Between two amounts the curve is a
        straight line over the logarithm.

    Raises
    ------
    ValueError
        As of :func:`area_under_curve`, or if `share` or `level` is out of range.
    """
    amounts, values = check_curve(amounts, values)
    check_fraction(share, "share")
    check_fraction(level, "level")
    value = _first_reached(amounts, values.mean(axis=(1, 2))[None], share)[0]
    sample = _first_reached(amounts, draw_curves(values, generator, draws), share)
    low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(value), float(low), float(high))


def _first_reached(amounts: NDArray, curves: NDArray, share: float) -> NDArray:
    """(R,), (D, R) -> (D,): where each curve first reaches a share of its last value."""
    targets = share * curves[:, -1]
    first = (curves >= targets[:, None]).argmax(axis=1)
    rows, before = np.arange(len(curves)), np.maximum(first - 1, 0)
    low, high = curves[rows, before], curves[rows, first]
    part = np.where(high > low, (targets - low) / np.where(high > low, high - low, 1), 0)
    logarithms = np.log(amounts)
    reached = np.exp(logarithms[before] + part * (logarithms[first] - logarithms[before]))
    # Exponentials of logarithms are off by a bit; the first amount stays what it is.
    return np.where(first == 0, amounts[0], reached)
