"""Intervals that cover with few seeds: variance components of crossed seeds and test images.

A percentile bootstrap from two to five seeds is far too narrow: it knows no seed but those. Here the variance of a mean
is estimated part by part, and each part is given the t quantile of its own degrees of freedom.
benchmarks/results/coverage.md shows how often either interval holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from frugalseg.statistics.tests import check_fraction, check_same_images, check_values


@dataclass(frozen=True)
class Estimate:
    """A number with the ends of its interval."""

    value: float
    low: float
    high: float


def crossed_mean(values: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of (seeds, images), with an interval for other seeds and other images; of one seed for other images alone."""
    return crossed_contrast([values], [1.0], level=level)


def crossed_difference(values: ArrayLike, others: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of some (seeds, images) less that of others on the same images, with an interval for other seeds and images.

    Paired by image. Seeds count as independent between the two; where one seed gives both something in common, as a
    subset drawn by lot does, the interval is rather too wide.
    """
    return crossed_contrast([values, others], [1.0, -1.0], level=level)


def crossed_contrast(models: Sequence[ArrayLike], coefficients: Sequence[float], *, level: float = 0.95) -> Estimate:
    """A weighted sum of the means of several models on the same images, with an interval for other seeds and images.

    Parameters
    ----------
    models : sequence of array_like
        (seeds, images) of each model; seeds may differ in number, images may not, and are two or more.
    coefficients : sequence of float
        One a model.
    level : float
        Probability the interval is meant to cover, in (0, 1).

    Notes
    -----
    A score is mean + seed + image + residual, crossed. The weighted sum of every image's means over seeds has a variance
    over images which holds images and residual; divided by their number it is the first part, with n - 1 degrees of
    freedom. What seeds add to model k is c_k^2 (MS_seeds - MS_residual) / (S_k n), where positive; these parts share the
    degrees of freedom of Satterthwaite (1946). The quantile is the mean of the two parts' t quantiles, weighed by their
    variances (Cochran & Cox 1950), since Satterthwaite's degrees of freedom for both parts together cover too little
    with two seeds. Scores are skewed: the images' quantiles go through the inverse of the cubic of Hall (1992), with the
    skewness over images.
    """
    check_fraction(level, "level")
    if len(models) != len(coefficients) or not models:
        raise ValueError(f"coefficients: {len(coefficients)} for {len(models)} models; give one for each")
    arrays = [check_values(values, f"model {number}", ("seeds", "images")) for number, values in enumerate(models, 1)]
    for number, array in enumerate(arrays[1:], 2):
        check_same_images(array, arrays[0], f"model {number}", "model 1")
    count = arrays[0].shape[1]
    if count < 2:
        raise ValueError("images: there is one, which shows no spread; give two or more")
    of_images = sum(c * array.mean(axis=0) for c, array in zip(coefficients, arrays, strict=True))
    return _interval([of_images], *_seed_part(arrays, coefficients), level, _rounding(arrays))


def crossed_mean_of_sets(sets: Sequence[ArrayLike], *, level: float = 0.95) -> Estimate:
    """Mean of the means on several sets of images, scored by the same seeds' models, with an interval for others of both.

    Parameters
    ----------
    sets : sequence of array_like
        (seeds, images) of each set; images may differ in number, seeds may not: a seed is the same in all of them. Every
        set counts as much as every other. What is paired, such as two models of a seed, is subtracted before.

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
    seed_part = max(float(of_seeds.var(ddof=1)) - noise, 0.0) / seeds if seeds > 1 else 0.0
    of_images = [array.mean(axis=0) for array in arrays]
    return _interval(of_images, seed_part, max(seeds - 1, 1), level, _rounding(arrays))


def seed_variance(values: NDArray[np.float64]) -> float:
    """Variance that seeds add to their mean scores, in (seeds, images) of two seeds or more; negative by chance."""
    images = values.shape[1]
    return float(values.mean(axis=1).var(ddof=1)) - residual_variance(values) / images


def residual_variance(values: NDArray[np.float64]) -> float:
    """Mean square of what seed and image together leave unexplained, in (seeds, images); 0 of a single seed."""
    seeds, images = values.shape
    if seeds == 1 or images == 1:
        return 0.0
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum()) / ((seeds - 1) * (images - 1))


def _interval(
    of_images: Sequence[NDArray], seed_part: float, seed_freedom: float, level: float, rounding: float
) -> Estimate:
    """The mean over sets of the mean over images, and its interval from the parts of its variance.

    `of_images` is (images,) of each set; `seed_part` the variance that seeds add, with its degrees of freedom.
    """
    value = float(np.mean([values.mean() for values in of_images]))
    parts = [float(values.var(ddof=1)) / len(values) / len(of_images) ** 2 for values in of_images]
    image_part = sum(parts)
    variance = image_part + seed_part
    if variance <= rounding**2:
        return Estimate(value, value, value)
    probability = (1 + level) / 2
    freedom = _satterthwaite(parts, [len(values) - 1 for values in of_images])
    usual = stdtrit(freedom, probability)
    quantile = (image_part * usual + seed_part * stdtrit(seed_freedom, probability)) / variance
    skewness = sum(
        _skewness(values) / np.sqrt(len(values)) * (part / variance) ** 1.5
        for values, part in zip(of_images, parts, strict=True)
    )
    error = np.sqrt(variance)
    # The cubic holds near the usual quantile; that of two seeds, 12.7, lies where it has long turned back.
    stretched = error * quantile / usual
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


def _seed_part(arrays: Sequence[NDArray], coefficients: Sequence[float]) -> tuple[float, float]:
    """Variance that the seeds add to the contrast, and its degrees of freedom by Satterthwaite; (0, 1) if none."""
    parts = [
        (c**2 * max(seed_variance(array), 0.0) / len(array), len(array) - 1)
        for c, array in zip(coefficients, arrays, strict=True)
        if len(array) > 1
    ]
    return sum(part for part, _ in parts), _satterthwaite([part for part, _ in parts], [free for _, free in parts])


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
