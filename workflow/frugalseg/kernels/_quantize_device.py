"""The exact greedy in plain PyTorch, where the features are: the host waits for the device once a window, not once a pick.

A refresh scores what is left over in float64, takes the best rows as candidates, and bounds the others, the outsiders,
as `_quantize_lazy` does. A window then makes picks among the candidates without knowing whether they are right: every
step is queued on the device and leaves behind the pick, the upper ends of the two best gains, and the vector v. Then the
host looks. A pick is clear if the lower end of its gain lies above all others' upper ends, the outsiders' bound among
them; the picks before the first unclear one stand, and the next window begins there. If already the first pick of a
window is unclear, the host settles it in double-double arithmetic, so every window makes at least one pick.

Under the gain ``mean`` every pick reorders all patches: there all rows are candidates, and none is an outsider.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from frugalseg.kernels._quantize_double import add_row, settle, sum_rows
from frugalseg.kernels._quantize_scores import UNIT, Patches, centred_patches, direction, rounding

#: Outsiders of similar norm share one bound.
BUCKETS = 128
#: Most and least steps of a window.
LONGEST, SHORTEST = 256, 8


@dataclass
class Pool:
    """What is left over for a bin. Equal patches are one row; all tensors are on the device.

    Attributes
    ----------
    heads : ndarray, shape (n,), int64
        The first patch left over of each row, on the host.
    rows : Tensor, shape (n, D), float64
        Centred.
    squared, radius : Tensor, shape (n,)
        Squared norm and norm.
    copies : Tensor, shape (n,), int64
        How many patches of each row are left over.
    bucket : Tensor, shape (n,), int64
        Rows of similar norm share a bucket.
    squares : Tensor, shape (BUCKETS,)
        Largest squared norm of a bucket.
    """

    heads: np.ndarray
    rows: Tensor
    squared: Tensor
    radius: Tensor
    copies: Tensor
    bucket: Tensor
    squares: Tensor


class Moment(NamedTuple):
    """The gains at the start of a window: alpha ||y||^2 + y.v, and how they change.

    Attributes
    ----------
    alpha : float
    vector : ndarray, shape (2, D)
        v as double-double.
    terms : float
        Length of the terms of v.
    growth : float
        What a pick adds to alpha.
    factor : float
        The part of a pick's row that it adds to v.
    shift : ndarray, shape (D,)
        What a pick adds to v besides.
    """

    alpha: float
    vector: np.ndarray
    terms: float
    growth: float
    factor: float
    shift: np.ndarray


def greedy(features: Tensor, sizes: list[int], by_sum: bool) -> Tensor:
    """Fill bins by the gain ``sum`` or ``mean``.

    Parameters
    ----------
    features : Tensor, shape (N, D), float32 or float64
        On any device, which holds another 8 N D bytes.
    sizes : list of int
        Sizes of the bins; they add up to N.
    by_sum : bool
        Whether the gain is ``sum``; else it is ``mean``.

    Returns
    -------
    LongTensor, shape (N,)
        Patches in the order of their picks, on the CPU.
    """
    patches = centred_patches(features.cpu().numpy())
    chains = first_copies(patches.following)
    whole = sum_rows(patches.features, patches.mean)
    opened, left = whole.copy(), np.arange(len(features))
    picks = []
    for size in sizes:
        pool = open_pool(features, patches, left, chains)
        members = fill_bin(pool, patches, size, by_sum, len(left), whole, opened)
        for pick in members:
            add_row(opened, patches.features[pick], patches.mean, -1.0)
        left = np.setdiff1d(left, members, assume_unique=True)
        picks += members
    return torch.tensor(picks)


def first_copies(following: np.ndarray) -> np.ndarray:
    """The first of the patches equal to each one, (N,), from the next one equal to it."""
    chains = np.arange(len(following))
    for row in np.flatnonzero(following >= 0):
        chains[following[row]] = chains[row]
    return chains


def open_pool(features: Tensor, patches: Patches, left: np.ndarray, chains: np.ndarray) -> Pool:
    """The patches `left`, ascending, gathered on the device of the features."""
    device = features.device
    _, heads, copies = np.unique(chains[left], return_index=True, return_counts=True)
    heads = left[heads]
    rows = features[torch.from_numpy(heads).to(device)].double().sub_(torch.from_numpy(patches.mean).to(device))
    squared = rows.square().sum(1)
    bucket = torch.empty(len(rows), dtype=torch.int64, device=device)
    bucket[squared.argsort()] = torch.arange(len(rows), device=device) * BUCKETS // len(rows)
    squares = torch.zeros(BUCKETS, dtype=torch.float64, device=device).scatter_reduce(0, bucket, squared, "amax")
    return Pool(heads, rows, squared, squared.sqrt(), torch.from_numpy(copies).to(device), bucket, squares)


def fill_bin(
    pool: Pool, patches: Patches, size: int, by_sum: bool, left: int, whole: np.ndarray, opened: np.ndarray
) -> list[int]:
    """The picks of one bin.

    Parameters
    ----------
    pool : Pool
        Is used up.
    patches : Patches
    size, left : int
        Number of picks, and of the patches left over.
    by_sum : bool
    whole, opened : ndarray, shape (2, D)
        Double-double sums of all patches and of those left over, centred.
    """
    own, picks = np.zeros_like(whole), []
    count, rows = len(patches.features), len(pool.heads)
    wanted, steps = rows ** (2 / 3) if by_sum else float(rows), SHORTEST
    while len(picks) < size:
        k = len(picks)
        alpha, vector, terms = direction(by_sum, count, left, k, whole, opened, own)
        growth, factor, shift = (2.0, -4.0, np.zeros_like(own[0])) if by_sum else (0.0, -float(count), whole[0])
        moment = Moment(alpha, vector, terms, growth, factor, shift)
        # The first pick of a bin has a rule of its own under ``mean``.
        limit = 1 if k == 0 and not by_sum else min(steps, size - k)
        candidates, made = next_picks(pool, patches, moment, wanted, limit)
        for place in made:
            pick = int(pool.heads[place])
            picks.append(pick)
            pool.heads[place] = patches.following[pick]
            add_row(own, patches.features[pick], patches.mean, 1.0)
        places = torch.from_numpy(made).to(pool.copies.device)
        pool.copies.index_add_(0, places, torch.full_like(places, -1))
        steps = min(LONGEST, max(SHORTEST, 2 * len(made)))
        if by_sum:
            # Refreshes and windows are kept in balance.
            wanted = min(rows, 1.5 * wanted) if candidates * len(made) < rows else max(4.0, wanted / 1.5)
    return picks


def next_picks(pool: Pool, patches: Patches, moment: Moment, wanted: float, steps: int) -> tuple[int, np.ndarray]:
    """How many candidates a window had, and the places in the pool of the picks it made for sure, at least one."""
    device = pool.rows.device
    vector = torch.from_numpy(moment.vector[0]).to(device)
    # Longer than any v of the window, and the relative error of its gains, for which v is rounded at every step.
    terms = moment.terms + steps * (abs(moment.factor) * pool.radius.max() + np.linalg.norm(moment.shift))
    relative = rounding(len(vector)) + 8 * steps * UNIT
    slack = relative * ((abs(moment.alpha) + moment.growth * steps) * pool.squared + terms * pool.radius)
    gains = torch.addmv(pool.squared, pool.rows, vector, beta=moment.alpha).masked_fill_(pool.copies <= 0, -torch.inf)

    tops = torch.full_like(pool.squares, -torch.inf)
    candidates = None
    if wanted < len(gains) / 2:
        candidates = gains.topk(int(wanted)).indices
        outside = (gains + slack).index_fill_(0, candidates, -torch.inf)
        tops.scatter_reduce_(0, pool.bucket, outside, "amax")
    chosen, uppers, vectors = queue_window(pool, moment, vector, candidates, slack, steps)

    lowers = uppers[:, 0] - 2 * slack[chosen]
    moved = torch.linalg.vector_norm(vectors - vector, dim=1)[:, None] + relative * terms
    squares = pool.squares * moment.growth * torch.arange(steps, device=device)[:, None]
    bounds = (tops + (squares + moved * pool.squares.sqrt()) * (1 + relative)).amax(1)
    clear = ((lowers > uppers[:, 1]) & (lowers > bounds)).long().cumprod(0)
    made = chosen[: int(clear.sum())].cpu().numpy()
    if not len(made):
        rivals = (gains + slack >= (gains - slack).max()).nonzero()[:, 0].cpu().numpy()
        pick = settle(patches.features, patches.mean, moment.alpha, moment.vector, pool.heads[rivals])
        made = rivals[pool.heads[rivals] == pick]
    return len(gains) if candidates is None else len(candidates), made


def queue_window(
    pool: Pool, moment: Moment, vector: Tensor, candidates: Tensor | None, slack: Tensor, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queue the picks of a window, right or not; nothing here waits for the device.

    Parameters
    ----------
    pool : Pool
    moment : Moment
    vector : Tensor, shape (D,)
        v at its start.
    candidates : LongTensor or None
        Places in the pool; None for all.
    slack : Tensor, shape (n,)
        Bound on the errors of the gains.
    steps : int

    Returns
    -------
    chosen : LongTensor, shape (steps,)
        Places in the pool.
    uppers : Tensor, shape (steps, 2)
        Upper ends of the gains of the pick and of the second best.
    vectors : Tensor, shape (steps, D)
        v at each step.
    """
    every = slice(None) if candidates is None else candidates
    rows, squared, copies = pool.rows[every], pool.squared[every], pool.copies[every].clone()
    shift = torch.from_numpy(moment.shift).to(vector.device)
    minus = torch.full((1,), -1, dtype=copies.dtype, device=copies.device)
    offset = (moment.alpha * squared + slack[every]).masked_fill_(copies <= 0, -torch.inf)
    chosen = torch.empty(steps, dtype=torch.int64, device=vector.device)
    uppers = vector.new_full((steps, 2), -torch.inf)
    vectors = vector.new_empty(steps, len(vector))
    for step in range(steps):
        vectors[step] = vector
        best = torch.addmv(offset, rows, vector).topk(min(2, len(rows)))
        place = best.indices[:1]
        chosen[step : step + 1] = place
        uppers[step, : len(best.values)] = best.values
        vector = torch.add(vector + shift, rows[place][0], alpha=moment.factor)
        copies.index_add_(0, place, minus)
        offset.add_(squared, alpha=moment.growth).masked_fill_(copies <= 0, -torch.inf)
    return chosen if candidates is None else candidates[chosen], uppers, vectors
