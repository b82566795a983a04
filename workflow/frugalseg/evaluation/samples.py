"""A few test images segmented by several models, to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from frugalseg.data.stores import Images
from frugalseg.evaluation.evaluate import segmenter
from frugalseg.evaluation.prediction import follow, predict


@dataclass
class Samples:
    """Test images by title, (C, H, W) float32, their truths, and by model what it makes of them, (H, W) int32 each."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    truth: list[np.ndarray] = field(default_factory=list)
    predictions: dict[str, list[np.ndarray]] = field(default_factory=dict)


def segment_samples(
    models: Mapping[str, nn.Module],
    tests: Mapping[str, Images],
    chosen: Mapping[str, Sequence[int]],
    target: str = "flows",
    masks: Mapping[str, Any] | None = None,
    **options: Any,
) -> Samples:
    """Segment chosen images (by number) of each test set by every model, as they are segmented when models are evaluated."""
    samples = Samples()
    for name, images in tests.items():
        for index in chosen[name]:
            samples.images[f"{name}: {images.names[index]}"] = images.pixels(index)
            samples.truth.append(images.labels(index))
    to_labels = segmenter(target, masks)
    for title, model in models.items():
        predictions = predict(model, samples.images.values(), rescale=prediction_scale(model), **options)
        samples.predictions[title] = list(follow(lambda _, prediction: to_labels(prediction), predictions))
    return samples


def evenly_spaced(available: int, count: int) -> list[int]:
    """Numbers of `count` images, evenly spaced among those available; all of them where there are fewer."""
    return np.unique(np.linspace(0, available - 1, count).round().astype(int)).tolist()


def most_changed(before: pd.DataFrame, after: pd.DataFrame, metric: str, count: int) -> list[int]:
    """Numbers of the images whose metric changed most between two tables: the largest fall, the largest rise, the next of either.

    Where too few fell, more of those that rose are taken, and the other way round; the unchanged come last. Of equal changes
    the earlier image comes first.
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
    """Factor that brings test images to the scale a network was trained at, ``diam_mean / diam_labels``; 1 if it keeps none."""
    return float(model.diam_mean / model.diam_labels) if hasattr(model, "diam_mean") else 1.0
