"""How certain is a mean, a difference, a correlation: percentile intervals from drawing seeds and images anew.

From few seeds these intervals are too narrow; `frugalseg.statistics.intervals` has such as cover.
Arrays are (seeds, images) or (caps, seeds). A generator is passed in; the same one gives the same interval to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from frugalseg.statistics.tests import check_fraction, check_same_images, check_values


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, low, high : float
        The estimate from all data, and the ends of the interval.
    """

    value: float
    low: float
    high: float


def correlation(
    score: ArrayLike,
    accuracy: ArrayLike,
    method: Literal["spearman", "pearson"],
    generator: np.random.Generator,
    *,
    resample_caps: bool,
    draws: int = 10_000,
    level: float = 0.95,
) -> Estimate:
    """Correlation over the caps between a score and the accuracy after training, each the mean over its seeds.

    Parameters
    ----------
    score : array_like
        (caps, seeds) of the score.
    accuracy : array_like
        (caps, seeds of the training), on the same caps.
    method : {"spearman", "pearson"}
        Of ranks, or of the values.
    generator : np.random.Generator
        Draws the bootstrap samples.
    resample_caps : bool
        What the interval is about. False: these caps under other seeds; the seeds of either side are drawn anew, with
        replacement. True: other caps too, as if these were a sample of widths; wider.
    draws : int
        Number of bootstrap samples.
    level : float
        Probability the percentile interval is meant to cover, in (0, 1).

    Returns
    -------
    Estimate
        In [-1, 1]; NaN if either side is the same for all caps. Samples in which it is are left out of the interval.

    Raises
    ------
    ValueError
        If an array is not (caps, seeds) of finite numbers, the caps differ in number or are fewer than three, or there
        is nothing to draw: one seed on both sides, and no caps drawn.
    """
    score, accuracy = (
        check_values(values, name, ("caps", "seeds")) for values, name in ((score, "score"), (accuracy, "accuracy"))
    )
    if len(score) != len(accuracy) or len(score) < 3:
        raise ValueError(f"score and accuracy: have {len(score)} and {len(accuracy)} caps; give the same three or more")
    if not resample_caps and score.shape[1] == accuracy.shape[1] == 1:
        raise ValueError("score and accuracy: have one seed each, which shows no spread; give more, or resample_caps")
    check_fraction(level, "level")
    # (caps, draws); all arrays of a draw use the same caps, but seeds of the score are not those of the training.
    samples = [_means_over_drawn_seeds(values, draws, generator) for values in (score, accuracy)]
    if resample_caps:
        drawn = generator.integers(len(score), size=samples[0].shape)
        samples = [np.take_along_axis(sample, drawn, axis=0) for sample in samples]
    correlate = _spearman if method == "spearman" else _pearson
    value = float(correlate(*(values.mean(axis=1, keepdims=True) for values in (score, accuracy)))[0])
    drawn_values = correlate(*samples)
    drawn_values = drawn_values[np.isfinite(drawn_values)]
    if np.isnan(value) or len(drawn_values) == 0:
        return Estimate(value, np.nan, np.nan)
    return _with_interval(value, drawn_values, level)


def bootstrap_mean(
    values: ArrayLike, generator: np.random.Generator, *, draws: int = 10_000, level: float = 0.95
) -> Estimate:
    """Mean over seeds and images, with an interval from drawing both anew.

    Parameters
    ----------
    values : array_like
        (seeds, images).
    generator : np.random.Generator
        Draws the bootstrap samples.
    draws : int
        Number of bootstrap samples.
    level : float
        Probability the percentile interval is meant to cover, in (0, 1).

    Returns
    -------
    Estimate
        In the unit of the values. From one seed the interval is that of this seed's model; from two or three it is too
        narrow, as a variance from S draws is short by the factor (S - 1) / S.

    Raises
    ------
    ValueError
        If `values` is not (seeds, images) of finite numbers.

    Notes
    -----
    A sample draws seeds with replacement, then images, the same for all its seeds: seeds and images are crossed, and
    drawing images within each seed would take the difficulty of an image for noise that averages out over seeds (Owen
    2007, The pigeonhole bootstrap).
    """
    values = check_values(values, "values", ("seeds", "images"))
    check_fraction(level, "level")
    seeds, images = (_weights(length, draws, generator) for length in values.shape)
    return _with_interval(float(values.mean()), _weighted_means(values, seeds, images), level)


def bootstrap_difference(
    values: ArrayLike, others: ArrayLike, generator: np.random.Generator, *, draws: int = 10_000, level: float = 0.95
) -> Estimate:
    """Mean of some values less that of others on the same images, with an interval from drawing seeds and images anew.

    Parameters
    ----------
    values, others : array_like
        (seeds, images) each; seeds may differ in number, images may not.
    generator, draws, level
        As of :func:`bootstrap_mean`.

    Returns
    -------
    Estimate
        Above 0 where `values` are larger. Paired: both sides of a sample have the same images, and seeds of their own.

    Raises
    ------
    ValueError
        If an array is not (seeds, images) of finite numbers, or the images differ in number.
    """
    values, others = (
        check_values(array, name, ("seeds", "images")) for array, name in ((values, "values"), (others, "others"))
    )
    check_same_images(values, others, "values", "others")
    check_fraction(level, "level")
    images = _weights(values.shape[1], draws, generator)
    means = (_weighted_means(array, _weights(len(array), draws, generator), images) for array in (values, others))
    return _with_interval(float(values.mean() - others.mean()), np.subtract(*means), level)


def _means_over_drawn_seeds(values: NDArray, draws: int, generator: np.random.Generator) -> NDArray:
    """(caps, seeds) -> (caps, draws)."""
    seeds = values.shape[1]
    return values[:, generator.integers(seeds, size=(draws, seeds))].mean(axis=2)


def _pearson(x: NDArray, y: NDArray) -> NDArray:
    """Correlation along the first axis, (N, draws) twice -> (draws,); NaN where one is constant."""
    constant = (np.ptp(x, axis=0) == 0) | (np.ptp(y, axis=0) == 0)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.where(constant, np.nan, np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0)))
    return np.clip((x * y).sum(axis=0) / norms, -1, 1)


def _spearman(x: NDArray, y: NDArray) -> NDArray:
    return _pearson(rankdata(x, axis=0), rankdata(y, axis=0))


def _weights(length: int, draws: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """(draws, length): how often each is drawn, with replacement, as a fraction."""
    return generator.multinomial(length, np.full(length, 1 / length), size=draws) / length


def _weighted_means(values: NDArray, seeds: NDArray, images: NDArray) -> NDArray:
    """(S, I), (draws, S), (draws, I) -> (draws,)."""
    return ((seeds @ values) * images).sum(axis=1)


def _with_interval(value: float, drawn: NDArray, level: float) -> Estimate:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))
