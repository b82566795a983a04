"""Distances between the boundaries of two foregrounds, from one sweep over the image and a short search per pixel."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
    squares = _squared_distances(source, _distances_in_columns(target))
    return float(np.percentile(np.sqrt(squares), 95))


@njit(cache=True, nogil=True)
def _distances_in_columns(target):
    """Pixels up or down to the nearest target in the same column; height + width where the column has none."""
    height, width = target.shape
    distances = np.full((height, width), height + width, np.int32)
    for y in range(height):
        here, above = distances[y], distances[max(y - 1, 0)]
        for x in range(width):
            here[x] = 0 if target[y, x] else min(here[x], above[x] + 1)
    for y in range(height - 2, -1, -1):
        here, below = distances[y], distances[y + 1]
        for x in range(width):
            here[x] = min(here[x], below[x] + 1)
    return distances


@njit(cache=True, nogil=True)
def _squared_distances(source, columns):
    """Squared distance from every source pixel, in reading order, to the nearest target.

    Columns are searched outwards from the pixel's own until they lie further away than what was found: the work is the
    sum of the distances.
    """
    height, width = source.shape
    squares = np.empty(np.count_nonzero(source), np.int64)
    found = 0
    for y in range(height):
        for x in range(width):
            if not source[y, x]:
                continue
            nearest = np.int64(columns[y, x]) ** 2
            beside = 1
            while beside * beside < nearest and (x >= beside or x + beside < width):
                if x >= beside:
                    nearest = min(nearest, beside * beside + np.int64(columns[y, x - beside]) ** 2)
                if x + beside < width:
                    nearest = min(nearest, beside * beside + np.int64(columns[y, x + beside]) ** 2)
                beside += 1
            squares[found] = nearest
            found += 1
    return squares
