"""Correlation over caps, with a percentile interval from drawing seeds (and caps) anew."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from frugalseg.statistics.intervals import Estimate
from frugalseg.statistics.tests import check_fraction, check_values


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
    score, accuracy : array_like
        (caps, seeds) of the score, and of the training, on the same caps.
    method : {"spearman", "pearson"}
        Of ranks, or of the values.
    resample_caps : bool
        False: the interval is for these caps under other seeds; the seeds of either side are drawn anew, with replacement.
        True: for other caps too, as if these were a sample of widths; wider.

    Returns
    -------
    Estimate
        In [-1, 1]; NaN if either side is the same for all caps. Samples in which it is are left out of the interval.
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
    low, high = np.quantile(drawn_values, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high))


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


def correlations(score: NDArray, accuracy: NDArray, seed: int, draws: int = 2000) -> dict[str, Estimate]:
    """Spearman's and Pearson's correlation of (caps, seeds) twice, with 95 % intervals over seeds.

    NaN where there are fewer than three caps or the score is the same for all of them.
    """
    if len(score) < 3 or np.ptp(score.mean(axis=1)) == 0:
        return dict.fromkeys(("spearman", "pearson"), Estimate(np.nan, np.nan, np.nan))
    return {
        method: correlation(score, accuracy, method, np.random.default_rng(seed), resample_caps=False, draws=draws)
        for method in ("spearman", "pearson")
    }


def spread(runs: pd.DataFrame, metric: str) -> dict[str, float]:
    """Mean of a metric over seeds and images, and the sample standard deviations of the means of either."""
    return {
        metric: float(runs[metric].mean()),
        f"{metric}_std_runs": float(runs.groupby("seed")[metric].mean().std(ddof=1)),
        f"{metric}_std_images": float(runs.groupby("image")[metric].mean().std(ddof=1)),
    }
