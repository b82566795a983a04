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
    if a.device.type != "cpu":
        return _pairs_of_codes(a, b)
    from frugalseg.kernels._overlap_cpu import count_pairs

    # One type for both: two compiled versions instead of four.
    common = torch.promote_types(a.dtype, b.dtype)
    columns = count_pairs(*(labels.to(common).reshape(-1).numpy() for labels in (a, b)))
    labels_a, labels_b, shared = (torch.from_numpy(column).long() for column in columns)
    return labels_a, labels_b, shared


def _integer_labels(labels: Tensor) -> Tensor:
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels must be integers, but they are {labels.dtype}; round and convert them first")
    narrow = labels.dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32)
    return labels.to(torch.int32 if narrow else torch.int64)


def _pairs_of_codes(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The path for devices other than the CPU: one code per pixel, sorted, for what is large, or else counted."""
    smallest, largest_a, largest_b = torch.stack((torch.minimum(a.min(), b.min()), a.max(), b.max())).tolist()
    if smallest < 0:
        raise ValueError(
            f"labels must be 0 (background) or positive, but the smallest is {smallest}; set pixels to ignore to 0"
        )
    if (largest_a + 1) * (largest_b + 1) > torch.iinfo(torch.int64).max:
        labels_a, a = a.unique(return_inverse=True)
        labels_b, b = b.unique(return_inverse=True)
        ranks_a, ranks_b, shared = _pairs_of_codes(a, b)
        return labels_a[ranks_a].long(), labels_b[ranks_b].long(), shared
    columns = largest_b + 1
    codes = (a.long() * columns + b).flatten()
    if (largest_a + 1) * columns <= codes.numel():
        counts = codes.bincount()
        codes = counts.nonzero().squeeze(1)
        shared = counts[codes]
    else:
        codes, shared = codes.unique(return_counts=True)
    return codes // columns, codes % columns, shared
