"""A few test images segmented by several models, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from frugalseg.data.stores import Images
from frugalseg.evaluation.evaluate import SEGMENTERS
from frugalseg.evaluation.prediction import follow, predict


@dataclass
class Samples:
    """Test images with their truth and what each model makes of them.

    Attributes
    ----------
    images : dict
        Title -> (C, H, W) float32, normalised.
    truth : list of np.ndarray
        (H, W) int32 label image of each.
    predictions : dict
        Title of the model -> (H, W) int32 label image of each.
    """

    images: dict[str, np.ndarray] = field(default_factory=dict)
    truth: list[np.ndarray] = field(default_factory=list)
    predictions: dict[str, list[np.ndarray]] = field(default_factory=dict)


def segment_samples(
    models: Mapping[str, nn.Module],
    tests: Mapping[str, Images],
    chosen: Mapping[str, Sequence[int]],
    target: str = "flows",
    **options: Any,
) -> Samples:
    """Segment chosen images of each test set by every model, as they are segmented when models are evaluated.

    Parameters
    ----------
    models : mapping of str to nn.Module
        Title -> network; predictions are made at the scale it was trained at.
    tests : mapping of str to Images
        Name -> test set.
    chosen : mapping of str to sequence of int
        Name -> which of its images, in the order in which they are to be shown.
    target : {"flows", "unit_flows", "foreground"}
        What the networks learned.
    **options
        Keyword arguments of :func:`frugalseg.evaluation.prediction.predict`: `device`, `batch_size` and others.
    """
    samples = Samples()
    for name, images in tests.items():
        for index in chosen[name]:
            samples.images[f"{name}: {images.names[index]}"] = images.pixels(index)
            samples.truth.append(images.labels(index))
    for title, model in models.items():
        predictions = predict(model, samples.images.values(), rescale=prediction_scale(model), **options)
        samples.predictions[title] = list(follow(lambda _, prediction: SEGMENTERS[target](prediction), predictions))
    return samples


def evenly_spaced(available: int, count: int) -> list[int]:
    """Numbers of `count` images, evenly spaced among those available; all of them where there are fewer."""
    return np.unique(np.linspace(0, available - 1, count).round().astype(int)).tolist()


def most_changed(before: pd.DataFrame, after: pd.DataFrame, metric: str, count: int) -> list[int]:
    """Numbers of the images whose metric changed most, in both directions.

    Parameters
    ----------
    before, after : pd.DataFrame
        A row an image, with its name in `image`, of two models on the same test set.
    metric : str
        Column that is compared.
    count : int
        Images to take; all of them where there are fewer.

    Returns
    -------
    list of int
        The image whose metric fell most, the one whose metric rose most, then the next of either. Where too few fell,
        more of those that rose are taken, and the other way round; the unchanged come last. Of equal changes the
        earlier image comes first.

    Raises
    ------
    ValueError
        When the tables are not of the same images.
    """
    if before["image"].tolist() != after["image"].tolist():
        raise ValueError("metrics before and after are not of the same images: evaluate both models again")
    change = (after[metric] - before[metric]).to_numpy()
    order = np.argsort(change, kind="stable")
    fell = [index for index in order.tolist() if change[index] < 0]
    rose = [index for index in np.argsort(-change, kind="stable").tolist() if change[index] > 0]
    ranks = {index: (rank, 0) for rank, index in enumerate(fell)} | {
        index: (rank, 1) for rank, index in enumerate(rose)
    }
    unchanged = (len(change), 0)
    return sorted(range(len(change)), key=lambda index: (ranks.get(index, unchanged), index))[:count]


def prediction_scale(model: nn.Module) -> float:
    """Factor that brings test images to the scale a network was trained at, ``diam_mean / diam_labels``.

    Cellpose assumes that the cells of the test images are as large as those of the training images. It is 1 for a
    network that was trained without rescaling, and for one that keeps no diameters.
    """
    return float(model.diam_mean / model.diam_labels) if hasattr(model, "diam_mean") else 1.0
