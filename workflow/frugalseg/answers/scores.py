"""Metrics of test images, one model or several, from the files that evaluation wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.data.stores import read_table


def read_metrics(path: str | Path, metrics: Sequence[str]) -> pd.DataFrame:
    """Some columns of one model's CSV, a row an image; a ValueError says what is missing and what to do."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file; evaluate this model first")
    table = read_table(path)
    if table.empty:
        raise ValueError(f"{path}: has no row, so there is no mean over test images; check the test split")
    missing = [metric for metric in metrics if metric not in table.columns]
    if missing:
        raise ValueError(f"{path}: has no column {', '.join(missing)}; evaluate this model again")
    return table[list(metrics)]


def read_scores(paths: Sequence[str | Path], metric: str) -> NDArray[np.float64]:
    """(models, images) of one metric. Images go by name, whatever order files list them in, and must be the same for all."""
    scores = [read_metrics(path, ["image", metric]).set_index("image")[metric].sort_index() for path in paths]
    for path, score in zip(paths, scores, strict=True):
        if not score.index.equals(scores[0].index):
            raise ValueError(f"{path}: has other images than {paths[0]}; evaluate both again")
    return np.stack([score.to_numpy(np.float64) for score in scores])
