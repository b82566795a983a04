"""The exact greedy where every pick may reorder all patches.

A pick changes all gains by its row of the Gram matrix, so where this matrix fits into memory they are added up. Its
float32 error is bounded; what the bounds leave open is scored in float64. Without a matrix all that is left over is
scored at every pick.
"""

import numpy as np
import torch
from numba import njit

from frugalseg.kernels._quantize_double import add_row, loop, sum_rows
from frugalseg.kernels._quantize_scores import UNIT, assured, decide, direction, error_rates, length, score

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


# No gain is NaN, so that the maximum vectorises.
@njit(cache=True, nogil=True, fastmath={"nnan", "reassoc", "contract", "nsz"})
def add_products(patches, gains, growth, factor, products, slack, drift):
    """Add growth ||y||^2 + factor y.pick to all gains; return the largest lower end of their error intervals."""
    best = -np.inf
    for row in range(gains.shape[0]):
        gains[row] += growth * patches.squared[row] + factor * products[row]
        best = max(best, gains[row] - (slack * patches.squared[row] + drift * patches.radius[row]))
    return best


@loop
def find_rivals(patches, gains, slack, drift, floor, rivals):
    """Write the rows whose upper ends reach `floor` into `rivals`; return how many there are."""
    found = 0
    for row in range(gains.shape[0]):
        rivals[found] = row
        found += gains[row] + (slack * patches.squared[row] + drift * patches.radius[row]) >= floor
    return found


@loop
def pick_among(patches, rows, found, scores, alpha, vector, rates):
    """The pick among the first `found` of `rows`, scored in float64."""
    score(patches, rows, alpha, vector[0], scores, found)
    floor = assured(patches, rows, scores, found, rates)
    return decide(patches, rows, scores, found, floor, rates, alpha, vector)


@loop
def greedy(patches, sizes, by_sum, gram):
    """Rows (N,) in the order of their picks, for bins of `sizes`; `gram` is of `gram_matrix`, or of shape (0, 0)."""
    count, dimensions = patches.features.shape
    # Worst case of a float32 product of two centred rows, relative to their lengths.
    single = (dimensions + 8) * 2.0**-24
    growth, factor = (2.0, -4.0) if by_sum else (0.0, -float(count))
    live = patches.first.copy()
    picks, rivals = np.empty(count, np.int64), np.empty(count, np.int64)
    gains, scores = np.full(count, -np.inf), np.empty(count)
    whole = sum_rows(patches.features, patches.mean)
    pool = whole.copy()
    # c_all is left out of the change of v under ``mean``.
    left_out = 0.0 if by_sum else length(whole[0])
    done = 0
    for size in sizes:
        own, opened, left = np.zeros((2, dimensions)), pool.copy(), count - done
        # Errors of the gains are at most slack ||y||^2 + drift ||y|| + base and grow with every product that is added.
        slack, drift, base, spent = 0.0, 0.0, 0.0, 0
        for k in range(size):
            alpha, vector, terms = direction(by_sum, count, left, k, whole, opened, own)
            rates = error_rates(patches, alpha, terms)
            # As much was scored for want of precision as it takes to score all.
            if k == 0 or gram.shape[0] == 0 or spent > count - done:
                rows = np.flatnonzero(live)
                pick = pick_among(patches, rows, rows.shape[0], scores, alpha, vector, rates)
                gains[rows] = scores[: rows.shape[0]]
                slack, drift, base, spent = rates[0], rates[1], rates[2], 0
                if k == 0 and not by_sum:
                    # The first pick has a rule of its own; with none in the bin the gains are all zero.
                    gains[rows] = 0.0
                    slack, drift, base = 0.0, 0.0, 0.0
            else:
                added = picks[done - 1]
                # The last terms are the rounding of the sums.
                slack += 4.0 * UNIT * (abs(alpha) + growth)
                drift += abs(factor) * single * patches.radius[added] + left_out + 4.0 * UNIT * terms
                floor = add_products(patches, gains, growth, factor, gram[added], slack, drift) - 2.0 * base
                found = find_rivals(patches, gains, slack, drift, floor, rivals)
                pick = pick_among(patches, rivals, found, scores, alpha, vector, rates)
                spent += found
            picks[done] = pick
            done += 1
            live[pick] = False
            gain, gains[pick] = gains[pick], -np.inf
            if patches.following[pick] >= 0:
                live[patches.following[pick]] = True
                gains[patches.following[pick]] = gain
            add_row(own, patches.features[pick], patches.mean, 1.0)
            add_row(pool, patches.features[pick], patches.mean, -1.0)
    return picks
