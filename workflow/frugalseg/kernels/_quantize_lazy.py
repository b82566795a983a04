"""The lazy exact greedy for the gain ``sum``: most patches are scored once in hundreds of picks.

A tier is the best of the tier above it at the moment of its refresh; tier 0 is the pool, and the last tier is scored
anew at every pick. Write alpha = 2k - n and v as in `direction`, and let j picks have been made since a refresh. The
gain of every row has changed since by exactly

    2 j ||y||^2 + y.(v - v_then)  <=  2 j s + r ||v - v_then||        (Cauchy-Schwarz; ||y||^2 <= s, ||y|| <= r).

A refresh leaves out the rows below a threshold, the outsiders, and remembers the largest gain of those of similar norm
(a bucket), so the right-hand side bounds every outsider of a bucket. A pick is made only while all these bounds lie
strictly below the best gain of the last tier: then no outsider of any tier can be the pick, and the last tier holds it.
Otherwise the tier whose bound failed is scored again and all tiers below it are chosen anew. Right after its refresh a
tier's bound cannot fail, because every row that could be the pick is chosen: so every pick comes about.
"""

from typing import NamedTuple

import numpy as np

from frugalseg.kernels._quantize_double import add_row, loop, sum_rows
from frugalseg.kernels._quantize_scores import (
    Patches,
    assured,
    decide,
    error,
    error_rates,
    length,
    rounding,
    score,
    sum_loop,
)

#: Outsiders of similar norm share one bound.
BUCKETS = 128
#: Tiers of candidates below the pool.
TIERS = 2
#: The bounds have failed when more than this share of the plain form's rows is read, and this many pools to begin with.
HOPELESS_SHARE, HOPELESS_POOLS = 0.15, 8.0


class Tiers(NamedTuple):
    """The tiers of N rows, their outsiders in B buckets, and the moments of T refreshes."""

    rows: np.ndarray  #: (T + 1, N) of each tier
    scores: np.ndarray  #: (T + 1, N) gains of these rows when last scored
    held: np.ndarray  #: (T + 1,) how many rows a tier holds
    wanted: np.ndarray  #: (T + 1,) how many it should hold
    work: np.ndarray  #: (T,) rows scored below a tier since its refresh
    tops: np.ndarray  #: (T, B) largest upper end of the outsiders' gains at the refresh
    k_then: np.ndarray  #: (T,) k at the refresh
    v_then: np.ndarray  #: (T, D) v at the refresh
    bucket: np.ndarray  #: (N,) uint8
    squares: np.ndarray  #: (B,) largest ||y||^2 of a bucket
    radii: np.ndarray  #: (B,) largest ||y|| of a bucket


def tiers_of(patches: Patches) -> Tiers:
    """Tiers that hold the pool of all patches and nothing below it."""
    count, dimensions = patches.features.shape
    rows = np.empty((TIERS + 1, count), np.int64)
    held = np.zeros(TIERS + 1, np.int64)
    held[0] = patches.first.sum()
    rows[0, : held[0]] = patches.first.nonzero()[0]
    # Tiers shrink by equal factors at first and then by what keeps refreshes and picks in balance.
    wanted = count ** (1.0 - np.arange(TIERS + 1) / (TIERS + 1))
    bucket = np.empty(count, np.uint8)
    bucket[patches.squared.argsort()] = np.arange(count) * BUCKETS // count
    squares = np.zeros(BUCKETS)
    np.maximum.at(squares, bucket, patches.squared)
    scores, work, tops = np.empty((TIERS + 1, count)), np.zeros(TIERS), np.empty((TIERS, BUCKETS))
    k_then, v_then = np.zeros(TIERS, np.int64), np.empty((TIERS, dimensions))
    return Tiers(rows, scores, held, wanted, work, tops, k_then, v_then, bucket, squares, np.sqrt(squares))


@loop
def drop_taken(rows, count, taken, following):
    """Put the next equal row, or none, in the place of each row that is taken; return how many are left."""
    kept = 0
    for position in range(count):
        row = np.int64(rows[position])
        while row >= 0 and taken[row]:
            row = following[row]
        if row >= 0:
            rows[kept] = row
            kept += 1
    return kept


@loop
def refresh_below(patches, tiers, tier, floor, rates, k, vector):
    """Choose all tiers below `tier` anew, whose rows have just been scored, and note the moment."""
    if k > tiers.k_then[tier]:
        # A tier grows while refreshing it costs more than what is below it, and shrinks otherwise.
        growth = 1.2 if tiers.work[tier] < tiers.held[tier] else 1.0 / 1.2
        tiers.wanted[tier + 1] = min(max(growth * tiers.wanted[tier + 1], 4.0), patches.squared.shape[0])
    for upper in range(tier, TIERS):
        tiers.work[upper] = 0.0
        tiers.k_then[upper] = k
        tiers.v_then[upper] = vector
        split(patches, tiers, upper, floor, rates)


@loop
def split(patches, tiers, upper, floor, rates):
    """Choose the best rows of tier `upper`, and all that may reach `floor`, as the next tier; bound the others."""
    rows, scores, tops = tiers.rows[upper], tiers.scores[upper], tiers.tops[upper]
    below, below_scores = tiers.rows[upper + 1], tiers.scores[upper + 1]
    count, wanted = tiers.held[upper], int(tiers.wanted[upper + 1])
    threshold = -np.inf
    if wanted < count:
        threshold = np.partition(scores[:count], count - wanted)[count - wanted]
    tops[:] = -np.inf
    kept = 0
    for position in range(count):
        row = rows[position]
        top = scores[position] + error(patches, rates, row)
        if scores[position] >= threshold or top >= floor:
            below[kept] = row
            below_scores[kept] = scores[position]
            kept += 1
        else:
            tops[tiers.bucket[row]] = max(tops[tiers.bucket[row]], top)
    tiers.held[upper + 1] = kept


@sum_loop
def distance(a, b):
    """||a - b|| of two vectors."""
    total = 0.0
    for d in range(a.shape[0]):
        difference = a[d] - b[d]
        total += difference * difference
    return np.sqrt(total)


@sum_loop
def highest(tops, squares, radii, square_rate, radius_rate):
    """The largest bound over the buckets of one tier's outsiders."""
    bound = -np.inf
    for b in range(tops.shape[0]):
        bound = max(bound, tops[b] + square_rate * squares[b] + radius_rate * radii[b])
    return bound


@loop
def failing_tier(tiers, above, floor, rates, k, vector):
    """The topmost tier above `above` one of whose outsiders could be the pick; TIERS if there is none."""
    relative = rounding(vector.shape[0])
    for tier in range(above):
        square_rate = 2.0 * (k - tiers.k_then[tier]) + rates[0]
        radius_rate = distance(vector, tiers.v_then[tier]) * (1.0 + relative) + rates[1]
        if highest(tiers.tops[tier], tiers.squares, tiers.radii, square_rate, radius_rate) + rates[2] >= floor:
            return tier
    return TIERS


@loop
def renew(patches, tiers, taken, stale, k, alpha, vector, rates):
    """Score tier `stale` and whatever else the bounds demand, until the pick must be in the last tier.

    Returns what the gain of the pick reaches for sure, and how many rows were scored.
    """
    read, floor, settled = 0, -np.inf, False
    while not settled:
        tier = stale
        tiers.held[tier] = drop_taken(tiers.rows[tier], tiers.held[tier], taken, patches.following)
        count = tiers.held[tier]
        score(patches, tiers.rows[tier], alpha, vector, tiers.scores[tier], count)
        floor = assured(patches, tiers.rows[tier], tiers.scores[tier], count, rates)
        if tier < TIERS:
            refresh_below(patches, tiers, tier, floor, rates, k, vector)
        tiers.work[:tier] += count
        read += count
        stale = failing_tier(tiers, tier, floor, rates, k, vector)
        settled = stale == TIERS
    return floor, read


@loop
def greedy_sum(patches, sizes, tiers, give_up):
    """Rows (N,) in the order of their picks by eq. 1, and how many were made, for bins of `sizes`.

    With `give_up` not all are made when the bounds exclude too little.
    """
    count = patches.squared.shape[0]
    taken = np.zeros(count, np.bool_)
    picks = np.empty(count, np.int64)
    pool = sum_rows(patches.features, patches.mean)
    done, read, plain = 0, 0, 0.0
    for size in sizes:
        vector = 2.0 * pool
        n = count - done
        stale = 0  # The topmost tier that has to be scored again.
        for k in range(size):
            alpha = 2.0 * k - n
            rates = error_rates(patches, alpha, length(vector[0]))
            floor, rows_read = renew(patches, tiers, taken, stale, k, alpha, vector[0], rates)
            last, held = tiers.rows[TIERS], tiers.held[TIERS]
            pick = decide(patches, last, tiers.scores[TIERS], held, floor, rates, alpha, vector)
            picks[done] = pick
            done += 1
            taken[pick] = True
            stale = TIERS - 1 if held == 1 and patches.following[pick] < 0 else TIERS
            add_row(vector, patches.features[pick], patches.mean, -4.0)
            add_row(pool, patches.features[pick], patches.mean, -1.0)
            read += rows_read
            plain += count - done
            if give_up and read > HOPELESS_POOLS * count + HOPELESS_SHARE * plain:
                return picks, done
    return picks, done
