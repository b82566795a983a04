"""Label images as tools write them, brought to one form: 0 is background, every other number a cell.

What a file settles by itself is done and counted. Where it is ambiguous, a DataError names the option of the dataset
file that says what is meant: ``instances``, ``background`` or ``without_cells``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from skimage.filters import threshold_otsu
from skimage.measure import label as connected_components

from frugalseg.data.checks import DataError
from frugalseg.data.readers import Sample

# A piece of a number is a speck if it has fewer pixels than this and under a percent of the largest piece.
_SPECK = 15
# Unlabelled things for each labelled cell that are worth a word.
_MANY = 4
_OPTION = "say in the dataset file `instances: components` if each connected piece is a cell, or `instances: labels` if"


def cells_of(sample: Sample, shape: tuple[int, int], options: Mapping[str, Any]) -> tuple[np.ndarray, Counter[str]]:
    """Cells (H, W), 0 is background, of a sample whose image has the (height, width) `shape`; what was resolved.

    `options` are those of the dataset: ``instances`` is "labels" (every number is a cell), "components" (every connected
    piece of a number is) or missing; ``background`` is the number of the background, 0 if missing.
    """
    notes: Counter[str] = Counter()
    instances, background = options.get("instances", sample.instances), options.get("background", 0)
    file = sample.label
    labels = _numbers(_one_plane(sample.labels, file, notes), file, notes)
    if labels.shape != shape:
        raise DataError(
            f"{file}: the label image is {labels.shape[0]}x{labels.shape[1]} pixels, its image {sample.image} "
            f"{shape[0]}x{shape[1]}; take the label image that belongs to the image, neither cropped nor scaled"
        )
    if background:
        labels = np.where(labels == background, 0, np.where(labels == 0, labels.max() + 1, labels))
    if labels.min() < 0:
        raise DataError(
            f"{file}: the label image holds negative numbers (down to {labels.min()}); use 0 for background and 1, 2, ... "
            f"for the cells, or say `background: {labels.min()}` in the dataset file"
        )
    labels = _whole_masks(labels, file, "lossy_label_images" in sample.notes, instances, notes)
    if not labels.any():
        notes["images_without_cells"] += 1
        return labels, notes
    if "background" not in options and (fault := _no_background(labels)):
        raise DataError(f"{file}: {fault}")
    return _pieces(labels, file, instances, notes), notes


def looks_partly_annotated(pixels: np.ndarray, labels: np.ndarray) -> bool:
    """Whether an image (C, H, W) shows many things like its cells (H, W) that are not labelled; a guess, to be looked at.

    Things are the connected pixels that a threshold (Otsu's) puts on the side of the cells, of half to twice their area.
    """
    inside = labels > 0
    grey = pixels.mean(axis=0)
    if not inside.any() or grey.min() == grey.max():
        return False
    side = grey > threshold_otsu(grey)
    side = side if side[inside].mean() > 0.5 else ~side
    if side.mean() > 0.45 or side[inside].mean() < 0.9:
        return False
    things = connected_components(side, connectivity=1)
    areas, cells = np.bincount(things.ravel()), np.unique(labels[inside], return_counts=True)[1]
    alike = (areas > np.median(cells) / 2) & (areas < 2 * np.median(cells))
    alike[np.unique(things[inside])] = alike[0] = False
    return int(alike.sum()) >= _MANY * len(cells)


def _one_plane(stored: np.ndarray, file: str, notes: Counter[str]) -> np.ndarray:
    """A label image of one number a pixel; colours become numbers, black and transparent 0."""
    if stored.ndim == 2:
        return stored
    if stored.ndim != 3 or stored.shape[2] not in (2, 3, 4) or stored.dtype.kind not in "iu":
        raise DataError(
            f"{file}: the label image has the shape {stored.shape}, that of a stack; save one integer per pixel of one "
            "plane, 0 for background and another number for each cell"
        )
    colours = stored.shape[2] - (stored.shape[2] in (2, 4))
    visible = stored[..., -1] > 0 if stored.shape[2] > colours else True
    numbers = np.zeros(stored.shape[:2], np.int64)
    for channel in range(colours):
        numbers = (numbers << 16) + stored[..., channel] * visible
    if (stored[..., :colours] == stored[..., :1]).all():
        notes["grey_label_images_in_colour"] += 1
        return stored[..., 0] * visible
    if len(np.unique(numbers)) > max(255, numbers.size // 50):
        raise DataError(
            f"{file}: the label image has the shape {stored.shape} and the colours of a picture; save one integer per "
            "pixel, 0 for background and another number for each cell"
        )
    notes["colour_coded_label_images"] += 1
    return numbers


def _numbers(labels: np.ndarray, file: str, notes: Counter[str]) -> np.ndarray:
    """Whole numbers as int64."""
    if labels.dtype.kind == "f":
        if not (np.abs(labels) < 2**53).all() or (labels % 1).any():
            raise DataError(
                f"{file}: the label image holds {labels.dtype} numbers, some of them fractions or NaN; save the labels as "
                "integers"
            )
        notes["float_label_images"] += 1
    elif labels.dtype.kind not in "iub":
        raise DataError(f"{file}: the label image holds {labels.dtype} numbers; save the labels as integers")
    return labels.astype(np.int64)


def _whole_masks(labels: np.ndarray, file: str, lossy: bool, instances: str | None, notes: Counter[str]) -> np.ndarray:
    """Masks of 0 and 255 whose edges were softened by JPEG or by scaling, made 0 and 255 again where that is meant."""
    top = int(labels.max())
    soft = top == 255 and len(np.unique(labels)) > 8 and 2 * (labels >= 250).sum() > (labels > 0).sum()
    if instances == "components" and (lossy or soft):
        notes["softened_label_images"] += 1
        return np.where(2 * labels > top, top, 0)
    if lossy:
        raise DataError(
            f"{file}: the label image was compressed with loss, which mixes the numbers of neighbours; save it as PNG or "
            "TIFF, or say `instances: components` in the dataset file if it is a mask of black and white"
        )
    return labels


def _no_background(labels: np.ndarray) -> str | None:
    """The fault of a label image in which another number than 0 looks like the background: it lies around what is left."""
    numbers, areas = np.unique(labels, return_counts=True)
    largest = numbers[areas.argmax()]
    sides = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
    if not largest or len(numbers) < 2 or 2 * areas.max() < labels.size:
        return None
    if not all((side == largest).any() for side in sides):
        return None
    # Of a cell that leaves only the corners of its image, what is 0 lies at the border.
    zero = connected_components(labels == 0, connectivity=1)
    outer = np.isin(zero, np.concatenate([zero[0], zero[-1], zero[:, 0], zero[:, -1]])) & (zero > 0)
    if 2 * outer.sum() > (zero > 0).sum():
        return None
    return (
        f"the number {largest} lies all around; say `background: {largest}` in the dataset file if that is "
        "the background, or `background: 0` if it is a cell"
    )


def _pieces(labels: np.ndarray, file: str, instances: str | None, notes: Counter[str]) -> np.ndarray:
    """The label image without specks, each piece of a number on its own where the dataset says so."""
    pieces = connected_components(labels, connectivity=2)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    owners = np.zeros(len(areas), np.int64)
    owners[pieces] = labels
    numbers, places = np.unique(owners[1:], return_inverse=True)
    largest = np.zeros(len(numbers), np.int64)
    np.maximum.at(largest, places, areas[1:])
    speck = (areas[1:] < _SPECK) & (100 * areas[1:] < largest[places])
    if instances == "components" and len(numbers) == 1:
        speck[:] = False
    notes["specks"] += int(speck.sum())
    counts = np.bincount(places[~speck])
    if instances != "components":
        in_pieces = int((counts > 1).sum())
        if instances is None and 2 * in_pieces > len(numbers):
            number, most = numbers[counts.argmax()], counts.max()
            which = (
                f"the number {number} stands for"
                if len(numbers) == 1
                else (
                    f"{in_pieces} of its {len(numbers)} numbers stand for several separate pieces, the number {number} for"
                )
            )
            raise DataError(f"{file}: {which} {most} separate pieces; {_OPTION} each number is one cell")
        notes["cells_in_pieces"] += in_pieces
    notes += Counter()
    kept = np.concatenate([[False], ~speck])
    return np.where(kept[pieces], pieces if instances == "components" else labels, 0)
