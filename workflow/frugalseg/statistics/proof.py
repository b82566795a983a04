"""What training says of a width scan: how a score goes with accuracy over caps, and how accuracy spreads."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.statistics.correlation import correlation
from frugalseg.statistics.intervals import Estimate


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
