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
#: Features are scaled when their largest magnitude is not in this range: single precision bounds must not overflow.
EASY = (2.0**-20, 2.0**20)
#: Most patches whose Gram matrix, 4 N^2 bytes, is held where the lazy search does not serve.
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
        One row a patch, on any device. On the CPU, memory beyond the features is O(N); up to `GRAM_PATCHES` patches,
        ``mean``, and ``sum`` where norms are nearly equal, also hold their Gram matrix, at most half a gigabyte.
        Elsewhere it is O(N D).
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
    features = _scaled(features)
    sizes = [len(part) for part in torch.arange(len(features)).tensor_split(n_bins)]
    pick_all = _pick_on_cpu if features.device.type == "cpu" else _pick_on_device
    with _torch_threads():
        return list(pick_all(features, sizes, gain == "sum").split(sizes))


def checked(features: Tensor) -> Tensor:
    """Features (N, D) as contiguous float32 or float64; a ValueError says why they are no matrix of finite numbers."""
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
    from frugalseg.kernels import _quantize_scores as scores

    with _torch_threads():
        return torch.from_numpy(scores.squared_distances(features.numpy(), point.double().numpy()))


def _scaled(features: Tensor) -> Tensor:
    """Features times a power of two that makes their largest magnitude easy; this changes no order of gains."""
    low, high = features.aminmax()
    largest = torch.maximum(-low, high)
    if largest == 0 or EASY[0] <= largest <= EASY[1]:
        return features
    # float64: what is large in float32 may be small there, and may not be lost.
    return torch.ldexp(features.double(), -torch.frexp(largest.double()).exponent)


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


def _pick_on_cpu(features: Tensor, sizes: list[int], by_sum: bool) -> Tensor:
    """All picks, bin after bin, by the compiled loops."""
    from frugalseg.kernels import _quantize_gram, _quantize_lazy
    from frugalseg.kernels._quantize_scores import centred_patches

    patches, counts = centred_patches(features.numpy()), np.array(sizes)
    small = len(features) <= GRAM_PATCHES
    if by_sum:
        picks, done = _quantize_lazy.greedy_sum(patches, counts, _quantize_lazy.tiers_of(patches), small)
        if done == len(picks):
            return torch.from_numpy(picks)
    gram = _quantize_gram.gram_matrix(features, patches.mean) if small else np.empty((0, 0), np.float32)
    return torch.from_numpy(_quantize_gram.greedy(patches, counts, by_sum, gram))


def _pick_on_device(features: Tensor, sizes: list[int], by_sum: bool) -> Tensor:
    """All picks, bin after bin, where the features are: one float64 product with all rows a pick."""
    from frugalseg.kernels import _quantize_scores as scores
    from frugalseg.kernels._quantize_double import add_row, settle, sum_rows

    patches = scores.centred_patches(features.cpu().numpy())
    mean, squared = (torch.from_numpy(part).to(features.device) for part in (patches.mean, patches.squared))
    rows, radius, live = features.double() - mean, squared.sqrt(), torch.from_numpy(patches.first).to(features.device)
    whole = sum_rows(patches.features, patches.mean)
    pool, picks = whole.copy(), []
    for size in sizes:
        own, opened, left = np.zeros_like(whole), pool.copy(), len(rows) - len(picks)
        for k in range(size):
            alpha, vector, terms = scores.direction(by_sum, len(rows), left, k, whole, opened, own)
            gains = torch.addmv(squared, rows, torch.from_numpy(vector[0]).to(rows.device), beta=alpha)
            gains = gains.masked_fill(~live, -torch.inf)
            error = scores.rounding(len(mean)) * (abs(alpha) * squared + terms * radius)
            rivals = (gains + error >= (gains - error).amax()).nonzero()[:, 0].cpu().numpy()
            pick = settle(patches.features, patches.mean, alpha, vector, rivals) if len(rivals) > 1 else rivals[0]
            picks.append(int(pick))
            live[pick] = False
            if patches.following[pick] >= 0:
                live[patches.following[pick]] = True
            add_row(own, patches.features[pick], patches.mean, 1.0)
            add_row(pool, patches.features[pick], patches.mean, -1.0)
    return torch.tensor(picks)
