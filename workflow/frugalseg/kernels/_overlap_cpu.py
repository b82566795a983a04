"""The compiled CPU path of `frugalseg.kernels.overlap`: numpy arrays in, numpy arrays out."""

import numpy as np
from numba import njit

# Pixels that are cut into runs at a time: their starts stay in the first cache.
BLOCK = 1024
# 2^64 over the golden ratio: spreads neighbouring codes over a hash table.
HASH = np.uint64(0x9E3779B97F4A7C15)


def count_pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of labels, sorted, and the pixels they share, from flat label images of int32 or int64, both the same.

    Raises
    ------
    ValueError
        If a label is negative.
    """
    codes, shared, bits = _count_runs(a, b)
    if bits < 0:
        raise ValueError(
            f"labels must be 0 (background) or positive, but the smallest is {min(a.min(), b.min())}; "
            "set pixels to ignore to 0"
        )
    if bits > np.iinfo(np.int32).max:
        # Two labels no longer fit into one code: count ranks instead.
        (a_labels, a_ranks), (b_labels, b_ranks) = (np.unique(labels, return_inverse=True) for labels in (a, b))
        ranks_a, ranks_b, shared = count_pairs(a_ranks, b_ranks)
        return a_labels[ranks_a], b_labels[ranks_b], shared
    order = np.argsort(codes)
    codes = codes[order]
    return codes >> 32, codes & np.iinfo(np.uint32).max, shared[order]


@njit(cache=True, nogil=True)
def _count_runs(a, b):
    """Codes (a 2^32 + b) of the pairs that occur, their pixels, and the bits that are set in any label.

    Pixels are counted run by run: label images change their pair of labels at one pixel in fifteen or so, and what a
    run costs is one look into the table. One pass over the pixels does everything, whatever the labels are.
    """
    size = len(a)
    starts = np.empty(BLOCK + 1, np.int64)
    codes, shared = np.full(4 * BLOCK, -1, np.int64), np.zeros(4 * BLOCK, np.int64)
    begin, filled, bits = 0, 0, np.int64(0)
    # An image of one pixel has one block, too.
    for first in range(1, max(size, 2), BLOCK):
        last = min(first + BLOCK, size)
        found = _find_starts(a, b, first, last, starts)
        if last == size:
            starts[found] = size
            found += 1
        # At most half full after this block, so that a look meets few others.
        if 2 * (filled + found) > len(codes):
            codes, shared = _enlarge(codes, shared)
        added, seen = _add_runs(a, b, begin, starts[:found], codes, shared)
        filled, bits = filled + added, bits | seen
        if found > 0:
            begin = starts[found - 1]
    taken = codes >= 0
    return codes[taken], shared[taken], bits


@njit(cache=True, nogil=True)
def _find_starts(a, b, first, last, starts):
    """Write the pixels in [first, last) whose pair of labels differs from that of the pixel before; returns how many."""
    here_a, here_b, before_a, before_b = a[first:last], b[first:last], a[first - 1 : last - 1], b[first - 1 : last - 1]
    changes = np.empty(last - first, np.bool_)
    for i in range(last - first):
        changes[i] = (here_a[i] != before_a[i]) | (here_b[i] != before_b[i])
    found = 0
    # Without a branch: where runs end cannot be predicted.
    for i in range(last - first):
        starts[found] = first + i
        found += changes[i]
    return found


@njit(cache=True, nogil=True)
def _add_runs(a, b, begin, ends, codes, shared):
    """Add to the table the runs that begin at `begin` and at every end but the last; returns new codes and bits seen."""
    filled, bits = 0, np.int64(0)
    for end in ends:
        label_a, label_b = np.int64(a[begin]), np.int64(b[begin])
        bits |= label_a | label_b
        code = (label_a << 32) | label_b
        # A negative code is no label; which one it is does not matter, for the result will not be used.
        code &= np.int64(0x7FFFFFFFFFFFFFFF)
        slot = _find_slot(codes, code)
        filled += codes[slot] < 0
        codes[slot] = code
        shared[slot] += end - begin
        begin = end
    return filled, bits


@njit(cache=True, nogil=True)
def _find_slot(codes, code):
    """Where a code stands in the table, or would stand."""
    mask = np.uint64(len(codes) - 1)
    slot = (np.uint64(code) * HASH >> np.uint64(32)) & mask
    while codes[slot] != code and codes[slot] >= 0:
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit(cache=True, nogil=True)
def _enlarge(codes, shared):
    large_codes, large_shared = np.full(2 * len(codes), -1, np.int64), np.zeros(2 * len(codes), np.int64)
    for slot in range(len(codes)):
        if codes[slot] >= 0:
            new = _find_slot(large_codes, codes[slot])
            large_codes[new], large_shared[new] = codes[slot], shared[slot]
    return large_codes, large_shared
