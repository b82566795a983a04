"""Compiled loops behind `frugalseg.kernels.quantize`: what both gains share, and the lazy greedy for ``sum``.

Both gains of dataset quantization have one shape. With y = x - m, m any fixed point near the mean feature,

    gain(x) = alpha ||y||^2 + y.v        up to a constant in x,

where the number ``alpha`` and the vector ``v`` depend on the picks so far. `offer` evaluates it in float64 with a
bound on its rounding error; `settle` decides in double-double arithmetic what that bound leaves open, so that ties
are true ties, go to the smallest index, and the picks do not depend on the order of summation.
"""

import numpy as np
from numba import njit, prange

#: Outsiders of similar norm share one Cauchy-Schwarz bound.
BUCKETS = 128
#: Tiers of candidates below the pool: each refreshes the next, the last is scored at every pick.
TIERS = 2
#: Fewer rows than this are scored by one thread: waking the others costs more.
PARALLEL_ROWS = 16384
#: Rows one thread scores before it asks for more.
CHUNK = 128
#: Two double-double gains closer than this part of their terms are a tie; double-double carries 2^-104.
TIE = 2.0**-88
#: Rounding error of one float64 operation.
UNIT = 2.0**-53

_loop = njit(cache=True, nogil=True)
_parallel_loop = njit(cache=True, nogil=True, parallel=True)
# Sums may be reordered, so that they vectorise; `rounding` bounds every order.
_sum_loop = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_sum_loop
def dot(row, vector):
    """row.vector in float64."""
    total = 0.0
    for d in range(row.shape[0]):
        total += row[d] * vector[d]
    return total


@_sum_loop
def squared_distance(row, other):
    """||row - other||^2 in float64."""
    total = 0.0
    for d in range(row.shape[0]):
        difference = np.float64(row[d]) - other[d]
        total += difference * difference
    return total


@_sum_loop
def distance(a, b):
    """||a - b|| of two vectors."""
    total = 0.0
    for d in range(a.shape[0]):
        difference = a[d] - b[d]
        total += difference * difference
    return np.sqrt(total)


@_loop
def rounding(dimensions):
    """Relative rounding error of `dot` and `squared_distance`, with room for the operations around them."""
    return 2.0 * (dimensions + 16) * UNIT


@_loop
def mean_row(features):
    """Mean of the rows, in float64."""
    total = np.zeros(features.shape[1])
    for i in range(features.shape[0]):
        for d in range(features.shape[1]):
            total[d] += features[i, d]
    return total / features.shape[0]


@_parallel_loop
def many_squared_distances(features, point):
    """`squared_distances` by all threads."""
    count = features.shape[0]
    squared = np.empty(count)
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        for i in range(chunk * CHUNK, min(count, (chunk + 1) * CHUNK)):
            squared[i] = squared_distance(features[i], point)
    return squared


@_loop
def squared_distances(features, point):
    """||x - point||^2 of every row: (N,) float64."""
    if features.shape[0] >= PARALLEL_ROWS:
        return many_squared_distances(features, point)
    squared = np.empty(features.shape[0])
    for i in range(features.shape[0]):
        squared[i] = squared_distance(features[i], point)
    return squared


@_loop
def chain_copies(features, keys):
    """Chain equal rows by index.

    `keys` (N,) is equal for equal rows. Returns the next row equal to each one, or -1, and whether a row is the first
    of its chain. Only the first not yet taken of a chain can be a pick, so the greedy loops never see a row twice.
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


@_loop
def two_sum(a, b):
    """a + b as an unevaluated sum of the float64 result and its exact error."""
    total = a + b
    shifted = total - a
    return total, (a - (total - shifted)) + (b - shifted)


@_loop
def two_product(a, b):
    """a * b as an unevaluated sum of the float64 result and its exact error (Dekker, Veltkamp)."""
    product = a * b
    scaled = 134217729.0 * a
    a_high = scaled - (scaled - a)
    a_low = a - a_high
    scaled = 134217729.0 * b
    b_high = scaled - (scaled - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@_loop
def add_row(high, low, row, mean, factor):
    """Add factor (row - mean) to the double-double vector (high, low), in place; factor is a power of two."""
    for d in range(row.shape[0]):
        y, y_error = two_sum(np.float64(row[d]), -mean[d])
        total, error = two_sum(high[d], factor * y)
        error += low[d] + factor * y_error
        high[d] = total + error
        low[d] = error - (high[d] - total)


@_loop
def sum_rows(features, mean):
    """Sum of all centred rows as a double-double vector."""
    high, low = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for i in range(features.shape[0]):
        add_row(high, low, features[i], mean, 1.0)
    return high, low


@_loop
def settle(features, mean, alpha, high, low, rivals):
    """The one of the rows `rivals` with the largest gain, ties to the smallest index.

    Parameters
    ----------
    alpha : float
        Factor of ||y||^2.
    high, low : ndarray, shape (D,)
        The vector v as double-double.
    rivals : ndarray of int64
        Rows that float64 cannot tell apart.
    """
    gains, errors, slack = np.zeros(rivals.shape[0]), np.zeros(rivals.shape[0]), 0.0
    for r in range(rivals.shape[0]):
        row = features[rivals[r]]
        gain, gain_error, terms = 0.0, 0.0, 0.0
        for d in range(row.shape[0]):
            # One term is y (alpha y + v).
            y, y_error = two_sum(np.float64(row[d]), -mean[d])
            scaled, scaled_error = two_product(alpha, y)
            factor, factor_error = two_sum(scaled, high[d])
            factor_error += scaled_error + alpha * y_error + low[d]
            term, term_error = two_product(y, factor)
            term_error += y * factor_error + y_error * factor
            terms += abs(y) * (abs(scaled) + abs(high[d]))
            gain, error = two_sum(gain, term)
            gain_error += error + term_error
        gains[r], errors[r] = two_sum(gain, gain_error)
        slack = max(slack, TIE * terms)
    best = 0
    for r in range(1, rivals.shape[0]):
        if (gains[r] - gains[best]) + (errors[r] - errors[best]) > 0.0:
            best = r
    winner = rivals[best]
    for r in range(rivals.shape[0]):
        if (gains[best] - gains[r]) + (errors[best] - errors[r]) <= slack:
            winner = min(winner, rivals[r])
    return winner


@_loop
def score_some(features, squared, rows, alpha, vector, offset, scores, start, stop):
    """Write the float64 gains of rows[start:stop] into scores[start:stop]."""
    for position in range(start, stop):
        row = rows[position]
        scores[position] = alpha * squared[row] + (dot(features[row], vector) - offset)


@_parallel_loop
def score_many(features, squared, rows, alpha, vector, offset, scores, count):
    """`score_some` for the first `count` rows, by all threads."""
    for chunk in prange((count + CHUNK - 1) // CHUNK):
        stop = min(count, (chunk + 1) * CHUNK)
        score_some(features, squared, rows, alpha, vector, offset, scores, chunk * CHUNK, stop)


@_loop
def score(features, mean, squared, rows, alpha, vector, scores, count):
    """Write alpha ||y||^2 + y.vector of the first `count` rows into `scores`, in float64.

    y.vector is computed as x.vector - mean.vector, which costs the products some digits and saves a third of the time.
    """
    offset = dot(mean, vector)
    if count < PARALLEL_ROWS:
        score_some(features, squared, rows, alpha, vector, offset, scores, 0, count)
    else:
        score_many(features, squared, rows, alpha, vector, offset, scores, count)


@_loop
def error_rates(relative, alpha, length, mean_length):
    """Rounding error of a gain as three rates: for ||y||^2, for ||y||, and for every row alike.

    |alpha| ||y||^2 + (||x|| + ||m||) ||v|| bounds the terms of `score`, and ||x|| <= ||y|| + ||m||.
    """
    return relative * abs(alpha), relative * length, 2.0 * relative * length * mean_length


@_loop
def error(rates, square, radius):
    """Bound on the rounding error of one row's gain."""
    return rates[0] * square + rates[1] * radius + rates[2]


@_loop
def assured(rows, scores, count, squared, radius, rates):
    """The largest lower end of the gains' error intervals: no row whose upper end lies below can be the pick."""
    best = -np.inf
    for position in range(count):
        row = rows[position]
        best = max(best, scores[position] - error(rates, squared[row], radius[row]))
    return best


@_loop
def drop_taken(rows, count, taken, following):
    """Put the next equal row, or none, in the place of each row that is taken; return how many are left."""
    kept = 0
    for position in range(count):
        row = rows[position]
        while row >= 0 and taken[row]:
            row = following[row]
        if row >= 0:
            rows[kept] = row
            kept += 1
    return kept


@_loop
def split(rows, scores, count, wanted, floor, squared, radius, rates, bucket, tops, chosen, chosen_scores):
    """Choose the `wanted` best of a tier as the next tier and bound the others by their buckets.

    Every row that could be the pick now (whose gain may reach `floor`) is chosen too. `tops` receives the largest
    upper end of the outsiders' gains in each bucket. Returns how many rows were chosen.
    """
    threshold = -np.inf
    if wanted < count:
        threshold = np.partition(scores[:count], count - wanted)[count - wanted]
    tops[:] = -np.inf
    kept = 0
    for position in range(count):
        row = rows[position]
        top = scores[position] + error(rates, squared[row], radius[row])
        if scores[position] >= threshold or top >= floor:
            chosen[kept] = row
            chosen_scores[kept] = scores[position]
            kept += 1
        else:
            tops[bucket[row]] = max(tops[bucket[row]], top)
    return kept


@_sum_loop
def highest(tops, squares, radii, square_rate, length_rate):
    """The largest bound over the buckets of one tier's outsiders."""
    bound = -np.inf
    for b in range(tops.shape[0]):
        bound = max(bound, tops[b] + square_rate * squares[b] + length_rate * radii[b])
    return bound


@_loop
def bucket_by_norm(squared):
    """Bucket of each row, and the largest squared norm of each bucket."""
    count = squared.shape[0]
    bucket = np.empty(count, np.uint8)
    squares = np.zeros(BUCKETS)
    order = np.argsort(squared)
    for rank in range(count):
        b = rank * BUCKETS // count
        bucket[order[rank]] = b
        squares[b] = squared[order[rank]]
    return bucket, squares


@_loop
def renew_below(
    tier, rows, scores, held, wanted, floor, squared, radius, rates, bucket, tops, k, k_then, vector, v_then, work
):
    """Choose all tiers below `tier` anew, whose rows have just been scored, and note the moment."""
    for upper in range(tier, TIERS):
        work[upper] = 0.0
        k_then[upper] = k
        v_then[upper] = vector
        held[upper + 1] = split(
            rows[upper],
            scores[upper],
            held[upper],
            int(wanted[upper + 1]),
            floor,
            squared,
            radius,
            rates,
            bucket,
            tops[upper],
            rows[upper + 1],
            scores[upper + 1],
        )


@_loop
def failing_tier(above, floor, squares, radii, rates, tops, k, k_then, vector, v_then, relative):
    """The topmost tier above `above` one of whose outsiders could be the pick; TIERS if there is none."""
    for tier in range(above):
        square_rate = 2.0 * (k - k_then[tier]) + rates[0]
        length_rate = distance(vector, v_then[tier]) * (1.0 + relative) + rates[1]
        if highest(tops[tier], squares, radii, square_rate, length_rate) + rates[2] >= floor:
            return tier
    return TIERS


@_loop
def greedy_sum(features, mean, squared, following, first, sizes):
    """Fill bins by eq. 1 with the lazy exact greedy; returns the rows in the order of their picks.

    With n the pool's size, k the picks in the bin, c_D and c_S the sums of the centred rows of the pool and the bin,
    alpha = 2k - n and v = 2 c_D - 4 c_S. A tier is the best of the tier above (tier 0 is the pool) at the moment of its
    refresh. Since then the gain of a row grew by 2j ||y||^2 + y.(v - v_then) after j picks, which for the outsiders
    is at most 2j s_b + R_b ||v - v_then|| in a bucket of squared norms up to s_b = R_b^2. While these bounds lie
    below the best gain in the last tier, the pick is there; else the tier that failed is scored again.

    Parameters
    ----------
    features : ndarray, shape (N, D), float32 or float64
    mean : ndarray, shape (D,)
        The centre; any point near the mean.
    squared : ndarray, shape (N,)
        Squared distances to the centre.
    following, first : ndarray, shape (N,)
        From `chain_copies`.
    sizes : ndarray of int64
        Sizes of the bins; they add up to N.

    Returns
    -------
    ndarray, shape (N,), int64
    """
    count, dimensions = features.shape
    relative = rounding(dimensions)
    radius = np.sqrt(squared)
    bucket, squares = bucket_by_norm(squared)
    radii = np.sqrt(squares)
    taken = np.zeros(count, np.bool_)
    picks = np.empty(count, np.int64)

    rows = np.empty((TIERS + 1, count), np.int64)
    scores = np.empty((TIERS + 1, count))
    held = np.zeros(TIERS + 1, np.int64)
    tops = np.empty((TIERS, BUCKETS))
    v_then = np.empty((TIERS, dimensions))
    k_then = np.zeros(TIERS, np.int64)
    # Tiers shrink by equal factors at first and then by what keeps refreshes and picks in balance.
    wanted = np.array([count ** (1.0 - tier / (TIERS + 1.0)) for tier in range(TIERS + 1)])
    work = np.zeros(TIERS)
    origin = np.zeros(dimensions)
    mean_length = distance(mean, origin)

    rows[0, : np.sum(first)] = np.flatnonzero(first)
    held[0] = np.sum(first)
    pool_high, pool_low = sum_rows(features, mean)
    done = 0
    for size in sizes:
        high, low = 2.0 * pool_high, 2.0 * pool_low
        n = count - done
        stale = 0  # The topmost tier that has to be scored again; TIERS if none has.
        for k in range(size):
            alpha = 2.0 * k - n
            rates = error_rates(relative, alpha, distance(high, origin), mean_length)
            settled = False
            while not settled:
                tier = stale
                held[tier] = drop_taken(rows[tier], held[tier], taken, following)
                score(features, mean, squared, rows[tier], alpha, high, scores[tier], held[tier])
                floor = assured(rows[tier], scores[tier], held[tier], squared, radius, rates)
                if tier < TIERS:
                    if k > k_then[tier]:
                        growth = 1.2 if work[tier] < held[tier] else 1.0 / 1.2
                        wanted[tier + 1] = min(max(growth * wanted[tier + 1], 4.0), count)
                    renew_below(
                        tier,
                        rows,
                        scores,
                        held,
                        wanted,
                        floor,
                        squared,
                        radius,
                        rates,
                        bucket,
                        tops,
                        k,
                        k_then,
                        high,
                        v_then,
                        work,
                    )
                work[:tier] += held[tier]
                stale = failing_tier(tier, floor, squares, radii, rates, tops, k, k_then, high, v_then, relative)
                settled = stale == TIERS
            pick = pick_from(
                features,
                mean,
                rows[TIERS],
                scores[TIERS],
                held[TIERS],
                floor,
                squared,
                radius,
                rates,
                alpha,
                high,
                low,
            )
            picks[done] = pick
            done += 1
            taken[pick] = True
            if held[TIERS] == 1 and following[pick] < 0:
                stale = TIERS - 1
            add_row(high, low, features[pick], mean, -4.0)
            add_row(pool_high, pool_low, features[pick], mean, -1.0)
    return picks


@_loop
def pick_from(features, mean, rows, scores, count, floor, squared, radius, rates, alpha, high, low):
    """The best of scored rows: by the float64 gains where these are clear, else by `settle`."""
    found = 0
    for position in range(count):
        row = rows[position]
        if scores[position] + error(rates, squared[row], radius[row]) >= floor:
            found += 1
            pick = row
    if found == 1:
        return pick
    rivals = np.empty(found, np.int64)
    found = 0
    for position in range(count):
        row = rows[position]
        if scores[position] + error(rates, squared[row], radius[row]) >= floor:
            rivals[found] = row
            found += 1
    return settle(features, mean, alpha, high, low, rivals)


@_loop
def mean_direction(count, k, bin_high, bin_low, all_high, all_low):
    """The vector v = k c_all - N c_S of the gain ``mean``, for which alpha = 0, as double-double."""
    high, low = np.empty_like(bin_high), np.empty_like(bin_high)
    for d in range(high.shape[0]):
        own, own_error = two_product(-float(count), bin_high[d])
        whole, whole_error = two_product(float(k), all_high[d])
        total, total_error = two_sum(own, whole)
        total_error += own_error + whole_error - count * bin_low[d] + k * all_low[d]
        high[d], low[d] = two_sum(total, total_error)
    return high, low


@_loop
def first_of_bin(features, mean, squared, radius, rows, scores, all_high, all_low):
    """First pick of a bin under the gain ``mean``: the one of `rows` with the smallest summed distance to all patches.

    Here alpha = -N and v = 2 c_all. `scores` is room for as many numbers as there are rows.
    """
    alpha, high, low = -float(features.shape[0]), 2.0 * all_high, 2.0 * all_low
    found, origin = rows.shape[0], np.zeros(mean.shape[0])
    rates = error_rates(rounding(mean.shape[0]), alpha, distance(high, origin), distance(mean, origin))
    score(features, mean, squared, rows, alpha, high, scores, found)
    floor = assured(rows, scores, found, squared, radius, rates)
    return pick_from(features, mean, rows, scores, found, floor, squared, radius, rates, alpha, high, low)
