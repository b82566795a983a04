"""Coresets: the patches that a subset such as ``dq10`` or ``few3`` takes from an order, and the file of that order."""

from __future__ import annotations

import math
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from frugalseg.chains import IMAGE_SELECTORS
from frugalseg.runtime.files import replacing
from frugalseg.selection import Selection


def coreset_size(n: int, rate: str | float | Fraction, bins: int) -> int:
    """Number of patches in a coreset, from the number of patches and the rate.

    The sum over bins S_1 .. S_bins of max(1, floor(rate / 100 |S|)), where the bins share n patches as evenly as they
    can. One number of bins serves all selectors of a study, so that all take the same number at the same rate.

    Parameters
    ----------
    n : int
        Patches in the dataset.
    rate : str, int, float or Fraction
        Percent, in (0, 100]. A decimal is taken at its word: 29 % of 100 is 29, though 0.29 * 100 is less in binary.
    bins : int
        1 to n.

    Raises
    ------
    ValueError
        When the rate or the number of bins is out of range.
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
    """Patches of a subset, from the order of its dataset.

    Parameters
    ----------
    selection : Selection
    selector : str
        Name of the selector in the chain. For `frugalseg.chains.IMAGE_SELECTORS` the number counts images.
    number : str or number
        Rate in percent, in (0, 100], or number of images.
    bins : int
        The study's number of bins; see `coreset_size`.

    Returns
    -------
    LongTensor, shape (n,)
        In the selector's order; of a smaller number the first ones.

    Raises
    ------
    ValueError
        When the rate is out of range, or the number of images is not a positive integer or more than there are.
    """
    if selector not in IMAGE_SELECTORS:
        return selection.order[: coreset_size(len(selection.order), number, bins)]
    images = int(selection.bins.max()) + 1
    if not str(number).isdecimal() or int(number) < 1:
        raise ValueError(f"{selector}{number}: the number of images must be a positive integer")
    if int(number) > images:
        raise ValueError(f"{selector}{number} asks for {number} images, but the dataset has only {images}")
    return selection.order[selection.bins < int(number)]


def check_images(selection: Selection, images: int, dataset: str) -> None:
    """Refuse an order of image after image that the largest number of images in a study goes beyond.

    Raises
    ------
    ValueError
        When more images are asked for than the dataset has.
    """
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
    """Read a selection that `save` wrote.

    Raises
    ------
    ValueError
        When the file is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Selection(torch.from_numpy(arrays["order"]), torch.from_numpy(arrays["bins"]))
    except (KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a file of a selection (arrays 'order' and 'bins'): make it again") from error
