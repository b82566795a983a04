"""Compiled loop behind `frugalseg.kernels.quantize`, gain ``mean``, where all products of two patches fit into memory.

Here the gain is linear in x, so a pick adds one row of the Gram matrix to all gains. Its float32 error is bounded; what
the bounds leave open is scored in float64.
"""

import numpy as np
import torch

from frugalseg.kernels._quantize_cpu import (
    _loop,
    add_row,
    assured,
    distance,
    error_rates,
    first_of_bin,
    mean_direction,
    pick_from,
    rounding,
    score,
    sum_rows,
)

#: Rows of the Gram matrix that are multiplied at a time.
GRAM_ROWS = 1024


def gram_matrix(features: torch.Tensor, mean: torch.Tensor) -> np.ndarray:
    """Products of all pairs of centred rows: (N, N) float32, from features (N, D) and their mean (D,)."""
    count = len(features)
    centred = np.empty(features.shape, np.float32)
    gram = np.empty((count, count), np.float32)
    for start in range(0, count, GRAM_ROWS):
        part = slice(start, start + GRAM_ROWS)
        centred[part] = features[part].double() - mean
        # By NumPy: a program may have told PyTorch to multiply float32 in bfloat16.
        gram[part, : start + GRAM_ROWS] = centred[part] @ centred[: start + GRAM_ROWS].T
        gram[:start, part] = gram[part, :start].T
    return gram


@_loop
def add_products(gains, products, factor, radius, drift, base):
    """Add factor times the products with a pick to all gains; return the largest lower end of their error intervals."""
    best = -np.inf
    for row in range(gains.shape[0]):
        gains[row] += factor * products[row]
        best = max(best, gains[row] - drift * radius[row])
    return best - base


@_loop
def greedy_mean(features, mean, squared, following, first, sizes, gram):
    """Fill bins by the rule of the study's public script; returns the rows in the order of their picks.

    The first pick of a bin has the smallest summed distance to all N patches. With k patches in the bin, mean squared
    distance to the bin minus mean squared distance to all is, times k N / 2 and up to a constant, y.v with
    v = k c_all - N c_S; see `mean_direction`.

    Parameters
    ----------
    features, mean, squared, following, first, sizes
        As for `greedy_sum`.
    gram : ndarray, shape (N, N), float32
        From `gram_matrix`.

    Returns
    -------
    ndarray, shape (N,), int64
    """
    count, dimensions = features.shape
    relative = rounding(dimensions)
    # Worst case of a float32 product of two centred rows, relative to their lengths.
    single = (dimensions + 8) * 2.0**-24
    radius = np.sqrt(squared)
    picks = np.empty(count, np.int64)
    live = first.copy()
    gains, scores, rivals = np.empty(count), np.empty(count), np.empty(count, np.int64)
    mean_length = distance(mean, np.zeros(dimensions))
    all_high, all_low = sum_rows(features, mean)
    all_length = distance(all_high, np.zeros(dimensions))
    done = 0
    for size in sizes:
        bin_high, bin_low = np.zeros(dimensions), np.zeros(dimensions)
        # The gains' error is at most base + drift ||y||; it grows with every row of the Gram matrix that is added.
        drift, base, spent = 0.0, 0.0, 0
        for k in range(size):
            if k == 0:
                rows = np.flatnonzero(live)
                pick = first_of_bin(features, mean, squared, radius, rows, scores, all_high, all_low)
                for row in range(count):
                    gains[row] = 0.0 if live[row] else -np.inf
            else:
                high, low = mean_direction(count, k, bin_high, bin_low, all_high, all_low)
                rates = error_rates(
                    relative, 0.0, count * distance(bin_high, np.zeros(dimensions)) + k * all_length, mean_length
                )
                drift += count * single * radius[pick] + all_length
                floor = add_products(gains, gram[pick], -float(count), radius, drift, base)
                found = 0
                for row in range(count):
                    rivals[found] = row
                    found += gains[row] + drift * radius[row] + base >= floor
                spent += found
                score(features, mean, squared, rivals, 0.0, high, scores, found)
                floor = assured(rivals, scores, found, squared, radius, rates)
                pick = pick_from(features, mean, rivals, scores, found, floor, squared, radius, rates, 0.0, high, low)
                if spent > count - done:
                    # As much was scored for want of precision as it takes to restore it.
                    rows = np.flatnonzero(live)
                    score(features, mean, squared, rows, 0.0, high, scores, rows.shape[0])
                    for index in range(rows.shape[0]):
                        gains[rows[index]] = scores[index]
                    drift, base, spent = rates[1], rates[2], 0
            picks[done] = pick
            done += 1
            live[pick] = False
            gain, gains[pick] = gains[pick], -np.inf
            if following[pick] >= 0:
                live[following[pick]] = True
                gains[following[pick]] = gain
            add_row(bin_high, bin_low, features[pick], mean, 1.0)
    return picks
