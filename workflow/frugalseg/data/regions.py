"""Label images painted cell by cell, from masks, outlines and run lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from skimage import draw

Pixels = tuple[np.ndarray, np.ndarray]
"""Rows and columns of the pixels of a region."""


class Painter:
    """Makes a label image from cells given one by one; where they overlap, the first has the pixels."""

    def __init__(self, height: int, width: int) -> None:
        self.labels = np.zeros((height, width), np.int32)
        """(H, W), numbered 1..n in the order of the cells that got a pixel."""
        self.notes: Counter[str] = Counter()
        """Numbers of cells: ``overlapping`` an earlier one, of those ``covered`` (no pixel left, dropped), and
        ``without_pixels`` (nothing to paint, dropped). ``overlapping_pixels``: pixels left to earlier cells."""
        self._cells = 0

    def add(self, pixels: np.ndarray | Pixels) -> None:
        """Paint one cell, given as a boolean mask (H, W) or as the rows and columns of its pixels."""
        before = self.labels[pixels]
        free = before == 0
        if len(before) == 0:
            self.notes["without_pixels"] += 1
            return
        if not free.all():
            self.notes["overlapping"] += 1
            self.notes["overlapping_pixels"] += int((~free).sum())
        if not free.any():
            self.notes["covered"] += 1
            return
        self._cells += 1
        self.labels[pixels] = np.where(free, self._cells, before)


def outline_pixels(outlines: Sequence[np.ndarray], height: int, width: int, notes: Counter[str]) -> Pixels:
    """Pixels of the union of some polygons (n, 2) of finite x and y; notes ``crossing_border`` if it leaves the image.

    A pixel belongs to a polygon if its centre lies inside or on it; the origin is the corner of the first pixel, whose
    centre is at (0.5, 0.5).
    """
    if any((outline < 0).any() or (outline > (width, height)).any() for outline in outlines):
        notes["crossing_border"] += 1
    parts = [draw.polygon(y - 0.5, x - 0.5, (height, width)) for x, y in (outline.T for outline in outlines)]
    if len(parts) == 1:
        return parts[0]
    return np.divmod(np.unique(np.concatenate([rows * width + columns for rows, columns in parts])), width)


def run_length_pixels(counts: np.ndarray, height: int, width: int) -> Pixels:
    """Pixels, column by column, of a region of a mask of this size from the run lengths of COCO.

    `counts` (n,) are lengths of runs read column by column, in turn outside and inside the region. Raises a ValueError
    if one is negative, or they do not sum to the size of the mask.
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
    """Run lengths (n,) int64 from COCO's compressed form; raises a ValueError if `text` is not in it.

    A number is written in groups of five bits, the lowest first, each as the character of its value + 48; a sixth bit
    (32) says that another group follows, and the highest bit of the last group is the sign. From the fourth number on,
    what is written is the difference from the number before the last. (The decoder of pycocotools does not notice a
    text that ends too early, and leaves the rest of the mask to chance.)
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
            number -= (group & 16) << (bits - 4)
            counts.append(number + (counts[-2] if len(counts) > 2 else 0))
            number = bits = 0
    if bits:
        raise ValueError("the compressed run lengths end within a number")
    return np.array(counts, np.int64)
