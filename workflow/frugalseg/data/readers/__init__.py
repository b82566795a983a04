"""Readers: one module per layout in which publishers lay out images and labels on disk; its name is that of the reader.

Each reader has two functions. ``find(root, options)`` lists the cases of one split without opening an image; ``load(case)``
opens one. Where even that takes long, ``files(root, options)`` lists the files for those who only ask whether they
changed. Faults are raised as `DataError`: the file, what is wrong, what to do. `options` are those of the split, and
those that the dataset has for both splits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from unicodedata import normalize

import numpy as np

from frugalseg.data.checks import DataError

# What tools write beside an image, as NAME with one of these endings, that is neither image nor label image.
_BY_PRODUCTS = (
    *("_flows", "_cp_masks", "_cp_flows", "_cp_output", "_cp_outlines", "_cp", "_masks", "_seg", "_outlines"),
    *("_Probabilities", "_Simple Segmentation", "_Object Predictions", "_Object Identities", "_Object Probabilities"),
)
_LITTER = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}


class Cases(list):
    """Cases of a split, with ``notes`` of what was resolved to find them."""

    def __init__(self, cases: Iterable[Case] = (), notes: Mapping[str, int] | None = None) -> None:
        super().__init__(cases)
        self.notes = Counter(notes or {})


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
    instances: str | None = None
    """Whether the layout settles what a cell is: "labels", every number is one."""


def text_of(name: str) -> str:
    """A name as it is compared: macOS writes an accent as a character of its own, others do not."""
    return normalize("NFC", name)


def listed(folder: Path) -> list[Path]:
    """Entries of a folder in the order of their names, without those that systems add; empty if it is not there."""
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be looked into ({error.strerror}); ask for the right to read it") from error
    return [entry for entry in entries if entry.name[0] != "." and entry.name.lower() not in _LITTER]


def files_below(folder: Path) -> Iterator[Path]:
    """Files of a folder and of those in it."""
    for entry in listed(folder):
        if entry.is_dir():
            yield from files_below(entry)
        else:
            yield entry


def paired(images: Mapping[str, list[Path]], labels: Mapping[str, list[Path]], expected: Sequence[Path]) -> Cases:
    """Cases of the images and labels that share a name; what is plainly a by-product of a tool is left out and counted.

    `expected` are the paths of the missing image and the missing label, in which ``{name}`` stands for the name.
    """
    both = images.keys() & labels.keys()
    alone = (images.keys() | labels.keys()) - both
    left_out = {
        name for name in alone if any(name.removesuffix(ending) in both for ending in _BY_PRODUCTS if ending in name)
    }
    return Cases(
        (
            Case(name, image, label)
            for name in sorted(both | alone - left_out)
            for image, label in product(
                *(
                    found.get(name, [Path(str(path).replace("{name}", name))])
                    for found, path in zip((images, labels), expected, strict=True)
                )
            )
        ),
        {"by_products": len(left_out)} if left_out else {},
    )
