"""Coresets: the patches that a subset such as ``dq10`` or ``few3`` takes from an order, and the file of that order."""

from __future__ import annotations

import math
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frugalseg.chains import IMAGE_SELECTORS, LISTED_SELECTORS
from frugalseg.runtime.files import replacing
from frugalseg.selection import Selection


def coreset_size(n: int, rate: str | float | Fraction, bins: int) -> int:
    """Number of patches in a coreset of n, from the rate in percent: floor(rate / 100 |S|) of every bin, at least one.

    The bins share n patches as evenly as they can. One number of bins serves all selectors of a study, so that all take the
    same number at the same rate. A decimal is taken at its word: 29 % of 100 is 29, though 0.29 * 100 is less in binary.
    """
    try:
        percent = Fraction(str(rate))
    except ValueError:
        raise ValueError(f"rate {rate!r} is not a number") from None
    if not 0 < percent <= 100:
        raise ValueError(f"rate {rate} % is outside (0, 100]")
    if not 1 <= bins <= n:
        raise ValueError(f"{n} patches cannot fill {bins} bins: choose 1 to {n} bins")
    small, larger_bins = divmod(n, bins)

    def taken(size: int) -> int:
        return max(1, math.floor(percent * size / 100))

    return larger_bins * taken(small + 1) + (bins - larger_bins) * taken(small)


def take(selection: Selection, selector: str, number: str | float, bins: int) -> Tensor:
    """Patches (n,) of a subset, from the order of its dataset and in it; of a smaller number the first ones.

    The number is a rate in percent, see `coreset_size`, counts images for `frugalseg.chains.IMAGE_SELECTORS`, or is
    one of those that the publishers listed.
    """
    if selector in LISTED_SELECTORS:
        subset = selection.order[selection.bins >> int(number) & 1 == 1]
        if not len(subset):
            listed = [str(percent) for percent in range(1, 63) if (selection.bins >> percent & 1).any()]
            raise ValueError(
                f"{selector}{number}: the dataset's publishers list no such subset, but {', '.join(listed)} %"
            )
        return subset
    if selector not in IMAGE_SELECTORS:
        return selection.order[: coreset_size(len(selection.order), number, bins)]
    images = int(selection.bins.max()) + 1
    if not str(number).isdecimal() or int(number) < 1:
        raise ValueError(f"{selector}{number}: the number of images must be a positive integer")
    if int(number) > images:
        raise ValueError(f"{selector}{number} asks for {number} images, but the dataset has only {images}")
    return selection.order[selection.bins < int(number)]


def check_images(selection: Selection, images: int, dataset: str) -> None:
    """Refuse an order of image after image that the largest number of images in a study goes beyond."""
    present = int(selection.bins.max()) + 1
    if images > present:
        raise ValueError(
            f"a chain of the study asks for {images} images of {dataset!r}, whose training split has {present}; "
            "take fewer in its chains"
        )


def save(path: Path, selection: Selection) -> None:
    """Write a selection to an ``.npz`` file: arrays ``order`` and ``bins``, int64."""
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, order=selection.order.numpy(), bins=selection.bins.numpy())


def load(path: Path) -> Selection:
    """Read a selection that `save` wrote."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Selection(torch.from_numpy(arrays["order"]), torch.from_numpy(arrays["bins"]))
    except (KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a file of a selection (arrays 'order' and 'bins'): make it again") from error
