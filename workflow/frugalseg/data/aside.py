"""Training images that are kept aside, to choose by."""

from __future__ import annotations

import numpy as np

_LOT = 20_261_121


def training_rows(images: int, aside: int) -> np.ndarray:
    """Rows of a dataset's training images that models are trained on, rising.

    Parameters
    ----------
    images : int
        Training images of the dataset.
    aside : int
        How many of them are kept out of training, the config's ``tuning``.

    Raises
    ------
    ValueError
        If none would be left.
    """
    return np.setdiff1d(np.arange(images), tuning_rows(images, aside))


def tuning_rows(images: int, aside: int) -> np.ndarray:
    """Rows of the others, rising: drawn by lot, the same for every seed and every model of every study.

    Of two numbers of the same dataset the larger takes what the smaller does, and more.

    Raises
    ------
    ValueError
        If none would be left to train on.
    """
    if aside >= images:
        raise ValueError(
            f"the config keeps {aside} training images aside (tuning), but the dataset has {images}; keep fewer aside"
        )
    return np.sort(np.random.default_rng(_LOT).permutation(images)[:aside])
