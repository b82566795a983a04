"""Reader of BBBC038 (2018 Data Science Bowl): a folder per image, one PNG mask per nucleus.

``FOLDER/ID/images/ID.png`` and ``FOLDER/ID/masks/*.png``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from frugalseg.data.checks import DataError, nothing_found
from frugalseg.data.readers import Case, Painter, Sample, read_image


def find(root: Path, options: Mapping[str, str]) -> list[Case]:
    """Cases of one split, one per subfolder of ``root / options["folder"]`` that has images or masks.

    Raises
    ------
    DataError
        If there is none.
    """
    folder = root / options["folder"]
    inside = [*folder.glob("*/images"), *folder.glob("*/masks")]
    names = sorted({path.parent.name for path in inside})
    if not names:
        raise DataError(nothing_found(root, f"{options['folder']}/*/images/*.png", "folder"))
    return [Case(name, folder / name / "images" / f"{name}.png", folder / name / "masks") for name in names]


def load(case: Case) -> Sample:
    """Pixels of one image and a label image of its masks, in the order of their file names.

    Where masks overlap the first has the pixels; `Sample.notes` counts those cells.

    Raises
    ------
    DataError
        If a file cannot be decoded, or a mask is of another size than the image.
    """
    pixels = read_image(case.image)
    painter = Painter(*pixels.shape[1:])
    for path in sorted(case.label.glob("*.png")):
        mask = read_image(path).any(axis=0)
        if mask.shape != pixels.shape[1:]:
            raise DataError(
                f"{path}: the mask is {mask.shape[0]}x{mask.shape[1]} pixels, its image {case.image} "
                f"{pixels.shape[1]}x{pixels.shape[2]}; take the mask that belongs to the image"
            )
        painter.add(mask)
    return Sample(case.name, str(case.image), str(case.label), pixels, painter.labels, painter.notes)
