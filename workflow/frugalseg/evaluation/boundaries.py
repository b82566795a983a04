"""Distances between the boundaries of two foregrounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree


def hausdorff_95(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> float:
    """95th percentile Hausdorff distance between the boundaries of two foregrounds, in pixels.

    The boundary of a foreground are its pixels with one of their four neighbours in the background; what lies outside
    the image is background. From every boundary pixel of one image the Euclidean distance to the nearest boundary
    pixel of the other is taken; the result is the larger of the two directions' 95th percentiles, interpolated
    linearly (Maier-Hein et al. 2024, Metrics Reloaded).

    Parameters
    ----------
    truth, prediction : np.ndarray
        (H, W) bool.

    Returns
    -------
    float
        0 if both are empty; sqrt(H^2 + W^2) if only one is, more than any two pixels of the image are apart.
    """
    true_boundary, predicted_boundary = _boundary(truth), _boundary(prediction)
    if not true_boundary.any() and not predicted_boundary.any():
        return 0.0
    if not true_boundary.any() or not predicted_boundary.any():
        return float(np.hypot(*truth.shape))
    return max(
        _directed_95(true_boundary, predicted_boundary),
        _directed_95(predicted_boundary, true_boundary),
    )


def _boundary(foreground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(foreground, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return foreground & ~inner


def _directed_95(source: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """95th percentile of the distances from the pixels of `source` to the nearest pixel of `target`."""
    missed, distances = np.argwhere(source & ~target), np.zeros(np.count_nonzero(source))
    # Points of a boundary lie evenly, so that a tree that is built fast is searched as fast.
    tree = KDTree(np.argwhere(target), leafsize=32, compact_nodes=False, balanced_tree=False)
    distances[: len(missed)], _ = tree.query(missed)
    return float(np.percentile(distances, 95))
