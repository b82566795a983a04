"""How many more? What the next doubling of the annotated images is expected to bring, and from where on it brings little.

No single family of curves is trusted: several are fitted, and each counts as much as it foresees the larger amounts of
the curve from the smaller ones. The interval comes from drawing seeds and test images anew and going through the whole
fit, with the choice of the family as uncertain as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from frugalseg.statistics.curve_draws import draw_curves, score_variances
from frugalseg.statistics.curve_fits import CEILING, FAMILIES, FEWEST, Ensemble, fit_ensemble
from frugalseg.statistics.intervals import Estimate, crossed_difference, crossed_mean
from frugalseg.statistics.seed_variance import Prior
from frugalseg.statistics.tests import check_fraction

Fault = Literal["nothing learnt", "few amounts", "one seed", "not rising", "falls", "noisy", "families disagree", "far"]
Outlook = Literal["enough", "rising", "undecided"]

#: How far curves are followed beyond the largest amount, and how many amounts of it are looked at.
_BEYOND = 8
_STEPS = 240
#: Weight from which on a family has a say in whether families disagree.
_WEIGHTY = 0.1


@dataclass(frozen=True)
class Doubling:
    """What twice the amount is expected to bring: the score there, and its gain over the curve at the amount itself."""

    amount: float
    score: Estimate
    gain: Estimate


@dataclass(frozen=True)
class Forecast:
    """A learning curve and where it leads.

    Attributes
    ----------
    doubling : Doubling
        Of the largest amount.
    enough : Estimate
        The amount beyond which no further doubling brings the margin: the smallest amount where it holds from there on,
        infinite where it is beyond `followed`.
    followed : float
        Amount up to which the curves were followed, eight times the largest.
    outlook : {"enough", "rising", "undecided"}
        Whether the next doubling brings less than the margin, or at least it, or the interval has both.
    weights : mapping of str to float
        Family -> its weight.
    grid : np.ndarray
        (X,) amounts from the smallest to twice the largest.
    curve, low, high : np.ndarray
        (X,) the weighed curve and the ends of its pointwise intervals.
    warnings : tuple of str
        What is not well behaved: see :func:`faults`; "families disagree" where those of some weight differ in the gain by
        more than the margin; "far" where `enough` may be beyond twice the largest amount.
    """

    doubling: Doubling
    enough: Estimate
    followed: float
    outlook: Outlook
    weights: Mapping[str, float]
    grid: NDArray
    curve: NDArray
    low: NDArray
    high: NDArray
    warnings: tuple[Fault, ...]


def check_curve(amounts: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Amounts (R,) and scores (R, S, I) as float64; ValueError unless three amounts or more grow and scores are in [0, 1]."""
    amounts, values = np.asarray(amounts, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if amounts.ndim != 1 or len(amounts) < FEWEST:
        raise ValueError(
            f"amounts: must be a list of {FEWEST} or more, not of shape {amounts.shape}; train at more rates"
        )
    if amounts[0] <= 0 or (np.diff(amounts) <= 0).any():
        raise ValueError(f"amounts: must grow, from above 0, not {amounts.tolist()}")
    if values.ndim != 3 or len(values) != len(amounts) or values.shape[1] == 0 or values.shape[2] < 2:
        raise ValueError(
            f"values: must be ({len(amounts)} amounts, seeds, two images or more), not of shape {values.shape}"
        )
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= CEILING):
        raise ValueError("values: must be scores from 0 to 1, of which larger is better; a distance has no such curve")
    return amounts, values


def forecast(
    amounts: ArrayLike,
    values: ArrayLike,
    margin: float,
    generator: np.random.Generator,
    *,
    prior: Prior | None = None,
    draws: int = 2000,
    level: float = 0.95,
) -> Forecast:
    """Foresee what more of the same data would bring.

    Parameters
    ----------
    amounts : array_like
        (R,), growing: annotated images, or instances, of which a model learnt.
    values : array_like
        (R, S, I): its scores in [0, 1], for every seed, on the same test images.
    margin : float
        The gain that is not worth a doubling, above 0, in the unit of the score.
    prior : Prior, optional
        Of the seed variances.
    draws : int
        Curves that are drawn and fitted.
    """
    amounts, values = check_curve(amounts, values)
    if not margin > 0:
        raise ValueError(f"margin: must be above 0, not {margin}; give the gain that is not worth a doubling")
    check_fraction(level, "level")
    ensemble = fit_ensemble(amounts, values, generator, draws, prior)
    doubling = _doubling(float(amounts[-1]), ensemble, level)
    enough = _enough(amounts, ensemble, margin, level)
    grid = np.geomspace(amounts[0], 2 * amounts[-1], _STEPS)
    low, high = np.quantile(ensemble.drawn(grid), _tails(level), axis=0)
    return Forecast(
        doubling=doubling,
        enough=enough,
        followed=_BEYOND * float(amounts[-1]),
        outlook=_outlook(doubling.gain, margin),
        weights=dict(zip(FAMILIES, ensemble.weights.tolist(), strict=True)),
        grid=grid,
        curve=ensemble.mean(grid),
        low=low,
        high=high,
        warnings=(*faults(values, prior), *_doubts(float(amounts[-1]), ensemble, enough, margin)),
    )


def area_under_curve(
    amounts: ArrayLike, values: ArrayLike, *, prior: Prior | None = None, level: float = 0.95
) -> Estimate:
    """Mean score over the logarithm of the amount, from the smallest to the largest: one number for a whole curve.

    By the trapezoidal rule. A seed is taken as one run through all amounts: subsets drawn by lot grow with the amount
    and have it in common.
    """
    amounts, values = check_curve(amounts, values)
    steps = np.diff(np.log(amounts))
    weights = (np.append(steps, 0) + np.append(0, steps)) / (2 * steps.sum())
    expected = prior.expected_sum(values, weights, together=True) if prior is not None else None
    return crossed_mean(np.tensordot(weights, values, axes=1), prior=expected, level=level)


def amount_to_reach(
    amounts: ArrayLike,
    values: ArrayLike,
    generator: np.random.Generator,
    *,
    share: float = 0.95,
    prior: Prior | None = None,
    draws: int = 2000,
    level: float = 0.95,
) -> Estimate:
    """The smallest amount that brings a share of the score of the largest; between two amounts straight over the logarithm."""
    amounts, values = check_curve(amounts, values)
    check_fraction(share, "share")
    check_fraction(level, "level")
    value = _first_reached(amounts, values.mean(axis=(1, 2))[None], share)[0]
    sample = _first_reached(amounts, draw_curves(values, generator, draws, prior), share)
    return _estimate(value, sample, level)


def faults(values: NDArray[np.float64], prior: Prior | None = None) -> tuple[Fault, ...]:
    """What is not well behaved in a curve (R, S, I) as it was measured, before anything is fitted.

    "nothing learnt": all scores at the largest amount are 0. "few amounts": fewer than 4, so no family can be told from
    another. "one seed": how much a training varies is not known, from other models neither. "not rising": the largest
    amount is not shown to be better than the smallest. "falls": some amount is shown to be worse than the one before it.
    "noisy": the standard error of a score is larger than a third of the rise from the smallest amount to the largest.
    """
    found: list[Fault] = []
    if not values[-1].any():
        found.append("nothing learnt")
    if len(values) <= FEWEST:
        found.append("few amounts")
    if values.shape[1] == 1 and prior is None:
        found.append("one seed")
    if crossed_difference(values[-1], values[0], prior=prior).low <= 0:
        found.append("not rising")
    # All neighbours together are right in 95 of 100 curves.
    level = 1 - 0.05 / (len(values) - 1)
    neighbours = zip(values[1:], values[:-1], strict=True)
    if any(crossed_difference(*pair, prior=prior, level=level).high < 0 for pair in neighbours):
        found.append("falls")
    means = values.mean(axis=(1, 2))
    if np.sqrt(score_variances(values, prior)).mean() > (means[-1] - means[0]) / 3:
        found.append("noisy")
    return tuple(found)


def _doubts(amount: float, ensemble: Ensemble, enough: Estimate, margin: float) -> Iterator[Fault]:
    """What makes a forecast from the largest amount doubtful, beside the faults of the curve itself."""
    scores = ensemble.by_family(np.array([amount, 2 * amount]))[ensemble.weights >= _WEIGHTY]
    if np.ptp(scores[:, 1] - scores[:, 0]) > margin:
        yield "families disagree"
    if enough.high > 2 * amount:
        yield "far"


def _doubling(amount: float, ensemble: Ensemble, level: float) -> Doubling:
    """What twice the amount brings."""
    ends = np.array([amount, 2 * amount])
    now, twice = ensemble.mean(ends)
    drawn = ensemble.drawn(ends)
    score = _estimate(twice, drawn[:, 1], level)
    return Doubling(amount, score, _estimate(twice - now, drawn[:, 1] - drawn[:, 0], level))


def _outlook(gain: Estimate, margin: float) -> Outlook:
    if gain.high < margin:
        return "enough"
    return "rising" if gain.low >= margin else "undecided"


def _enough(amounts: NDArray, ensemble: Ensemble, margin: float, level: float) -> Estimate:
    """The amount beyond which no doubling brings the margin."""
    grid = np.geomspace(amounts[0], _BEYOND * amounts[-1], _STEPS)

    def smallest(at_once: NDArray, at_twice: NDArray) -> NDArray:
        worth_it = at_twice - at_once >= margin
        # Beyond the last amount whose doubling is still worth it; the smallest amount where none is.
        last = len(grid) - 1 - worth_it[:, ::-1].argmax(axis=1)
        following = np.where(worth_it.any(axis=1), last + 1, 0)
        return np.append(grid, np.inf)[following]

    value = smallest(ensemble.mean(grid)[None], ensemble.mean(2 * grid)[None])[0]
    sample = smallest(ensemble.drawn(grid), ensemble.drawn(2 * grid))
    # Of infinite values no quantile can be interpolated.
    low, high = np.quantile(sample, _tails(level), method="closest_observation")
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


def _estimate(value: float, sample: NDArray, level: float) -> Estimate:
    low, high = np.quantile(sample, _tails(level))
    return Estimate(float(value), float(low), float(high))


def _tails(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]
