"""The exact greedy for the gain ``mean`` where all products of two patches fit into memory.

Here the gain is linear in x, so a pick adds one row of the Gram matrix to all gains. Its float32 error is bounded; what
the bounds leave open is scored in float64.
"""

import numpy as np
import torch

from frugalseg.kernels._quantize_double import add_row, loop, sum_rows
from frugalseg.kernels._quantize_scores import assured, decide, direction, error_rates, length, score

#: Rows of the Gram matrix that are multiplied at a time.
GRAM_ROWS = 1024


def gram_matrix(features: torch.Tensor, mean: np.ndarray) -> np.ndarray:
    """Products of all pairs of centred rows: (N, N) float32, from features (N, D) and their mean (D,) in float64."""
    count = len(features)
    centred = np.empty(features.shape, np.float32)
    gram = np.empty((count, count), np.float32)
    for start in range(0, count, GRAM_ROWS):
        part = slice(start, start + GRAM_ROWS)
        centred[part] = features[part].double() - torch.from_numpy(mean)
        # By NumPy: a program may have told PyTorch to multiply float32 in bfloat16.
        gram[part, : start + GRAM_ROWS] = centred[part] @ centred[: start + GRAM_ROWS].T
        gram[:start, part] = gram[part, :start].T
    return gram


@loop
def add_products(gains, products, factor, radius, drift, base):
    """Add factor times the products with a pick to all gains; return the largest lower end of their error intervals."""
    best = -np.inf
    for row in range(gains.shape[0]):
        gains[row] += factor * products[row]
        best = max(best, gains[row] - drift * radius[row])
    return best - base


@loop
def find_rivals(gains, radius, drift, floor, rivals):
    """Write the rows whose gain, of error drift ||y||, may reach `floor` into `rivals`; return how many there are."""
    found = 0
    for row in range(gains.shape[0]):
        rivals[found] = row
        found += gains[row] + drift * radius[row] >= floor
    return found


@loop
def pick_among(patches, rows, found, scores, alpha, vector, terms):
    """The pick among the first `found` of `rows`, scored in float64."""
    rates = error_rates(patches, alpha, terms)
    score(patches, rows, alpha, vector[0], scores, found)
    floor = assured(patches, rows, scores, found, rates)
    return decide(patches, rows, scores, found, floor, rates, alpha, vector)


@loop
def restore(patches, live, gains, scores, vector, terms):
    """Compute the gains of all live rows in float64; return their errors: a rate for ||y||, and one for all alike."""
    rows = np.flatnonzero(live)
    score(patches, rows, 0.0, vector[0], scores, rows.shape[0])
    for index in range(rows.shape[0]):
        gains[rows[index]] = scores[index]
    rates = error_rates(patches, 0.0, terms)
    return rates[1], rates[2]


@loop
def greedy_mean(patches, sizes, gram):
    """Fill bins by the rule of the study's public script.

    Parameters
    ----------
    patches : Patches
    sizes : ndarray of int64
        Sizes of the bins; they add up to N.
    gram : ndarray, shape (N, N), float32
        From `gram_matrix`.

    Returns
    -------
    ndarray, shape (N,), int64
        Rows in the order of their picks.
    """
    count, dimensions = patches.features.shape
    # Worst case of a float32 product of two centred rows, relative to their lengths.
    single = (dimensions + 8) * 2.0**-24
    live = patches.first.copy()
    picks, rivals = np.empty(count, np.int64), np.empty(count, np.int64)
    gains, scores = np.empty(count), np.empty(count)
    whole = sum_rows(patches.features, patches.mean)
    whole_length = length(whole[0])
    done = 0
    for size in sizes:
        own = np.zeros((2, dimensions))
        # The gains' error is at most base + drift ||y||; it grows with every row of the Gram matrix that is added.
        drift, base, spent = 0.0, 0.0, 0
        for k in range(size):
            alpha, vector, terms = direction(False, count, count - done, k, whole, whole, own)
            if k == 0:
                rows = np.flatnonzero(live)
                pick = pick_among(patches, rows, rows.shape[0], scores, alpha, vector, terms)
                # No pick, no direction: v = 0.
                gains[:] = np.where(live, 0.0, -np.inf)
            else:
                drift += count * single * patches.radius[picks[done - 1]] + whole_length
                floor = add_products(gains, gram[picks[done - 1]], -float(count), patches.radius, drift, base)
                found = find_rivals(gains, patches.radius, drift, floor - base, rivals)
                pick = pick_among(patches, rivals, found, scores, alpha, vector, terms)
                spent += found
                if spent > count - done:
                    # As much was scored for want of precision as it takes to restore it.
                    drift, base = restore(patches, live, gains, scores, vector, terms)
                    spent = 0
            picks[done] = pick
            done += 1
            live[pick] = False
            gain, gains[pick] = gains[pick], -np.inf
            if patches.following[pick] >= 0:
                live[patches.following[pick]] = True
                gains[patches.following[pick]] = gain
            add_row(own, patches.features[pick], patches.mean, 1.0)
    return picks
