"""Training images that are kept aside, to choose by."""

from __future__ import annotations

import numpy as np

_SEED = 20_261_121


def training_rows(images: int, aside: int) -> np.ndarray:
    """Rows of a dataset's training images that models are trained on, rising: all but the `aside` of `tuning_rows`."""
    return np.setdiff1d(np.arange(images), tuning_rows(images, aside))


def tuning_rows(images: int, aside: int) -> np.ndarray:
    """Rows of the others, rising: drawn at random, the same for every seed and every model of every study.

    Of two numbers of the same dataset the larger takes what the smaller does, and more.
    """
    if aside >= images:
        raise ValueError(
            f"the config keeps {aside} training images aside (tuning), but the dataset has {images}; keep fewer aside"
        )
    return np.sort(np.random.default_rng(_SEED).permutation(images)[:aside])
