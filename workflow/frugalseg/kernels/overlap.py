"""Overlap of two label images: how many pixels each pair of labels shares, counted run by run."""

from __future__ import annotations

import torch
from torch import Tensor


def overlap_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Pixels that every label of one image shares with every label of another, as a dense matrix.

    Parameters
    ----------
    a, b : Tensor
        (H, W) integer labels >= 0 on one device, 0 is background; labels may have gaps.

    Returns
    -------
    Tensor
        (n_a + 1, n_b + 1) int64 with n the largest label; row and column 0 are the backgrounds, the row and column of
        a label that does not occur are zero. Row sums are the areas in `a`, column sums those in `b`.

    Raises
    ------
    ValueError
        If the images differ in shape, are not two-dimensional, hold no pixel, no integers or a negative label.

    Notes
    -----
    The matrix has (n_a + 1) (n_b + 1) entries, whatever number of them is filled: where labels run into the tens of
    thousands, use :func:`overlap_pairs`.
    """
    labels_a, labels_b, shared = overlap_pairs(a, b)
    matrix = shared.new_zeros((int(labels_a.max()) + 1, int(labels_b.max()) + 1))
    matrix[labels_a, labels_b] = shared
    return matrix


def overlap_pairs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of labels that share pixels, and how many: the filled entries of :func:`overlap_matrix`.

    Memory is bounded by the number of pixels, however large the labels are.

    Parameters
    ----------
    a, b : Tensor
        (H, W) integer labels >= 0 on one device, 0 is background; labels may have gaps.

    Returns
    -------
    tuple of Tensor
        Three (P,) int64 tensors: the label in `a`, the label in `b`, the pixels they share (> 0). Backgrounds are
        labels like any other here. Sorted by the label in `a`, then the label in `b`.

    Raises
    ------
    ValueError
        As :func:`overlap_matrix`.
    """
    if a.shape != b.shape or a.ndim != 2 or a.numel() == 0:
        raise ValueError(
            "overlap needs two label images of one shape (H, W) with at least one pixel, "
            f"but they are {tuple(a.shape)} and {tuple(b.shape)}"
        )
    a, b = _integer_labels(a), _integer_labels(b)
    return _count(*_runs(a.flatten(), b.flatten()))


def _integer_labels(labels: Tensor) -> Tensor:
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be integers, but they are {labels.dtype}; round and convert them first")
    narrow = labels.dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32)
    return labels.to(torch.int32 if narrow else torch.int64)


def _runs(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labels and lengths of the runs of pixels (P,) with one pair of labels: far fewer than pixels in label images."""
    starts = torch.ones_like(a, dtype=torch.bool)
    torch.logical_or(a[1:] != a[:-1], b[1:] != b[:-1], out=starts[1:])
    starts = starts.nonzero().squeeze(1)
    return a[starts].long(), b[starts].long(), starts.diff(append=starts.new_tensor([len(a)]))


def _count(a: Tensor, b: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of labels of runs, sorted, and the pixels of each, from one code a run."""
    smallest, largest_a, largest_b = torch.stack((torch.minimum(a.min(), b.min()), a.max(), b.max())).tolist()
    if smallest < 0:
        raise ValueError(
            f"labels must be 0 (background) or positive, but the smallest is {smallest}; set pixels to ignore to 0"
        )
    columns = largest_b + 1
    if (largest_a + 1) * columns > torch.iinfo(torch.int64).max:
        # Two labels no longer fit into one code: count ranks instead.
        (labels_a, a), (labels_b, b) = (labels.unique(return_inverse=True) for labels in (a, b))
        ranks_a, ranks_b, shared = _count(a, b, lengths)
        return labels_a[ranks_a], labels_b[ranks_b], shared
    codes = a * columns + b
    if (largest_a + 1) * columns <= 4 * len(codes):
        counts = codes.new_zeros((largest_a + 1) * columns).index_add_(0, codes, lengths)
        codes = counts.nonzero().squeeze(1)
        return codes // columns, codes % columns, counts[codes]
    codes, places = codes.unique(return_inverse=True)
    return codes // columns, codes % columns, torch.zeros_like(codes).index_add_(0, places, lengths)
