"""Dataset quantization without a trick: the peers of `greedy_bins`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist


def literal_bins(features: NDArray[np.floating], n_bins: int) -> list[list[int]]:
    """Bins by eq. 1 of Zhao & Chen (2025) as it is written: both sums, for every patch left over, at every pick.

    All pairs of squared distances are held, and the work grows as N^3.
    """
    squared = cdist(features.astype(np.float64), features.astype(np.float64), "sqeuclidean")
    left, bins = np.arange(len(features)), []
    for size in bin_sizes(len(features), n_bins):
        rest, taken = left.copy(), []
        for _ in range(size):
            gains = [squared[x, taken].sum() - squared[x, rest].sum() for x in rest]
            best = int(np.argmax(gains))
            taken.append(int(rest[best]))
            rest = np.delete(rest, best)
        bins.append(taken)
        left = rest
    return bins


def plain_picks(features: NDArray[np.floating], n_bins: int, gain: str, most: int) -> list[int]:
    """The first picks of greedy bins in closed form, one matrix-vector product a pick, in the features' precision.

    With x centred, S the bin, n patches in no earlier bin, their sum c and k = |S|, the gain of x is, up to a
    constant, (2 k - n) |x|^2 + 2 x.c - 4 x.sum(S) for ``sum``, and -x.sum(S) for ``mean`` (its first pick: -|x|^2).
    """
    x = features - features.mean(0)
    squared = np.square(x).sum(1)
    taken, picks = np.zeros(len(x), bool), []
    for size in bin_sizes(len(x), n_bins):
        pool, own = x[~taken].sum(0), np.zeros_like(x[0])
        n = int((~taken).sum())
        for k in range(size):
            if len(picks) == most:
                return picks
            if gain == "sum":
                gains = (2 * k - n) * squared + x @ (2 * pool - 4 * own)
            elif k == 0:
                gains = -squared
            else:
                gains = x @ -own
            gains[taken] = -np.inf
            picks.append(int(gains.argmax()))
            taken[picks[-1]] = True
            own += x[picks[-1]]
    return picks


def bin_sizes(count: int, n_bins: int) -> list[int]:
    """Sizes of bins that differ by at most one, larger ones first."""
    return [count // n_bins + (number < count % n_bins) for number in range(n_bins)]
