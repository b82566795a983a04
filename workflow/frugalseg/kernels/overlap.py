"""Overlap of two label images: how many pixels each pair of labels shares, from one pass over the pixels."""

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
    codes, n_rows, n_columns = _pair_codes(a, b)
    return torch.bincount(codes, minlength=n_rows * n_columns).view(n_rows, n_columns)


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
    codes, n_rows, n_columns = _pair_codes(a, b)
    if n_rows * n_columns <= codes.numel():
        shared = torch.bincount(codes)
        filled = shared.nonzero().squeeze(1)
        shared = shared[filled]
    else:
        filled, shared = torch.unique(codes, return_counts=True)
        filled = filled.to(torch.int64)
    return filled // n_columns, filled % n_columns, shared


def _pair_codes(a: Tensor, b: Tensor) -> tuple[Tensor, int, int]:
    """One number per pixel, ``a * n_columns + b``, and the rows and columns of the matrix it counts into."""
    if a.shape != b.shape or a.ndim != 2 or a.numel() == 0:
        raise ValueError(
            "overlap needs two label images of one shape (H, W) with at least one pixel, "
            f"but they are {tuple(a.shape)} and {tuple(b.shape)}"
        )
    a, n_rows = _integer_labels(a)
    b, n_columns = _integer_labels(b)
    # 32-bit codes halve the memory traffic of the pass, which is all its cost.
    code_type = torch.int32 if n_rows * n_columns <= torch.iinfo(torch.int32).max else torch.int64
    return (a.to(code_type) * n_columns).add_(b.to(code_type)).flatten(), n_rows, n_columns


def _integer_labels(labels: Tensor) -> tuple[Tensor, int]:
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be integers, but they are {labels.dtype}; round and convert them first")
    # Torch has no maximum of unsigned integers wider than a byte.
    labels = labels if labels.dtype == torch.int32 else labels.to(torch.int64)
    smallest, largest = (int(label) for label in labels.aminmax())
    if smallest < 0:
        raise ValueError(f"labels must be 0 (background) or positive, but the smallest is {smallest}")
    return labels, largest + 1
