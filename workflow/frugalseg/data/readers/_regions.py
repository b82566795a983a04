"""Pixels of regions that are stored as outlines or as run lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Pixels = tuple[np.ndarray, np.ndarray]
"""Rows and columns of the pixels of a region, two int64 arrays of one length."""


def polygon_pixels(vertices: np.ndarray, height: int, width: int) -> Pixels:
    """Pixels of an image whose centres lie inside a polygon.

    A centre is inside if a ray from it crosses the outline an odd number of times. One that lies on the outline is
    inside on the left and on the upper side only, so polygons that share an edge share no pixel.

    Parameters
    ----------
    vertices : np.ndarray
        (n, 2) finite x and y in pixels. The origin is the corner of the first pixel, whose centre is at (0.5, 0.5).
    height, width : int
        Size of the image; the polygon may leave it.

    Returns
    -------
    rows, columns : np.ndarray
        Row by row; empty where no centre is inside.
    """
    x0, y0 = vertices.T - 0.5
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    first = np.ceil(np.minimum(y0, y1)).clip(0, height).astype(np.int64)
    crossed = np.ceil(np.maximum(y0, y1)).clip(0, height).astype(np.int64) - first
    edges = np.repeat(np.arange(len(vertices)), crossed)
    rows = np.arange(len(edges)) - np.repeat(np.cumsum(crossed) - crossed - first, crossed)
    if len(rows) == 0:
        return rows, rows
    x = x0[edges] + (rows - y0[edges]) * ((x1 - x0)[edges] / (y1 - y0)[edges])
    columns = np.ceil(x).clip(0, width).astype(np.int64)
    top, left = rows.min(), columns.min()
    shape = rows.max() - top + 1, columns.max() - left + 1
    crossings = np.bincount((rows - top) * shape[1] + columns - left, minlength=shape[0] * shape[1]).reshape(shape)
    inside_rows, inside_columns = np.nonzero(np.cumsum(crossings, axis=1) % 2)
    return inside_rows + top, inside_columns + left


def leaves_image(vertices: np.ndarray, height: int, width: int) -> bool:
    """Whether a vertex (x, y) of a polygon, (n, 2), lies outside the image."""
    return bool((vertices < 0).any() or (vertices > (width, height)).any())


def union(regions: Sequence[Pixels], width: int) -> Pixels:
    """Pixels that lie in any of the regions of an image `width` pixels wide, row by row."""
    if len(regions) == 1:
        return regions[0]
    return np.divmod(np.unique(np.concatenate([rows * width + columns for rows, columns in regions])), width)


def run_length_pixels(counts: np.ndarray, height: int, width: int) -> Pixels:
    """Pixels of a region from the run lengths of COCO.

    Parameters
    ----------
    counts : np.ndarray
        (n,) lengths of the runs of a mask read column by column, in turn outside and inside the region.
    height, width : int
        Size of the mask.

    Returns
    -------
    rows, columns : np.ndarray
        Column by column.

    Raises
    ------
    ValueError
        If a length is negative, or they do not sum to the size of the mask.
    """
    if len(counts) and counts.min() < 0:
        raise ValueError(f"run {int(counts.argmin())} has the negative length {counts.min()}")
    if counts.sum() != height * width:
        raise ValueError(
            f"the run lengths sum to {counts.sum()}, not to the {height}x{width} = {height * width} pixels"
        )
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    columns, rows = np.divmod(np.flatnonzero(inside), height)
    return rows, columns


def decompress_run_lengths(text: str) -> np.ndarray:
    """Run lengths from COCO's compressed form.

    A number is written in groups of five bits, the lowest first, each as the character of its value + 48; a sixth bit
    (32) says that another group follows, and the highest bit of the last group is the sign. From the fourth number on,
    what is written is the difference from the number before the last.

    Parameters
    ----------
    text : str
        The characters.

    Returns
    -------
    np.ndarray
        (n,) int64.

    Raises
    ------
    ValueError
        If a character does not belong to the form, or the text ends within a number.
    """
    counts: list[int] = []
    number = bits = 0
    for position, character in enumerate(text):
        group = ord(character) - 48
        if not 0 <= group < 64 or bits > 60:
            raise ValueError(f"character {position} ({character!r}) does not belong to compressed run lengths")
        number |= (group & 31) << bits
        bits += 5
        if not group & 32:
            if group & 16:
                number -= 1 << bits
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = bits = 0
    if bits:
        raise ValueError("the compressed run lengths end within a number")
    return np.array(counts, np.int64)
