"""Compiled scores and decisions behind `frugalseg.kernels.quantize`, which every way to search them shares.

All gains of dataset quantization have one shape. With y = x - m, m any fixed point near the mean feature,

    gain(x) = alpha ||y||^2 + y.v        up to a constant in x,

where the number ``alpha`` and the vector ``v`` depend on the picks so far (`direction`). `score` evaluates it in
float64, `error` bounds its rounding error, and `decide` leaves the rest to double-double arithmetic,
so that ties are true ties, go to the smallest index, and the picks do not depend on the order of summation.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, prange

from frugalseg.kernels._quantize_double import combine, loop, settle

#: Fewer rows than this are scored by one thread: waking the others costs more.
PARALLEL_ROWS = 2048
#: Rows one thread scores before it asks for more.
CHUNK = 128
#: Rounding error of one float64 operation.
UNIT = 2.0**-53

parallel_loop = njit(cache=True, nogil=True, parallel=True)
# Sums may be reordered, so that they vectorise; the bounds on their errors hold in every order.
sum_loop = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


class Patches(NamedTuple):
    """Patches as all compiled loops take them, centred at m."""

    features: np.ndarray  #: (N, D) float32 or float64
    mean: np.ndarray  #: (D,) the centre m
    squared: np.ndarray  #: (N,) ||y||^2
    radius: np.ndarray  #: (N,) ||y||
    following: np.ndarray  #: (N,) the next row equal to each one, or -1
    first: np.ndarray  #: (N,) whether a row is the first of its equals


def centred_patches(features: np.ndarray) -> Patches:
    """Patches of features (N, D), centred at their mean."""
    mean = mean_row(features)
    squared = squared_distances(features, mean)
    return Patches(features, mean, squared, np.sqrt(squared), *chain_copies(features, squared))


@sum_loop
def dot(row, vector):
    """row.vector in float64."""
    total = 0.0
    for d in range(row.shape[0]):
        total += row[d] * vector[d]
    return total


@sum_loop
def four_dots(row0, row1, row2, row3, vector):
    """`dot` of four rows, which share the reading of the vector."""
    total0, total1, total2, total3 = 0.0, 0.0, 0.0, 0.0
    for d in range(vector.shape[0]):
        value = vector[d]
        total0 += row0[d] * value
        total1 += row1[d] * value
        total2 += row2[d] * value
        total3 += row3[d] * value
    return total0, total1, total2, total3


@sum_loop
def squared_distance(row, other):
    """||row - other||^2 in float64."""
    total = 0.0
    for d in range(row.shape[0]):
        difference = np.float64(row[d]) - other[d]
        total += difference * difference
    return total


@loop
def length(vector):
    """||vector||."""
    return np.sqrt(dot(vector, vector))


@loop
def rounding(dimensions):
    """Relative rounding error of `dot` and `squared_distance`, with room for the operations around them."""
    return 2.0 * (dimensions + 16) * UNIT


@loop
def mean_row(features):
    """Mean of the rows, in float64."""
    total = np.zeros(features.shape[1])
    for i in range(features.shape[0]):
        for d in range(features.shape[1]):
            total[d] += features[i, d]
    return total / features.shape[0]


@parallel_loop
def squared_distances(features, point):
    """||x - point||^2 of every row: (N,) float64."""
    count = features.shape[0]
    squared = np.empty(count)
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            squared[i] = squared_distance(features[i], point)
    return squared


@loop
def chain_copies(features, keys):
    """`following` and `first` of `Patches`; `keys` (N,) is equal for equal rows.

    Only the first not yet taken of a chain can be a pick, so the greedy loops never see a row twice.
    """
    following = np.full(keys.shape[0], -1, np.int64)
    first = np.ones(keys.shape[0], np.bool_)
    order = np.argsort(keys, kind="mergesort")
    for position in range(1, order.shape[0]):
        a, b = order[position - 1], order[position]
        if keys[a] == keys[b] and np.all(features[a] == features[b]):
            following[a] = b
            first[b] = False
    return following, first


@loop
def direction(by_sum, count, left, k, whole, pool, own):
    """alpha, v (2, D) and the length of v's terms, at least ||v||, of the next pick.

    ``sum`` (eq. 1): with n the size of the pool and k picks in the bin, alpha = 2k - n and v = 2 c_pool - 4 c_bin.
    ``mean``, first pick: the smallest summed distance to all N patches, alpha = -N and v = 2 c_all. Later picks: mean
    squared distance to the bin minus mean squared distance to all, times k N / 2: alpha = 0, v = k c_all - N c_bin.

    `left` is n; the sums c of all rows, of those left over when the bin was opened, and of those in the bin are
    double-double (2, D).
    """
    if by_sum:
        alpha, a, first, b = 2.0 * k - left, 2.0, pool, -4.0
    elif k == 0:
        alpha, a, first, b = -float(count), 2.0, whole, 0.0
    else:
        alpha, a, first, b = 0.0, float(k), whole, -float(count)
    return alpha, combine(a, first, b, own), a * length(first[0]) - b * length(own[0])


@loop
def score_some(patches, rows, alpha, vector, offset, scores, start, stop):
    """Write the float64 gains of rows[start:stop] into scores[start:stop]."""
    features, squared = patches.features, patches.squared
    position = start
    while position + 4 <= stop:
        a, b, c, d = rows[position], rows[position + 1], rows[position + 2], rows[position + 3]
        dots = four_dots(features[a], features[b], features[c], features[d], vector)
        scores[position] = alpha * squared[a] + (dots[0] - offset)
        scores[position + 1] = alpha * squared[b] + (dots[1] - offset)
        scores[position + 2] = alpha * squared[c] + (dots[2] - offset)
        scores[position + 3] = alpha * squared[d] + (dots[3] - offset)
        position += 4
    for rest in range(position, stop):
        scores[rest] = alpha * squared[rows[rest]] + (dot(features[rows[rest]], vector) - offset)


@parallel_loop
def score_many(patches, rows, alpha, vector, offset, scores, count):
    """`score_some` for the first `count` rows, by all threads."""
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        stop = min(count, (chunk + 1) * CHUNK)
        score_some(patches, rows, alpha, vector, offset, scores, chunk * CHUNK, stop)


@loop
def score(patches, rows, alpha, vector, scores, count):
    """Write alpha ||y||^2 + y.vector of the first `count` rows into `scores`, in float64."""
    # y.vector as x.vector - mean.vector costs the products some digits and saves a third of the time.
    offset = dot(patches.mean, vector)
    if count < PARALLEL_ROWS:
        score_some(patches, rows, alpha, vector, offset, scores, 0, count)
    else:
        score_many(patches, rows, alpha, vector, offset, scores, count)


@loop
def error_rates(patches, alpha, terms):
    """Rounding error of a score as three rates: for ||y||^2, for ||y||, and for every row alike."""
    # |alpha| ||y||^2 + (||x|| + ||m||) ||v|| bounds the terms of `score`, and ||x|| <= ||y|| + ||m||.
    relative = rounding(patches.mean.shape[0])
    return relative * abs(alpha), relative * terms, 2.0 * relative * terms * length(patches.mean)


@loop
def error(patches, rates, row):
    """Bound on the rounding error of one row's score."""
    return rates[0] * patches.squared[row] + rates[1] * patches.radius[row] + rates[2]


@loop
def assured(patches, rows, scores, count, rates):
    """The largest lower end of the scores' error intervals: no row whose upper end lies below can be the pick."""
    best = -np.inf
    for position in range(count):
        best = max(best, scores[position] - error(patches, rates, rows[position]))
    return best


@loop
def decide(patches, rows, scores, count, floor, rates, alpha, vector):
    """The best of scored rows: by the float64 scores where these are clear, else by `settle`."""
    found, pick = 0, -1
    for position in range(count):
        row = rows[position]
        if scores[position] + error(patches, rates, row) >= floor:
            found += 1
            pick = row
    if found == 1:
        return pick
    rivals = np.empty(found, np.int64)
    found = 0
    for position in range(count):
        row = rows[position]
        if scores[position] + error(patches, rates, row) >= floor:
            rivals[found] = row
            found += 1
    return settle(patches.features, patches.mean, alpha, vector, rivals)
