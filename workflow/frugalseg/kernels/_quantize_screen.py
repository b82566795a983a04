"""Compiled loop behind `frugalseg.kernels.quantize`, gain ``mean``, for many patches: a screen of bytes.

Here the gain is linear in x and every pick changes its direction, so all patches are looked at for every pick. To read
little of each, they are rotated to principal coordinates, which are rounded to one byte in blocks of 64. The leading
blocks bound every gain; what the bounds leave open is scored in float64.
"""

import numpy as np
import torch
from numba import njit, prange

from frugalseg.kernels._quantize_cpu import (
    _loop,
    _parallel_loop,
    add_row,
    assured,
    distance,
    error,
    error_rates,
    first_of_bin,
    mean_direction,
    pick_from,
    rounding,
    score,
    sum_rows,
)

#: Coordinates in a block: one cache line of bytes.
BLOCK = 64
#: Rows from which the principal axes are estimated; any orthogonal axes are right, good ones are fast.
AXES_ROWS = 2048
#: Rows rotated at a time.
ROTATED_ROWS = 4096
#: Factor on float32 norms that covers the rounding of their sums.
ROUND_UP = 1.0 + 1e-4
#: A scan of fewer blocks is left to one thread: waking the others costs more.
PARALLEL_BLOCKS = 65536
#: Rows one thread scans before it asks for more.
SCAN_CHUNK = 4096
#: What looking at one block more of a chosen row costs, and what scoring it in float64 does, in blocks scanned.
NARROW_COST, SCORE_COST = 4.0, 40.0
#: So few rows are scored in float64 at once.
FEW = 8
#: Picks between two trials of another number of blocks.
TRIAL = 16


def principal_bytes(features: torch.Tensor, mean: torch.Tensor) -> tuple[np.ndarray, ...]:
    """Principal coordinates, in float32 and in one byte each, from features.

    Parameters
    ----------
    features : Tensor, shape (N, D)
    mean : Tensor, shape (D,), float64

    Returns
    -------
    coordinates : ndarray, shape (N, B * 64), float32
        Along the principal axes by falling variance; zeros fill up the last block.
    codes : ndarray, shape (B, N, 64), int8
    scales : ndarray, shape (B, N), float32
        ``scales * codes`` are the coordinates, rounded.
    rounded : ndarray, shape (B, N), float32
        Norm of what rounding took from blocks 0 .. b.
    beyond : ndarray, shape (B, N), float32
        Norm of the coordinates in the blocks after b.
    skew : float
        How far the axes are from orthonormal: largest relative error of a product of two vectors that is taken along
        them.
    """
    count, dimensions = features.shape
    blocks = -(-dimensions // BLOCK)
    sample = (features[:: -(-count // AXES_ROWS)].double() - mean).float()
    axes = torch.linalg.eigh(sample.T @ sample).eigenvectors.flip(1).double()
    skew = float(torch.linalg.matrix_norm(axes @ axes.T - torch.eye(dimensions, dtype=torch.float64)))

    coordinates = torch.zeros(count, blocks * BLOCK)
    codes = torch.empty(blocks, count, BLOCK, dtype=torch.int8)
    scales, rounded, beyond = (torch.zeros(blocks, count) for _ in range(3))
    for start in range(0, count, ROTATED_ROWS):
        part = slice(start, start + ROTATED_ROWS)
        coordinates[part, :dimensions] = (features[part].double() - mean) @ axes
        block = coordinates[part].view(-1, blocks, BLOCK).transpose(0, 1)
        scale = (block.abs().amax(2) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        code = (block / scale[..., None]).round().clamp(-127, 127)
        codes[:, part], scales[:, part] = code.to(torch.int8), scale
        rounded[:, part] = (block - code * scale[..., None]).square().sum(2).cumsum(0).sqrt() * ROUND_UP
        beyond[:-1, part] = block[1:].square().sum(2).flip(0).cumsum(0).flip(0).sqrt() * ROUND_UP
    return coordinates.numpy(), codes.numpy(), scales.numpy(), rounded.numpy(), beyond.numpy(), skew


# Approximate gains may be summed in any order: `round_direction` bounds every order.
_scan_loop = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_scan_loop
def block_product(code, scale, direction):
    """Product of one block of a patch with the same block of the direction, in steps of the direction."""
    total = np.int32(0)
    for d in range(BLOCK):
        # Below 64 * 127 * 32767 < 2^31. The casts keep Numba from widening to 64 bits, which takes twice the time.
        total = np.int32(total + np.int32(np.int32(code[d]) * np.int32(direction[d])))
    return scale * np.float32(total)


@_scan_loop
def scan_some(codes, scales, rounded, beyond, radius, direction, blocks, rates, middles, tops, start, stop):
    """Write approximate gains and upper bounds of positions start .. stop; return the best lower bound and its place.

    Looks at the first `blocks` blocks; `rates` (3,) is theirs. All in steps of the direction.
    """
    best, leader = -np.inf, start
    for position in range(start, stop):
        middle = np.float32(0.0)
        for b in range(blocks):
            middle += block_product(codes[b, position], scales[b, position], direction[b])
        slack = (
            rates[0] * rounded[blocks - 1, position]
            + rates[1] * beyond[blocks - 1, position]
            + rates[2] * radius[position]
        )
        middles[position] = middle
        tops[position] = middle + slack
        if middle - slack > best:
            best, leader = middle - slack, position
    return best, leader


@_parallel_loop
def scan_many(codes, scales, rounded, beyond, radius, direction, blocks, rates, middles, tops, count):
    """`scan_some` for the first `count` positions, by all threads."""
    chunks = (count + SCAN_CHUNK - 1) // SCAN_CHUNK
    best, leader = np.empty(chunks), np.empty(chunks, np.int64)
    for chunk in prange(chunks):
        start, stop = chunk * SCAN_CHUNK, min(count, (chunk + 1) * SCAN_CHUNK)
        best[chunk], leader[chunk] = scan_some(
            codes, scales, rounded, beyond, radius, direction, blocks, rates, middles, tops, start, stop
        )
    return best.max(), leader[best.argmax()]


@_loop
def narrow(codes, scales, rounded, beyond, radius, direction, block, rates, middles, floor, places, found):
    """Look at one block more of the patches at `places`; keep those whose gain may reach `floor`."""
    kept = 0
    for index in range(found):
        position = places[index]
        middles[position] += block_product(codes[block, position], scales[block, position], direction[block])
        top = (
            middles[position]
            + rates[0] * rounded[block, position]
            + rates[1] * beyond[block, position]
            + rates[2] * radius[position]
        )
        if top >= floor:
            places[kept] = position
            kept += 1
    return kept


@_loop
def round_direction(along, drift, skew, direction, rates):
    """Round a direction to 16 bits and bound what approximate gains along it lack; return the size of a step.

    Parameters
    ----------
    along : ndarray, shape (B, 64), float64
        Coordinates of the direction v.
    drift : float
        Bound on their error, as a length.
    skew : float
        From `principal_bytes`.
    direction : ndarray, shape (B, 64), int16
        Receives the coordinates in steps.
    rates : ndarray, shape (B, 3)
        Receives bounds on |gain - approximate gain| after block b, in steps, as rates for `rounded`, `beyond` and
        ||y||. What rounding took from a patch contributes at most its norm times that of v in the blocks seen, and what
        was not seen its norm times that of v there (Cauchy-Schwarz). The third rate covers `drift`, `skew`, the steps
        (a patch in bytes is shorter than 2 ||y||) and the float32 sums.
    """
    blocks = along.shape[0]
    step = np.abs(along).max() / 32767.0
    if step == 0.0:
        step = 1.0
    total = 0.0
    for b in range(blocks):
        for d in range(BLOCK):
            total += along[b, d] ** 2
            direction[b, d] = np.int16(np.rint(along[b, d] / step))
        rates[b, 0] = np.sqrt(total) / step * ROUND_UP
    length = np.sqrt(total)
    single = 2.0**-23 * (BLOCK + blocks + 16)
    for b in range(blocks):
        beyond = total * (1.0 + 1e-12) - (rates[b, 0] * step / ROUND_UP) ** 2
        rates[b, 1] = np.sqrt(max(0.0, beyond)) / step * ROUND_UP
        rates[b, 2] = ((skew + single) * length + drift) / step + np.sqrt(blocks * BLOCK)
    return step


@_loop
def choose_blocks(cost, trial):
    """How many blocks to scan: the number that was cheapest lately, and now and then another in turn."""
    if trial < cost.shape[0]:
        return trial + 1
    if trial % TRIAL == 0:
        return trial // TRIAL % cost.shape[0] + 1
    return np.argmin(cost) + 1


@_loop
def move(position, other, rows, radius, codes, scales, rounded, beyond):
    """Put what is known of one position in the place of another."""
    rows[position] = rows[other]
    radius[position] = radius[other]
    for b in range(codes.shape[0]):
        codes[b, position] = codes[b, other]
        scales[b, position] = scales[b, other]
        rounded[b, position] = rounded[b, other]
        beyond[b, position] = beyond[b, other]


@_loop
def greedy_mean(features, mean, squared, following, first, sizes, coordinates, codes, scales, rounded, beyond, skew):
    """Fill bins by the rule of the study's public script, as `_quantize_gram.greedy_mean`, in O(N D) memory.

    Parameters
    ----------
    features, mean, squared, following, first, sizes
        As for `greedy_sum`.
    coordinates, codes, scales, rounded, beyond, skew
        From `principal_bytes`; `codes` and what describes them are overwritten.

    Returns
    -------
    ndarray, shape (N,), int64
    """
    count, dimensions = features.shape
    blocks = codes.shape[0]
    relative = rounding(dimensions)
    row_radius = np.sqrt(squared)
    picks = np.empty(count, np.int64)

    # What is not taken stays at the leading positions: what leaves is replaced by the last.
    rows, radius = np.arange(count), row_radius.copy()
    left = 0
    for row in range(count):
        if first[row]:
            move(left, row, rows, radius, codes, scales, rounded, beyond)
            left += 1

    middles, tops, scores = np.empty(count, np.float32), np.empty(count), np.empty(count)
    rivals, places = np.empty(count, np.int64), np.empty(count, np.int64)
    bounds, direction = np.empty((blocks, 3)), np.empty((blocks, BLOCK), np.int16)
    cost = np.full(blocks, np.inf)
    origin = np.zeros(dimensions)
    mean_length = distance(mean, origin)
    all_high, all_low = sum_rows(features, mean)
    all_length = distance(all_high, origin)
    done, trial = 0, 0
    for size in sizes:
        bin_high, bin_low = np.zeros(dimensions), np.zeros(dimensions)
        along, walked = np.zeros((blocks, BLOCK)), 0.0
        for k in range(size):
            if k == 0:
                pick = first_of_bin(features, mean, squared, row_radius, rows[:left], scores, all_high, all_low)
                position = np.argmax(rows[:left] == pick)
            else:
                high, low = mean_direction(count, k, bin_high, bin_low, all_high, all_low)
                terms = count * distance(bin_high, origin) + k * all_length
                rates = error_rates(relative, 0.0, terms, mean_length)

                # The picks' coordinates are float32, and c_all is left out of them.
                step = round_direction(along, 2.0**-23 * count * walked + k * all_length, skew, direction, bounds)
                scanned = choose_blocks(cost, trial)
                if left * scanned < PARALLEL_BLOCKS:
                    _, leader = scan_some(
                        codes,
                        scales,
                        rounded,
                        beyond,
                        radius,
                        direction,
                        scanned,
                        bounds[scanned - 1],
                        middles,
                        tops,
                        0,
                        left,
                    )
                else:
                    _, leader = scan_many(
                        codes,
                        scales,
                        rounded,
                        beyond,
                        radius,
                        direction,
                        scanned,
                        bounds[scanned - 1],
                        middles,
                        tops,
                        left,
                    )
                score(features, mean, squared, rows[leader : leader + 1], 0.0, high, scores, 1)
                floor = (scores[0] - error(rates, 0.0, radius[leader])) / step
                found = 0
                for position in range(left):
                    places[found] = position
                    found += tops[position] >= floor
                work = float(left * scanned)
                for b in range(scanned, blocks):
                    if found <= FEW:
                        break
                    work += NARROW_COST * found
                    found = narrow(
                        codes, scales, rounded, beyond, radius, direction, b, bounds[b], middles, floor, places, found
                    )
                work = (work + SCORE_COST * found) / left
                cost[scanned - 1] = work if trial < blocks else 0.5 * cost[scanned - 1] + 0.5 * work
                trial += 1
                for index in range(found):
                    rivals[index] = rows[places[index]]
                score(features, mean, squared, rivals, 0.0, high, scores, found)
                floor = assured(rivals, scores, found, squared, row_radius, rates)
                pick = pick_from(
                    features, mean, rivals, scores, found, floor, squared, row_radius, rates, 0.0, high, low
                )
                position = places[np.argmax(rivals[:found] == pick)]
            picks[done] = pick
            done += 1
            rows[position] = following[pick]
            if rows[position] < 0:
                left -= 1
                move(position, left, rows, radius, codes, scales, rounded, beyond)
            add_row(bin_high, bin_low, features[pick], mean, 1.0)
            walked += row_radius[pick]
            for b in range(blocks):
                for d in range(BLOCK):
                    along[b, d] -= count * np.float64(coordinates[pick, b * BLOCK + d])
    return picks
