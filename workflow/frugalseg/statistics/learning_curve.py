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

from frugalseg.statistics.bootstrap import Estimate
from frugalseg.statistics.curve_draws import score_variances
from frugalseg.statistics.curve_ensemble import Ensemble, fit_ensemble
from frugalseg.statistics.curve_families import CEILING, FAMILIES, FEWEST
from frugalseg.statistics.intervals import crossed_difference
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
    """What twice the amount is expected to bring.

    Attributes
    ----------
    amount : float
        From here, to twice as much.
    score, gain : Estimate
        At twice the amount, and beyond what the curve says at the amount itself.
    """

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
    """The amounts (R,) and scores (R, S, I) of a learning curve as float64.

    Raises
    ------
    ValueError
        If there are fewer than three amounts, they do not grow from above 0, or the scores are not one (seeds, images)
        an amount with two images or more, within [0, 1].
    """
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
    generator : np.random.Generator
    draws : int
        Curves that are drawn and fitted.
    level : float
        Probability that the intervals are meant to cover, in (0, 1).

    Returns
    -------
    Forecast

    Raises
    ------
    ValueError
        As of :func:`check_curve`, or if `margin` or `level` is out of range.
    """
    amounts, values = check_curve(amounts, values)
    if not margin > 0:
        raise ValueError(f"margin: must be above 0, not {margin}; give the gain that is not worth a doubling")
    check_fraction(level, "level")
    ensemble = fit_ensemble(amounts, values, generator, draws)
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
        warnings=(*faults(values), *_doubts(float(amounts[-1]), ensemble, enough, margin)),
    )


def faults(values: NDArray[np.float64]) -> tuple[Fault, ...]:
    """What is not well behaved in a curve as it was measured, before anything is fitted.

    Parameters
    ----------
    values : np.ndarray
        (R, S, I), see :func:`forecast`.

    Returns
    -------
    tuple of str
        "nothing learnt": all scores at the largest amount are 0. "few amounts": fewer than 4, so no family can
        be told from another. "one seed": how much a training varies is not known. "not rising": the largest
        amount is not shown to be better than the smallest. "falls": some amount is shown to be worse than the
        one before it. "noisy": the standard error of a score is larger than a third of the rise from the
        smallest amount to the largest.
    """
    found: list[Fault] = []
    if not values[-1].any():
        found.append("nothing learnt")
    if len(values) <= FEWEST:
        found.append("few amounts")
    if values.shape[1] == 1:
        found.append("one seed")
    if crossed_difference(values[-1], values[0]).low <= 0:
        found.append("not rising")
    # All neighbours together are right in 95 of 100 curves.
    level = 1 - 0.05 / (len(values) - 1)
    if any(crossed_difference(*pair, level=level).high < 0 for pair in zip(values[1:], values[:-1], strict=True)):
        found.append("falls")
    means = values.mean(axis=(1, 2))
    if np.sqrt(score_variances(values)).mean() > (means[-1] - means[0]) / 3:
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


def _estimate(value: float, sample: NDArray, level: float) -> Estimate:
    low, high = np.quantile(sample, _tails(level))
    return Estimate(float(value), float(low), float(high))


def _tails(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]
