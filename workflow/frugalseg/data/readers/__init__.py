"""Readers: one module per layout in which publishers lay out images and labels on disk; its name is that of the reader.

Each reader has two functions. ``find(root, options)`` lists the cases of one split without opening an image; ``load(case)``
opens one. Where even that takes long, ``files(root, options)`` lists the files for those who only ask whether they
changed. Faults are raised as `DataError`: the file, what is wrong, what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Case:
    """An image and its labels on disk; one of the two paths may not exist, which is a fault to be reported."""

    name: str
    """Name of the image, unique in its dataset."""
    image: Path
    label: Path
    """The label image, the file of outlines, or the folder of masks."""

    def files(self) -> Iterator[Path]:
        """The files there are that the sample is made of."""
        yield from (path for path in (self.image, self.label) if path.is_file())
        if self.label.is_dir():
            yield from self.label.iterdir()


@dataclass(frozen=True)
class Sample:
    """A loaded image with its labels, as they are in the files."""

    name: str
    image: str
    label: str
    """Where the pixels and the labels come from, for messages."""
    pixels: np.ndarray
    """(C, H, W), any real dtype."""
    labels: np.ndarray
    """The label image as stored, which may have a wrong shape or dtype still."""
    notes: Counter[str] = field(default_factory=Counter)
    """What the reader had to resolve, as numbers of cells; see `frugalseg.data.regions.Painter`."""
    left_out: bool = False
    """Whether the publishers say that this image has no cells or does not count; only its notes are used then."""
