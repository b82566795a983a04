"""Intervals that cover with few seeds: variance components of crossed seeds and test images.

A percentile bootstrap from two to five seeds is far too narrow: it knows no seed but those. Here the variance of a mean
is estimated part by part. With a `prior`, what seeds add is moderated by the other models of the study, see
`frugalseg.statistics.seed_variance`, and one seed is enough; without, each part is given the t quantile of its own degrees
of freedom. benchmarks/results/coverage.md shows how often either interval holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtri, stdtrit

from frugalseg.statistics.seed_variance import (
    POINTS,
    Expected,
    Prior,
    add_up,
    distance_of_level,
    draw,
    quasi_random,
    residual_variance,
    seed_variance,
    summarise,
)
from frugalseg.statistics.tests import check_fraction, check_same_images, check_values


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SeedPart:
    """Variance that seeds add to a mean: with degrees of freedom, or as equally likely values (POINTS,) of a prior."""

    variance: float
    freedom: float = 1.0
    drawn: NDArray[np.float64] | None = None

    def distance(self, image_part: float, image_freedom: float, level: float) -> float:
        """How far a mean lies from the truth at most with a probability; `image_part` is the variance that images add."""
        if self.drawn is not None:
            # A normal error of unknown variances: that of images is known up to a chi-square.
            of_images = image_part * image_freedom / chdtri(image_freedom, quasi_random(POINTS, 1))
            return distance_of_level(of_images + self.drawn, level)
        variance, probability = image_part + self.variance, (1 + level) / 2
        quantiles = stdtrit([image_freedom, self.freedom], probability)
        quantile = (image_part * quantiles[0] + self.variance * quantiles[1]) / variance
        return float(np.sqrt(variance) * quantile)


class Crossed:
    """Models on the same images, checked, and what their seeds add to any weighted sum of their means."""

    def __init__(self, models: Sequence[ArrayLike], prior: Prior | Sequence[Expected] | None = None) -> None:
        named = [(values, f"model {number}") for number, values in enumerate(models, 1)]
        self.arrays = [check_values(values, name, ("seeds", "images")) for values, name in named]
        for array, (_, name) in zip(self.arrays[1:], named[1:], strict=True):
            check_same_images(array, self.arrays[0], name, "model 1")
        if self.arrays[0].shape[1] < 2:
            raise ValueError("images: there is one, which shows no spread; give two or more")
        self._of_images = [array.mean(axis=0) for array in self.arrays]
        self._expected = [prior.expected(array) for array in self.arrays] if isinstance(prior, Prior) else prior
        if prior is not None:
            self._drawn = [
                draw(each, *summarise(array)[1:], number) / len(array)
                for number, (array, each) in enumerate(zip(self.arrays, self._expected, strict=True), 2)
            ]

    def contrast(self, coefficients: Sequence[float], level: float = 0.95) -> Estimate:
        """A weighted sum of the models' means."""
        return _interval([self._over_images(coefficients)], self.seed_part(coefficients), level, _rounding(self.arrays))

    def seed_part(self, coefficients: Sequence[float]) -> SeedPart:
        """Variance that seeds add to a weighted sum."""
        if self._expected is not None:
            drawn = sum(c**2 * each for c, each in zip(coefficients, self._drawn, strict=True))
            return SeedPart(float(np.median(drawn)), drawn=drawn)
        return self._own_part(coefficients, 0)

    @property
    def images(self) -> int:
        return self.arrays[0].shape[1]

    def image_variance(self, coefficients: Sequence[float]) -> float:
        """Variance of a weighted sum over images."""
        return float(self._over_images(coefficients).var(ddof=1))

    def distance_with(self, coefficients: Sequence[float], more: int, level: float = 0.95) -> float:
        """How far a weighted sum would lie from the truth at most with `more` seeds of each model that vary as these do."""
        part = self._own_part(coefficients, more)
        if self._expected is not None:
            drawn = 0.0
            for number, (c, array, each, known) in enumerate(
                zip(coefficients, self.arrays, self._expected, self._drawn, strict=True), 2
            ):
                residual, seeds = summarise(array)[2], len(array)
                typical = float(np.median(known)) * seeds + residual
                drawn = drawn + c**2 * draw(each, typical, residual, seeds + more, number) / (seeds + more)
            part = SeedPart(float(np.median(drawn)), drawn=drawn)
        return part.distance(self.image_variance(coefficients) / self.images, self.images - 1, level)

    def _over_images(self, coefficients: Sequence[float]) -> NDArray[np.float64]:
        return sum(c * means for c, means in zip(coefficients, self._of_images, strict=True))

    def _own_part(self, coefficients: Sequence[float], more: int) -> SeedPart:
        """By the seeds of each model alone, `more` of them."""
        parts = [
            (c**2 * max(seed_variance(array), 0.0) / (len(array) + more), len(array) + more - 1)
            for c, array in zip(coefficients, self.arrays, strict=True)
            if len(array) > 1
        ]
        variances = [part for part, _ in parts]
        return SeedPart(sum(variances), _satterthwaite(variances, [freedom for _, freedom in parts]))


def crossed_mean(values: ArrayLike, *, prior: Prior | Expected | None = None, level: float = 0.95) -> Estimate:
    """Mean of (seeds, images), with an interval for other seeds and images; of one seed without a prior for images alone."""
    return crossed_contrast([values], [1.0], prior=[prior] if isinstance(prior, Expected) else prior, level=level)


def crossed_difference(
    values: ArrayLike, others: ArrayLike, *, prior: Prior | None = None, level: float = 0.95
) -> Estimate:
    """Mean of some (seeds, images) less that of others on the same images, with an interval for other seeds and images.

    Paired by image. Seeds count as independent between the two; where one seed gives both something in common, as a
    subset drawn by lot does, the interval is rather too wide.
    """
    return crossed_contrast([values, others], [1.0, -1.0], prior=prior, level=level)


def paired_difference(
    values: ArrayLike, others: ArrayLike, *, prior: Prior | None = None, level: float = 0.95
) -> Estimate:
    """The same where a seed is one run of both, as of a model and the one it goes on from: paired by seed and image."""
    values, others = np.asarray(values, dtype=np.float64), np.asarray(others, dtype=np.float64)
    # A model less itself is 0, however much seeds vary.
    known = prior is not None and not np.array_equal(values, others)
    expected = prior.expected_sum([values, others], [1, -1]) if known else None
    return crossed_mean(values - others, prior=expected, level=level)


def crossed_contrast(
    models: Sequence[ArrayLike],
    coefficients: Sequence[float],
    *,
    prior: Prior | Sequence[Expected] | None = None,
    level: float = 0.95,
) -> Estimate:
    """A weighted sum of the means of several models on the same images, with an interval for other seeds and images.

    Parameters
    ----------
    models : sequence of array_like
        (seeds, images) of each model; seeds may differ in number, images may not, and are two or more.
    coefficients : sequence of float
        One a model.
    prior : Prior or sequence of Expected, optional
        Of the seed variances; what is expected of each model, where they are no models themselves.
    level : float
        Probability the interval is meant to cover, in (0, 1).

    Notes
    -----
    A score is mean + seed + image + residual, crossed. The weighted sum of every image's means over seeds has a variance
    over images which holds images and residual; divided by their number it is the first part, with n - 1 degrees of
    freedom. What seeds add to model k is c_k^2 (MS_seeds - MS_residual) / (S_k n), where positive.

    With a prior, the error is a normal one whose variance is the sum of these parts, each as uncertain as it is; the
    quantile is that of the mixture over equally likely values of all of them. Without, the parts of seeds share the degrees
    of freedom of Satterthwaite (1946), and the quantile is the mean of the two parts' t quantiles, weighed by their
    variances (Cochran & Cox 1950), since Satterthwaite's degrees of freedom for both parts together cover too little
    with two seeds. Scores are skewed: the images' quantiles go through the inverse of the cubic of Hall (1992), with the
    skewness over images.
    """
    check_fraction(level, "level")
    if len(models) != len(coefficients) or not models:
        raise ValueError(f"coefficients: {len(coefficients)} for {len(models)} models; give one for each")
    return Crossed(models, prior).contrast(coefficients, level)


def crossed_mean_of_sets(
    sets: Sequence[ArrayLike], *, prior: Sequence[Expected] | None = None, level: float = 0.95
) -> Estimate:
    """Mean of the means on several sets of images, scored by the same seeds' models, with an interval for others of both.

    Parameters
    ----------
    sets : sequence of array_like
        (seeds, images) of each set; images may differ in number, seeds may not: a seed is the same in all of them. Every
        set counts as much as every other. What is paired, such as two models of a seed, is subtracted before.
    prior : sequence of Expected, optional
        What is expected of the seed variance in each set; seeds are taken to move all sets the same way.

    Notes
    -----
    As of :func:`crossed_contrast`. The images of different sets are independent: their parts of the variance, and their
    third cumulants, add up. A seed moves the means of all sets together, so what seeds add is taken from the means over
    sets.
    """
    check_fraction(level, "level")
    arrays = [check_values(values, f"set {number}", ("seeds", "images")) for number, values in enumerate(sets, 1)]
    if not arrays or len({len(array) for array in arrays}) > 1:
        raise ValueError(
            f"sets: have {[len(array) for array in arrays]} seeds; give one set or more, of the same seeds"
        )
    if min(array.shape[1] for array in arrays) < 2:
        raise ValueError("sets: one of them has a single image, which shows no spread; give two or more")
    seeds = len(arrays[0])
    of_seeds = np.mean([array.mean(axis=1) for array in arrays], axis=0)
    noise = sum(residual_variance(array) / array.shape[1] for array in arrays) / len(arrays) ** 2
    variance = float(of_seeds.var(ddof=1)) if seeds > 1 else 0.0
    if prior is None:
        part = SeedPart(max(variance - noise, 0.0) / seeds, max(seeds - 1, 1))
    else:
        expected = add_up(prior, [1 / len(arrays)] * len(arrays), together=True)
        drawn = draw(expected, variance, noise, seeds, 2) / seeds
        part = SeedPart(float(np.median(drawn)), drawn=drawn)
    return _interval([array.mean(axis=0) for array in arrays], part, level, _rounding(arrays))


def _interval(of_images: Sequence[NDArray], seeds: SeedPart, level: float, rounding: float) -> Estimate:
    """The mean over sets of the mean over images, (images,) of each set, and its interval."""
    value = float(np.mean([values.mean() for values in of_images]))
    parts = [float(values.var(ddof=1)) / len(values) / len(of_images) ** 2 for values in of_images]
    variance = sum(parts) + seeds.variance
    if variance <= rounding**2:
        return Estimate(value, value, value)
    freedom = _satterthwaite(parts, [len(values) - 1 for values in of_images])
    usual = stdtrit(freedom, (1 + level) / 2)
    skewness = sum(
        _skewness(values) / np.sqrt(len(values)) * (part / variance) ** 1.5
        for values, part in zip(of_images, parts, strict=True)
    )
    # The cubic holds near the usual quantile; that of two seeds, 12.7, lies where it has long turned back.
    stretched = seeds.distance(sum(parts), freedom, level) / usual
    below, above = (float(stretched * _skewed(end, skewness)) for end in (usual, -usual))
    return Estimate(value, value - below, value - above)


def _rounding(arrays: Sequence[NDArray]) -> float:
    """What rounding leaves of a spread of nothing, at most."""
    return 1e-12 * max(np.abs(array).max() for array in arrays)


def _satterthwaite(parts: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances with their own; 1 where all are 0."""
    total = sum(parts)
    if total == 0:
        return 1.0
    # By shares of the total: the squares of tiny variances would be no numbers any more.
    return 1 / sum((part / total) ** 2 / freedom for part, freedom in zip(parts, freedoms, strict=True))


def _skewness(values: NDArray) -> float:
    """Skewness corrected for the number of values; 0 of two values, or of equal ones."""
    count = len(values)
    centred = values - values.mean()
    variance = float((centred**2).mean())
    if count < 3 or variance <= (1e-12 * np.abs(values).max()) ** 2:
        return 0.0
    return float((centred**3).mean()) / variance**1.5 * np.sqrt(count * (count - 1)) / (count - 2)


def _skewed(quantile: float, skewness: float) -> float:
    """Where a studentised mean of this skewness has the quantile of a symmetric one: the inverse of Hall's cubic."""
    if abs(skewness) < 1e-9:
        return quantile
    return 3 / skewness * (np.cbrt(1 + skewness * (quantile - skewness / 6)) - 1)
