"""Reader of BBBC038 (2018 Data Science Bowl): a folder per image, one PNG mask per nucleus or a table of run lengths.

``FOLDER/ID/images/ID.png`` and ``FOLDER/ID/masks/*.png``. The masks of test images were published later, as one table
(``stage1_solution.csv``) of a row per nucleus: ImageId, EncodedPixels, Height, Width and Usage.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.decode import read_image
from frugalseg.data.readers import Case, Cases, Sample, listed
from frugalseg.data.regions import Painter, Pixels, run_length_pixels

OPTIONS = {
    "folder": {"type": "string", "pattern": ".", "description": "Folder of the split, below the root folder."},
    "solution": {
        "type": "string",
        "pattern": ".",
        "default": None,
        "description": "Table of run lengths (CSV), below the root folder; without it, masks are read from ID/masks.",
    },
}

_PICTURES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
_COLUMNS = ("ImageId", "EncodedPixels", "Height", "Width", "Usage")


class Nucleus(NamedTuple):
    """A row of the table of run lengths, as text, and the line where it ends, for messages."""

    line: int
    pixels: str
    height: str
    width: str
    usage: str


@dataclass(frozen=True)
class EncodedCase(Case):
    """An image whose nuclei are run lengths; its label is the table, of which it has these rows."""

    nuclei: tuple[Nucleus, ...]


def find(root: Path, options: Mapping[str, str]) -> Cases:
    """Cases of one split, one per subfolder of ``root / options["folder"]`` that has images or masks.

    ``options["solution"]``, optional, is the table of run lengths that takes the place of the masks; an image that it
    names and that is not there makes a case too.
    """
    folder = root / options["folder"]
    names = [path.name for path in listed(folder) if (path / "images").is_dir() or (path / "masks").is_dir()]
    if not names:
        raise DataError(nothing_found(root, f"{options['folder']}/*/images/*.png", "folder"))
    if "solution" not in options:
        return Cases(Case(name, _image(folder, name), folder / name / "masks") for name in names)
    table = root / options["solution"]
    if not table.is_file():
        raise DataError(nothing_found(root, options["solution"], "solution"))
    nuclei = _read_table(table)
    return Cases(
        EncodedCase(name, _image(folder, name), table, tuple(nuclei.get(name, ())))
        for name in sorted({*names, *nuclei})
    )


def load(case: Case) -> Sample:
    """Pixels of one image and a label image of its nuclei, in the order of the files of masks or of the table's rows.

    Where nuclei overlap the first has the pixels; `Sample.notes` counts those cells. An image whose ``Usage`` is
    "Ignored", as most of stage 2, was not annotated in earnest; it is left out (``images_ignored``).
    """
    notes: Counter[str] = Counter()
    pixels = read_image(case.image, notes=notes)
    painter = Painter(*pixels.shape[1:])
    if not isinstance(case, EncodedCase):
        for path in listed(case.label):
            if path.suffix.lower() in _PICTURES:
                painter.add(_mask(path, case.image, pixels.shape[1:]))
        return _sample(case, str(case.label), pixels, painter, notes)
    label = f"{case.label} ({case.name})"
    if not case.nuclei:
        raise DataError(f"{case.label}: has no row of the image {case.image}; add its nuclei, or take the image out")
    if any(nucleus.usage == "Ignored" for nucleus in case.nuclei):
        notes = Counter(images_ignored=1)
        return Sample(case.name, str(case.image), label, pixels, painter.labels, notes, left_out=True)
    for nucleus in case.nuclei:
        try:
            painter.add(_encoded_pixels(nucleus, *pixels.shape[1:]))
        except ValueError as error:
            raise DataError(
                f"{case.label}: line {nucleus.line}, a nucleus of {case.image}: {error}; download the table again"
            ) from error
    return _sample(case, label, pixels, painter, notes)


def _sample(case: Case, label: str, pixels: np.ndarray, painter: Painter, notes: Counter[str]) -> Sample:
    return Sample(case.name, str(case.image), label, pixels, painter.labels, notes + painter.notes, instances="labels")


def _image(folder: Path, name: str) -> Path:
    """The image of a name, or the only one in its folder."""
    place = folder / name / "images"
    others = [path for path in listed(place) if path.suffix.lower() in _PICTURES]
    return others[0] if len(others) == 1 else place / f"{name}.png"


def _mask(path: Path, image: Path, shape: tuple[int, int]) -> np.ndarray:
    """A mask (H, W) bool."""
    mask = read_image(path).any(axis=0)
    if mask.shape != shape:
        raise DataError(
            f"{path}: the mask is {mask.shape[0]}x{mask.shape[1]} pixels, its image {image} "
            f"{shape[0]}x{shape[1]}; take the mask that belongs to the image"
        )
    return mask


def _read_table(path: Path) -> dict[str, list[Nucleus]]:
    """Rows of a table of run lengths by their image, in their order."""
    nuclei = defaultdict(list)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if missing := [column for column in _COLUMNS if column not in (rows.fieldnames or ())]:
                raise DataError(f"{path}: lacks the columns {', '.join(missing)}; take the table of BBBC038")
            for row in rows:
                name, *values = (row[column] or "" for column in _COLUMNS)
                nuclei[name].append(Nucleus(rows.line_num, *values))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read as CSV ({type(error).__name__}: {error}); download it again"
        ) from error
    return nuclei


def _encoded_pixels(nucleus: Nucleus, height: int, width: int) -> Pixels:
    """Pixels of one nucleus; its runs, "start length start length ...", count the pixels column by column from 1."""
    if (nucleus.height, nucleus.width) != (str(height), str(width)):
        raise ValueError(f"is of a mask of {nucleus.height}x{nucleus.width} pixels, but the image has {height}x{width}")
    texts = nucleus.pixels.split()
    if len(texts) % 2 or not all(text.isdecimal() for text in texts):
        raise ValueError("the run lengths are not pairs of a start and a length")
    starts, lengths = np.array(texts, np.int64).reshape(-1, 2).T
    order = np.argsort(starts)
    limits = np.stack([starts - 1, starts - 1 + lengths], axis=1)[order].ravel()
    counts = np.diff(limits, prepend=0, append=height * width)
    if counts.min() < 0:
        raise ValueError("the runs overlap or leave the image")
    return run_length_pixels(counts, height, width)
