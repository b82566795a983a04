"""The exact greedy where every pick reorders the patches: a screen of bytes before the scores.

Write gain(x) = alpha ||y||^2 + y.v as in `direction`. At a refresh the gains of all patches left over are computed in
float64. Since then they have changed by exactly

    (alpha - alpha_then) ||y||^2 + y.d,        d = v - v_then,

and `_quantize_codes` bounds y.d from bytes. A patch is left aside when this bounds its gain below what the best one
reaches for sure; the others are looked at one block more at a time, and what all blocks leave open is scored in
float64. d is short when the last refresh is not long ago, so that few blocks are needed.
"""

import numpy as np

from frugalseg.kernels._quantize_codes import BLOCK, move, round_direction, scan, sift
from frugalseg.kernels._quantize_double import add_row, loop, sum_rows
from frugalseg.kernels._quantize_scores import assured, decide, direction, error, error_rates, length, score

#: Costs in blocks scanned: looking at one block more of a chosen row, scoring a chosen row, and one row of a refresh.
NARROW_COST, SCORE_COST, REFRESH_COST = 4.0, 40.0, 60.0
#: Picks between two trials of another number of blocks.
TRIAL = 16


@loop
def choose_blocks(cost, trial):
    """How many blocks to scan: the number that was cheapest lately, and now and then another in turn."""
    if trial < cost.shape[0]:
        return trial + 1
    if trial % TRIAL == 0:
        return trial // TRIAL % cost.shape[0] + 1
    return np.argmin(cost) + 1


@loop
def leave_first(patches, screen):
    """Move the first row of every chain of equal rows to the leading positions; return how many there are."""
    left = 0
    for row in range(patches.first.shape[0]):
        if patches.first[row]:
            move(screen, left, row)
            left += 1
    return left


@loop
def pick_anew(patches, screen, left, alpha, vector, rates):
    """Score all that are left over in float64 and take this as the base; return the position of the pick."""
    rows, scores = screen.rows[:left], screen.scores
    score(patches, rows, alpha, vector[0], scores, left)
    for position in range(left):
        screen.base[position] = scores[position]
    floor = assured(patches, rows, scores, left, rates)
    return np.argmax(rows == decide(patches, rows, scores, left, floor, rates, alpha, vector))


@loop
def pick_screened(patches, screen, left, blocks, step, growth, blur, alpha, vector, rates):
    """Look at the leading blocks of all that are left over, then closer at whatever could be the pick.

    `growth` is alpha - alpha_then, and `blur` the error of the base that all rows share. Returns the position of the
    pick and the work done, in blocks a position.
    """
    places, rivals, scores = screen.places, screen.rivals, screen.scores
    leader = scan(screen, blocks, 1.0 / step, growth / step, left)
    row = screen.rows[leader]
    score(patches, screen.rows[leader : leader + 1], alpha, vector[0], scores, 1)
    floor = (scores[0] - error(patches, rates, row) - blur) / step
    found, looks = sift(screen, blocks, floor, left)
    work = left * blocks + NARROW_COST * looks + SCORE_COST * found
    for index in range(found):
        rivals[index] = screen.rows[places[index]]
    score(patches, rivals, alpha, vector[0], scores, found)
    floor = assured(patches, rivals, scores, found, rates)
    pick = decide(patches, rivals, scores, found, floor, rates, alpha, vector)
    return places[np.argmax(rivals[:found] == pick)], work / left


@loop
def take(patches, screen, position, left, factor):
    """Take the patch at `position`: its copy, or the last of what is left, comes in its place. Return how many are left.

    d changes by -factor y.
    """
    pick = screen.rows[position]
    screen.rows[position] = patches.following[pick]
    if screen.rows[position] < 0:
        left -= 1
        move(screen, position, left)
    for b in range(screen.change.shape[0]):
        for d in range(BLOCK):
            screen.change[b, d] -= factor * np.float64(screen.coordinates[pick, b * BLOCK + d])
    return left


@loop
def greedy(patches, sizes, by_sum, screen):
    """Fill bins by the gain ``sum`` or ``mean`` in O(N D) memory.

    Parameters
    ----------
    patches : Patches
    sizes : ndarray of int64
        Sizes of the bins; they add up to N.
    by_sum : bool
        Whether the gain is ``sum``; else it is ``mean``.
    screen : Screen
        Is overwritten.

    Returns
    -------
    ndarray, shape (N,), int64
        Rows in the order of their picks.
    """
    count, dimensions = patches.features.shape
    blocks = screen.codes.shape[0]
    picks = np.empty(count, np.int64)
    whole = sum_rows(patches.features, patches.mean)
    pool, factor = whole.copy(), 4.0 if by_sum else float(count)
    # c_all is left out of the change of v under ``mean``.
    left_out = 0.0 if by_sum else length(whole[0])
    cost, trial, done, left = np.full(blocks, np.inf), 0, 0, leave_first(patches, screen)
    for size in sizes:
        own, opened, n = np.zeros((2, dimensions)), pool.copy(), count - done
        k_then, alpha_then, terms_then, blur = 0, 0.0, 0.0, 0.0
        drift, spent, lowest = 0.0, 0.0, np.inf
        for k in range(size):
            alpha, vector, terms = direction(by_sum, count, n, k, whole, opened, own)
            rates = error_rates(patches, alpha, terms)
            # What the age of the base has cost reaches what a refresh costs.
            if k == 0 or spent - (k - k_then) * lowest > REFRESH_COST:
                position = pick_anew(patches, screen, left, alpha, vector, rates)
                k_then, alpha_then, terms_then, blur = k, alpha, terms, rates[2]
                if k == 0 and not by_sum:
                    # The first pick has a rule of its own; with none in the bin the gains are all zero.
                    screen.base[:left] = 0.0
                    alpha_then, terms_then, blur = 0.0, 0.0, 0.0
                screen.change[:] = 0.0
                drift, spent, lowest = 0.0, 0.0, np.inf
            else:
                growth = alpha - alpha_then
                step = round_direction(screen, drift, terms_then, abs(alpha_then) + abs(growth))
                scanned = choose_blocks(cost, trial)
                position, work = pick_screened(patches, screen, left, scanned, step, growth, blur, alpha, vector, rates)
                cost[scanned - 1] = work if trial < blocks else 0.5 * (cost[scanned - 1] + work)
                trial += 1
                spent, lowest = spent + work, min(lowest, work)
            pick = screen.rows[position]
            picks[done] = pick
            done += 1
            left = take(patches, screen, position, left, factor)
            # The coordinates are float32.
            drift += 2.0**-23 * factor * patches.radius[pick] + left_out
            add_row(own, patches.features[pick], patches.mean, 1.0)
            add_row(pool, patches.features[pick], patches.mean, -1.0)
    return picks
