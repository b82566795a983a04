"""How much do seeds vary? The models of a study know it of each other: moderated variances.

Of a model k with S_k seeds, mean score m_k and n test images, v_k is the variance of its seeds' means. Alone, two seeds know
it with one degree of freedom, and one seed does not. But the variances of a study's models are alike (Smyth 2004):

    v_k = sigma_k^2 chi^2(d_k) / d_k,  d_k = S_k - 1           what is seen, given what is true
    log sigma_k^2 = a + b log(m_k (1 - m_k)) + tau z_k         what is true, among the models of a study; z_k is standard normal

b lets the variance depend on the mean, since models that find nothing or everything vary little; it is 0 where scores are not
within [0, 1]. With the probability `OUTLIER` a model belongs to no such family, and its variance is known from its own
seeds alone (as Phipson et al. 2016 give outliers fewer degrees of freedom): models that collapsed do not say how the others
vary. Smyth's sigma_k^2 is inverse chi-square with estimated parameters. Here it is log-normal, whose tail is lighter, and
a, b and tau are as uncertain as the models leave them: a list of equally likely values stands for their posterior (flat in
a, equal on the grid of b, half-normal in tau). So no degrees of freedom are estimated: intervals average over all that is not known.

v_k holds the chance of single images too, the residual's mean square over n. It is measured in each model of two seeds or
more, and taken out there; a model of one seed borrows what is typical, but never more than half of its variance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, erf, gammaln

Array = NDArray[np.float64]

#: Replicated models that a prior takes.
FEWEST = 3
#: Probability that a model's variance is like no other's, and the width of what it may then be, in natural logarithms.
OUTLIER = 0.05
_ANYWHERE = 25.0
#: What b and tau may be; tau is half-normal, since beyond this scale studies tell it anyway.
_TYPICAL = 1.7
_SLOPES = np.array([-0.75, 0.0, 0.75, 1.5, 2.25])
_SPREADS = np.array([0.05, 0.3, 0.6, 0.9, 1.2, 1.6, 2.0, 2.6, 3.2])
#: Values that stand for the posterior, and for everything that an interval averages over.
_POSTERIOR = 200
POINTS = 400
#: Means beyond them count as these: a score of 0 would have no variance at all.
_MEANS = 0.02, 0.98
#: Values of the standard normal z and their probabilities, and of log v - log sigma^2.
_Z = np.linspace(-3.6, 3.6, 25)
_Z_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()
_AWAY = np.arange(-45.0, 12.0, 0.05)
#: Their square roots are irrational to each other.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)


@dataclass(frozen=True)
class Expected:
    """What is expected of a seed variance before its own seeds are asked.

    Attributes
    ----------
    centre, spread : np.ndarray
        (H,) equally likely means and standard deviations of the logarithm of the variance.
    residual : float
        What single images give to that variance, where it is not measured.
    """

    centre: Array
    spread: Array
    residual: float


@dataclass(frozen=True)
class Prior:
    """What the replicated models of one test set and metric say of the seed variance of another model.

    Attributes
    ----------
    level, slope, spread : np.ndarray
        (H,) equally likely values of a, b and tau.
    residual : float
        What single images typically give to the variance of seeds' means.
    models : int
        Replicated models that it rests on.
    """

    level: Array
    slope: Array
    spread: Array
    residual: float
    models: int

    def expected(self, values: Array) -> Expected:
        """Of a model with such scores, (seeds, images)."""
        return Expected(self.level + self.slope * _place(float(np.mean(values))), self.spread, self.residual)

    def expected_sum(self, models: Sequence[Array], weights: Sequence[float], *, together: bool = False) -> Expected:
        """Of a weighted sum of models' scores seed by seed: independent seeds, or `together`, the most they may add up to."""
        return add_up([self.expected(values) for values in models], weights, together=together)


def add_up(parts: Sequence[Expected], weights: Sequence[float], *, together: bool) -> Expected:
    """What is expected of a weighted sum of parts, whose seeds are independent, or `together` go the same way."""
    power = 2 if together else 1
    terms = [
        abs(weight) ** (2 / power) * np.exp(part.centre / power) for part, weight in zip(parts, weights, strict=True)
    ]
    residual = sum(weight**2 * part.residual for part, weight in zip(parts, weights, strict=True))
    return Expected(power * np.log(np.sum(terms, axis=0)), np.max([part.spread for part in parts], axis=0), residual)


def fit_prior(models: Sequence[Array]) -> Prior | None:
    """The prior from the models of a test set and metric, (seeds, images) each; None of too few replicated ones."""
    replicated = [np.asarray(values, dtype=np.float64) for values in models if len(values) > 1]
    summaries = [summarise(values) for values in replicated]
    return prior_of(*(np.array(column) for column in zip(*summaries, strict=True))) if summaries else None


def summarise(values: Array) -> tuple[float, float, float, int]:
    """Mean, variance of the seeds' means, what single images give to it, and seeds, of (seeds, images)."""
    variance = float(values.mean(axis=1).var(ddof=1)) if len(values) > 1 else 0.0
    return float(values.mean()), variance, residual_variance(values) / values.shape[1], len(values)


def prior_of(means: Array, variances: Array, residuals: Array, seeds: Array) -> Prior | None:
    """The prior from (K,) of what :func:`summarise` says of replicated models; None where fewer than three vary."""
    if (variances > 0).sum() < FEWEST:
        return None
    # Those that do not vary at all, such as models that find nothing, are outliers.
    logarithms = np.log(np.maximum(variances, variances.max() * 1e-10))
    places = np.array([_place(mean) for mean in means])
    centre = float(np.median(places))
    levels = np.median(logarithms[variances > 0]) + np.linspace(-6, 6, 49)
    slopes = _SLOPES if means.min() >= 0 and means.max() <= 1 else _SLOPES[1:2]
    away = logarithms[:, None, None] - slopes[:, None] * (places - centre)[:, None, None] - levels
    posterior = np.zeros((len(_SPREADS), len(slopes), len(levels)))
    posterior -= (_SPREADS[:, None, None] / _TYPICAL) ** 2 / 2
    for count in np.unique(seeds):
        for row, spread in enumerate(_SPREADS):
            density = np.interp(away[seeds == count], _AWAY, _density(int(count) - 1, float(spread)))
            posterior[row] += np.log((1 - OUTLIER) * density + OUTLIER / _ANYWHERE).sum(axis=0)
    ends = np.cumsum(np.exp(posterior - posterior.max()))
    drawn = np.searchsorted(ends / ends[-1], quasi_random(_POSTERIOR, 0))
    spread, slope, level = np.unravel_index(np.minimum(drawn, posterior.size - 1), posterior.shape)
    residual = float(np.median(residuals[variances > 0]))
    return Prior(levels[level] - slopes[slope] * centre, slopes[slope], _SPREADS[spread], residual, len(means))


def moderated(
    expected: Expected, variance: float, residual: float, seeds: int, which: NDArray[np.int64], chance: Array
) -> Array:
    """Equally likely variances that seeds add to the score of one seed, given what was expected and what was measured.

    One for each of `which`, numbers of expected values, and `chance`, uniform in (0, 1).
    """
    centre, spread = expected.centre[which], expected.spread[which]
    if seeds == 1:
        whole = np.exp(centre + spread * np.interp(chance, np.cumsum(_Z_WEIGHTS) - _Z_WEIGHTS / 2, _Z))
        return np.maximum(whole - expected.residual, whole / 2)
    if variance <= 0:
        return np.zeros(len(chance))
    likelihood = _Z_WEIGHTS * _log_chi_square(np.log(variance) - centre[:, None] - spread[:, None] * _Z, seeds - 1)
    total = likelihood.sum(axis=1)
    alone = OUTLIER / _ANYWHERE / (OUTLIER / _ANYWHERE + (1 - OUTLIER) * np.maximum(total, 1e-9))
    # The inverse of the distribution of z, straight within each of its steps.
    rows, ends = np.arange(len(chance)), np.cumsum(likelihood, axis=1)
    wanted = np.clip((chance - alone) / (1 - alone), 0, 1) * total
    step = np.minimum((ends < wanted[:, None]).sum(axis=1), len(_Z) - 1)
    part = 1 - (ends[rows, step] - wanted) / np.maximum(likelihood[rows, step], 1e-300)
    z = _Z[step] + (np.clip(part, 0, 1) - 0.5) * (_Z[1] - _Z[0])
    of_own = variance * (seeds - 1) / chdtri(seeds - 1, np.clip(chance / alone, 1e-9, 1 - 1e-9))
    return np.maximum(np.where(chance < alone, of_own, np.exp(centre + spread * z)) - residual, 0)


def draw(expected: Expected, variance: float, residual: float, seeds: int, number: int) -> Array:
    """(POINTS,) equally likely variances that seeds add, see :func:`moderated`; parts of other numbers are independent."""
    which = (quasi_random(POINTS, 0) * len(expected.centre)).astype(int)
    return moderated(expected, variance, residual, seeds, which, quasi_random(POINTS, number))


def distance_of_level(variances: Array, level: float) -> float:
    """How far from 0 a normal value lies at most with a probability, its variance one of some equally likely ones."""
    deviations = np.sqrt(2 * np.maximum(variances, variances.max() * 1e-12))
    return float(brentq(lambda end: erf(end / deviations).mean() - level, 0, 8 * deviations.max(), rtol=1e-6))


def seed_variance(values: Array) -> float:
    """Variance that seeds add to their mean scores, in (seeds, images) of two seeds or more; negative by chance."""
    return float(values.mean(axis=1).var(ddof=1)) - residual_variance(values) / values.shape[1]


def residual_variance(values: Array) -> float:
    """Mean square of what seed and image together leave unexplained, in (seeds, images); 0 of a single seed."""
    seeds, images = values.shape
    if seeds == 1 or images == 1:
        return 0.0
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum()) / ((seeds - 1) * (images - 1))


@lru_cache(maxsize=64)
def quasi_random(points: int, dimension: int) -> Array:
    """(points,) evenly spread numbers in (0, 1), those of dimension 0 growing; dimensions are as good as independent."""
    steps = np.arange(points) + 0.5
    return steps / points if dimension == 0 else (steps * np.sqrt(_PRIMES[(dimension - 1) % len(_PRIMES)])) % 1


@lru_cache(maxsize=256)
def _density(freedom: int, spread: float) -> Array:
    """Density of log v - a - b x over `_AWAY`."""
    return _log_chi_square(_AWAY[:, None] - spread * _Z, freedom) @ _Z_WEIGHTS


def _log_chi_square(away: Array, freedom: int) -> Array:
    """Density of the logarithm of a chi-square over its degrees of freedom."""
    half = freedom / 2
    return np.exp(half * (away + np.log(half)) - half * np.exp(np.minimum(away, 50)) - gammaln(half))


def _place(mean: float) -> float:
    """Where a mean lies between nothing and everything, on the scale of the slope."""
    mean = min(max(mean, _MEANS[0]), _MEANS[1])
    return float(np.log(mean * (1 - mean)))
