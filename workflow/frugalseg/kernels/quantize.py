"""Exact greedy dataset quantization: a partition of patches into bins, from their features.

Zhou et al. (Dataset Quantization, ICCV 2023); gains as in Zhao & Chen (arXiv 2511.04803).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

#: Gains a bin can be filled by.
GAINS = ("sum", "mean", "graphcut")
#: Magnitude beyond which sums of products could overflow.
LARGEST = 1e100
#: Most patches whose Gram matrix, 4 N^2 bytes, is held for the gain ``mean``; more are screened in O(N D) memory.
GRAM_PATCHES = 11_500


def greedy_bins(features: Tensor, n_bins: int, gain: str = "sum") -> list[Tensor]:
    """Bins of patch indices in greedy order, from features.

    Every pick is the patch x left over with the largest gain. With S the bin being filled:

    - ``sum`` (Zhao & Chen, eq. 1): sum over p in S of ||p - x||^2 minus sum over p in D \\ S of ||p - x||^2, with D
      the patches that no earlier bin took.
    - ``mean`` (their public script): mean of ||p - x||^2 over S minus its mean over all patches; the first pick of a
      bin is the patch left over with the smallest summed distance to all patches.
    - ``graphcut``: ``sum`` on features of unit length (zero features stay zero).

    Parameters
    ----------
    features : Tensor, shape (N, D), floating point
        One row a patch, on any device. float32 features are used as they are. Memory is O(N D); up to `GRAM_PATCHES` patches, ``mean``
        also holds their Gram matrix, at most half a gigabyte.
    n_bins : int
        Number of bins, 1 to N.
    gain : {"sum", "mean", "graphcut"}

    Returns
    -------
    list of LongTensor
        One tensor a bin, on the CPU, in the order of the picks. Sizes differ by at most one, larger bins first. Gains
        that float64 cannot tell apart are decided in twice that precision, and true ties go to the smallest index: the
        picks are the same on every device and with any number of threads.

    Raises
    ------
    ValueError
        When `features` is not a matrix of finite floating point numbers, `n_bins` is not in 1 .. N, or `gain` is not
        known.
    """
    if gain not in GAINS:
        raise ValueError(f"unknown gain {gain!r}: choose one of {', '.join(GAINS)}")
    features = checked(features)
    if not 1 <= n_bins <= len(features):
        raise ValueError(f"{len(features)} patches cannot fill {n_bins} bins: choose 1 to {len(features)} bins")
    if gain == "graphcut":
        features = torch.nn.functional.normalize(features.double(), dim=1, eps=torch.finfo(torch.float64).tiny)
        gain = "sum"
    sizes = [len(part) for part in torch.arange(len(features)).tensor_split(n_bins)]
    pick_all = _pick_on_cpu if features.device.type == "cpu" else _pick_on_device
    return list(pick_all(features, sizes, gain).split(sizes))


def checked(features: Tensor) -> Tensor:
    """Features as all functions here take them, from a matrix (N, D) of one row a patch: contiguous float32 or float64.

    Raises
    ------
    ValueError
        When `features` is not a matrix of finite floating point numbers.
    """
    if features.ndim != 2 or not features.is_floating_point():
        raise ValueError(
            f"features must be a floating point matrix (patches, dimensions), not {features.dtype} of shape "
            f"{tuple(features.shape)}"
        )
    if 0 in features.shape:
        raise ValueError(f"features of shape {tuple(features.shape)} are empty: there is nothing to compare")
    low, high = features.aminmax()
    if not max(-low.item(), high.item()) < LARGEST:
        good = (features.abs() < LARGEST).all(1)
        raise ValueError(
            f"features of {int((~good).sum())} of {len(features)} patches are not finite (or beyond {LARGEST:g}), "
            f"first at row {int((~good).nonzero()[0])}: check the images and the encoder"
        )
    features = features.detach().contiguous()
    return features if features.dtype in (torch.float32, torch.float64) else features.float()


def squared_distances(features: Tensor, point: Tensor) -> Tensor:
    """Squared Euclidean distances to `point` (D,) of all rows of `checked` features (N, D): float64, of shape (N,)."""
    if features.device.type != "cpu":
        return (features.double() - point).square().sum(1)
    from frugalseg.kernels import _quantize_cpu as compiled

    with _torch_threads():
        return torch.from_numpy(compiled.squared_distances(features.numpy(), point.double().numpy()))


@contextmanager
def _torch_threads() -> Iterator[None]:
    """Let the compiled loops use as many threads as PyTorch may."""
    # Numba takes a second to import, and only a few callers of the kernels quantize.
    import numba

    threads = numba.get_num_threads()
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(threads)


def _pick_on_cpu(features: Tensor, sizes: list[int], gain: str) -> Tensor:
    """All picks, bin after bin, by compiled loops that read little of the features."""
    from frugalseg.kernels import _quantize_cpu as compiled
    from frugalseg.kernels import _quantize_gram as gram
    from frugalseg.kernels import _quantize_screen as screen

    rows, counts = features.numpy(), np.array(sizes)
    with _torch_threads():
        mean = compiled.mean_row(rows)
        squared = compiled.squared_distances(rows, mean)
        following, first = compiled.chain_copies(rows, squared)
        if gain == "sum":
            picks = compiled.greedy_sum(rows, mean, squared, following, first, counts)
        elif len(features) <= GRAM_PATCHES:
            products = gram.gram_matrix(features, torch.from_numpy(mean))
            picks = gram.greedy_mean(rows, mean, squared, following, first, counts, products)
        else:
            principal = screen.principal_bytes(features, torch.from_numpy(mean))
            picks = screen.greedy_mean(rows, mean, squared, following, first, counts, *principal)
    return torch.from_numpy(picks)


def _pick_on_device(features: Tensor, sizes: list[int], gain: str) -> Tensor:
    """All picks, bin after bin, by one float64 matrix-vector product a pick on the device of the features.

    The vectors of `_quantize_cpu` are kept on the host in double-double; so are the rare decisions float64 leaves open.
    """
    from frugalseg.kernels import _quantize_cpu as compiled

    device, count = features.device, len(features)
    rows = features.cpu().numpy()
    mean = compiled.mean_row(rows)
    centred = features.double() - torch.from_numpy(mean).to(device)
    squared = centred.square().sum(1)
    radius = squared.sqrt()
    relative = compiled.rounding(rows.shape[1])
    following, first = compiled.chain_copies(rows, compiled.squared_distances(rows, mean))
    barred = torch.from_numpy(~first).to(device)

    all_high, all_low = compiled.sum_rows(rows, mean)
    pool_high, pool_low = all_high.copy(), all_low.copy()
    picks = []
    for size in sizes:
        n = count - len(picks)
        bin_high, bin_low = np.zeros_like(mean), np.zeros_like(mean)
        sum_high, sum_low = 2.0 * pool_high, 2.0 * pool_low
        for k in range(size):
            if gain == "sum":
                alpha, high, low = 2.0 * k - n, sum_high, sum_low
            elif k == 0:
                alpha, high, low = -float(count), 2.0 * all_high, 2.0 * all_low
            else:
                alpha = 0.0
                high, low = compiled.mean_direction(count, k, bin_high, bin_low, all_high, all_low)
            vector = torch.from_numpy(high).to(device)
            gains = torch.addmv(squared, centred, vector, beta=alpha).masked_fill_(barred, -torch.inf)
            error = relative * (abs(alpha) * squared + vector.norm() * radius)
            rivals = (gains + error >= (gains - error).max()).nonzero()[:, 0].cpu().numpy()
            pick = int(rivals[0]) if len(rivals) == 1 else compiled.settle(rows, mean, alpha, high, low, rivals)
            picks.append(pick)
            barred[pick] = True
            if following[pick] >= 0:
                barred[following[pick]] = False
            compiled.add_row(bin_high, bin_low, rows[pick], mean, 1.0)
            compiled.add_row(sum_high, sum_low, rows[pick], mean, -4.0)
            compiled.add_row(pool_high, pool_low, rows[pick], mean, -1.0)
    return torch.tensor(picks)
