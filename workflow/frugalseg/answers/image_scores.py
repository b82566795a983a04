"""Scores of several models on the same images, from the files that evaluation wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.tables import read_metrics


def read_image_scores(paths: Sequence[str | Path], metric: str) -> NDArray[np.float64]:
    """Read one metric of several models, matched by the names of the images, whatever order files list them in.

    Parameters
    ----------
    paths : sequence of path
        A CSV a model, a row an image, with the columns ``image`` and `metric`.
    metric : str

    Returns
    -------
    np.ndarray
        (models, images), images by name.

    Raises
    ------
    ValueError
        When a file lacks what is needed, or has other images than the first.
    """
    scores = [_read(path, metric) for path in paths]
    for path, score in zip(paths, scores, strict=True):
        if not score.index.equals(scores[0].index):
            raise ValueError(f"{path}: has other images than {paths[0]}; evaluate both again")
    return np.stack([score.to_numpy(np.float64) for score in scores])


def _read(path: str | Path, metric: str) -> pd.Series:
    return read_metrics(path, ["image", metric]).set_index("image")[metric].sort_index()
