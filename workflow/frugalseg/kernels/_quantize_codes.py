"""Patches in principal coordinates of one byte, and what products with them say for sure about gains.

Coordinates stand in blocks of 64. The leading blocks of a patch are multiplied with those of a direction d; what
rounding took and the blocks not seen contribute at most the product of two lengths (Cauchy-Schwarz).
"""

from typing import NamedTuple

import numpy as np
import torch
from numba import njit, prange

from frugalseg.kernels._quantize_double import loop
from frugalseg.kernels._quantize_scores import Patches, parallel_loop

#: Coordinates in a block: one cache line of bytes.
BLOCK = 64
#: Rows from which the principal axes are estimated; any orthogonal axes are right, good ones are fast.
AXES_ROWS = 2048
#: Rows rotated at a time.
ROTATED_ROWS = 4096
#: Factor on float32 norms and bounds that covers the rounding of their sums.
ROUND_UP = 1.0 + 1e-4
#: A scan of fewer blocks is left to one thread: waking the others costs more.
PARALLEL_BLOCKS = 131072
#: Rows one thread scans before it asks for more.
SCAN_CHUNK = 4096
#: So few rows of a chunk are scored in float64 at once.
FEW = 2


class Screen(NamedTuple):
    """Patches in principal coordinates. Positions are rows at first; later, what is left over comes first.

    Attributes
    ----------
    coordinates : ndarray, shape (N, B * 64), float32
        By row, along the principal axes by falling variance; zeros fill up the last block.
    codes : ndarray, shape (B, N, 64), int8
        Coordinates, rounded, by position, in steps of their own.
    notes : ndarray, shape (B, N, 3), float32
        Size of a step; norm of what rounding took from blocks 0 .. b; norm of the coordinates in the blocks after b.
    skew : float
        How far the axes are from orthonormal: largest relative error of a product of two vectors that is taken along
        them.
    rows : ndarray, shape (N,), int64
        Row at each position.
    radius : ndarray, shape (N,), float32
        ||y|| of each position.
    base : ndarray, shape (N,), float32
        Gain of each position at the last refresh.
    middles, tops : ndarray, shape (N,), float32
        Approximate gains and upper bounds, in steps of the direction.
    places, rivals, scores : ndarray, shape (N,)
        Room for the positions that are looked at closer, their rows and their scores.
    change : ndarray, shape (B, 64), float64
        d in principal coordinates.
    along : ndarray, shape (B, 64), int16
    rates : ndarray, shape (B, 4)
        From `round_direction`.
    """

    coordinates: np.ndarray
    codes: np.ndarray
    notes: np.ndarray
    skew: float
    rows: np.ndarray
    radius: np.ndarray
    base: np.ndarray
    middles: np.ndarray
    tops: np.ndarray
    places: np.ndarray
    rivals: np.ndarray
    scores: np.ndarray
    change: np.ndarray
    along: np.ndarray
    rates: np.ndarray


def screen_of(features: torch.Tensor, patches: Patches) -> Screen:
    """The screen of features (N, D)."""
    count, dimensions = features.shape
    mean = torch.from_numpy(patches.mean)
    blocks = -(-dimensions // BLOCK)
    sample = (features[:: -(-count // AXES_ROWS)].double() - mean).float()
    axes = torch.linalg.eigh(sample.T @ sample).eigenvectors.flip(1).double()
    skew = float(torch.linalg.matrix_norm(axes @ axes.T - torch.eye(dimensions, dtype=torch.float64)))

    coordinates = torch.zeros(count, blocks * BLOCK)
    codes = torch.empty(blocks, count, BLOCK, dtype=torch.int8)
    notes = torch.zeros(blocks, count, 3)
    for start in range(0, count, ROTATED_ROWS):
        part = slice(start, start + ROTATED_ROWS)
        coordinates[part, :dimensions] = (features[part].double() - mean) @ axes
        block = coordinates[part].view(-1, blocks, BLOCK).transpose(0, 1)
        scale = (block.abs().amax(2) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        code = (block / scale[..., None]).round().clamp(-127, 127)
        codes[:, part], notes[:, part, 0] = code.to(torch.int8), scale
        notes[:, part, 1] = (block - code * scale[..., None]).square().sum(2).cumsum(0).sqrt() * ROUND_UP
        notes[:-1, part, 2] = block[1:].square().sum(2).flip(0).cumsum(0).flip(0).sqrt() * ROUND_UP
    tables = (table.numpy() for table in (coordinates, codes, notes))
    base, middles, tops = np.zeros((3, count), np.float32)
    places, rivals = np.empty((2, count), np.int64)
    change, along, rates = np.zeros((blocks, BLOCK)), np.empty((blocks, BLOCK), np.int16), np.empty((blocks, 4))
    return Screen(
        *tables,
        skew,
        np.arange(count),
        patches.radius.astype(np.float32),
        base,
        middles,
        tops,
        places,
        rivals,
        np.empty(count),
        change,
        along,
        rates,
    )


# Approximate gains may be summed in any order: `round_direction` bounds every order.
_scan_loop = njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_scan_loop
def block_product(code, scale, along):
    """Product of one block of a patch with the same block of the direction, in steps of the direction."""
    total = np.int32(0)
    for d in range(BLOCK):
        # Below 64 * 127 * 32767 < 2^31. The casts keep Numba from widening to 64 bits, which takes twice the time.
        total = np.int32(total + np.int32(np.int32(code[d]) * np.int32(along[d])))
    return scale * np.float32(total)


@_scan_loop
def scan_some(screen, blocks, inverse_step, square_rate, start, stop):
    """Write middles and tops of positions start .. stop; return the best lower bound and its place.

    Looks at the first `blocks` blocks. `square_rate` is alpha - alpha_then, in steps.
    """
    last, along, rates = blocks - 1, screen.along, screen.rates[blocks - 1]
    growth, step_inverse = np.float32(square_rate), np.float32(inverse_step)
    rate0, rate1 = np.float32(rates[0]), np.float32(rates[1])
    rate2, rate3 = np.float32(rates[2]), np.float32(rates[3])
    best, leader = np.float32(-np.inf), start
    for position in range(start, stop):
        radius = screen.radius[position]
        middle = screen.base[position] * step_inverse + growth * radius * radius
        for b in range(blocks):
            middle += block_product(screen.codes[b, position], screen.notes[b, position, 0], along[b])
        slack = rate0 * screen.notes[last, position, 1] + rate1 * screen.notes[last, position, 2]
        slack += (rate2 + rate3 * radius) * radius
        screen.middles[position] = middle
        screen.tops[position] = middle + slack
        if middle - slack > best:
            best, leader = middle - slack, position
    return best, leader


@parallel_loop
def scan_many(screen, blocks, inverse_step, square_rate, count):
    """`scan_some` for the first `count` positions, by all threads."""
    chunks = (count + SCAN_CHUNK - 1) // SCAN_CHUNK
    best, leader = np.empty(chunks, np.float32), np.empty(chunks, np.int64)
    for chunk in prange(chunks):
        start, stop = chunk * SCAN_CHUNK, min(count, (chunk + 1) * SCAN_CHUNK)
        best[chunk], leader[chunk] = scan_some(screen, blocks, inverse_step, square_rate, start, stop)
    return leader[best.argmax()]


@loop
def scan(screen, blocks, inverse_step, square_rate, count):
    """Write middles and tops of the first `count` positions; return the one of the best lower bound."""
    if count * blocks < PARALLEL_BLOCKS:
        return scan_some(screen, blocks, inverse_step, square_rate, 0, count)[1]
    return scan_many(screen, blocks, inverse_step, square_rate, count)


@loop
def narrow(screen, block, floor, places):
    """Look at `block` of the patches at `places`; put those whose gain may reach `floor` first, and count them."""
    rates, along, notes = screen.rates[block], screen.along[block], screen.notes[block]
    kept = 0
    for position in places:
        screen.middles[position] += block_product(screen.codes[block, position], notes[position, 0], along)
        radius = screen.radius[position]
        slack = rates[0] * notes[position, 1] + rates[1] * notes[position, 2] + (rates[2] + rates[3] * radius) * radius
        if screen.middles[position] + slack >= floor:
            places[kept] = position
            kept += 1
    return kept


@loop
def sift_some(screen, blocks, floor, start, stop):
    """Write the positions of start .. stop whose gain may reach `floor` into places[start:], one block more at a time.

    Returns how many there are, and how many looks at a block it took.
    """
    found, looks = 0, 0
    for position in range(start, stop):
        screen.places[start + found] = position
        found += screen.tops[position] >= floor
    for block in range(blocks, screen.along.shape[0]):
        if found <= FEW:
            break
        looks += found
        found = narrow(screen, block, floor, screen.places[start : start + found])
    return found, looks


@parallel_loop
def sift_many(screen, blocks, floor, count):
    """`sift_some` for the first `count` positions, by all threads; the places found come first."""
    chunks = (count + SCAN_CHUNK - 1) // SCAN_CHUNK
    found, looks = np.empty(chunks, np.int64), np.empty(chunks, np.int64)
    for chunk in prange(chunks):
        start, stop = chunk * SCAN_CHUNK, min(count, (chunk + 1) * SCAN_CHUNK)
        found[chunk], looks[chunk] = sift_some(screen, blocks, floor, start, stop)
    total = 0
    for chunk in range(chunks):
        for index in range(found[chunk]):
            screen.places[total] = screen.places[chunk * SCAN_CHUNK + index]
            total += 1
    return total, looks.sum()


@loop
def sift(screen, blocks, floor, count):
    """Find the positions whose gain may reach `floor` after a scan of `blocks` blocks; see `sift_some`."""
    if count * blocks < PARALLEL_BLOCKS:
        return sift_some(screen, blocks, floor, 0, count)
    return sift_many(screen, blocks, floor, count)


@loop
def round_direction(screen, drift, base_terms, square_terms):
    """Round d to 16 bits and bound what approximate gains lack; return the size of a step.

    Writes `along`, and in `rates` the bounds on |gain - approximate gain| after block b, in steps, as rates for the two
    norms of `notes`, ||y|| and ||y||^2. What rounding took from a patch contributes at most its norm times that of d in
    the blocks seen, and what was not seen its norm times that of d there. The last two cover `drift`, the skew, the
    steps (a patch in bytes is shorter than 2 ||y||) and the float32 sums.

    Parameters
    ----------
    screen : Screen
    drift : float
        Bound on the error of `change`, as a length.
    base_terms, square_terms : float
        Gains have magnitudes up to base_terms ||y|| + square_terms ||y||^2, and y.d.
    """
    change, rates = screen.change, screen.rates
    blocks = change.shape[0]
    step = np.abs(change).max() / 32767.0
    if step == 0.0:
        step = 1.0
    total = np.sum(change**2)
    single = 2.0**-23 * (BLOCK + blocks + 16)
    seen = 0.0
    for b in range(blocks):
        for d in range(BLOCK):
            screen.along[b, d] = np.int16(np.rint(change[b, d] / step))
            seen += change[b, d] ** 2
        rates[b, 0] = np.sqrt(seen) / step * ROUND_UP
        rates[b, 1] = np.sqrt(max(0.0, total * (1.0 + 1e-12) - seen)) / step * ROUND_UP
        rates[b, 2] = ((screen.skew + single) * np.sqrt(total) + single * base_terms + drift) / step * ROUND_UP
        rates[b, 2] += np.sqrt(blocks * BLOCK)
        rates[b, 3] = single * square_terms / step * ROUND_UP
    return step


@loop
def move(screen, position, other):
    """Put what is known of one position in the place of another."""
    screen.rows[position] = screen.rows[other]
    screen.radius[position] = screen.radius[other]
    screen.base[position] = screen.base[other]
    for b in range(screen.codes.shape[0]):
        screen.codes[b, position] = screen.codes[b, other]
        screen.notes[b, position] = screen.notes[b, other]
