"""Evaluation of a model on a test set: one row of metrics per image."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from torch import nn

from frugalseg.data.stores import Images
from frugalseg.evaluation.foreground import components
from frugalseg.evaluation.metrics import per_image
from frugalseg.evaluation.prediction import Prediction, follow, predict, segment

SEGMENTERS = {
    "flows": segment,
    # The steps of Kuang et al. 2026, each 0.8 pixels long at full speed.
    "unit_flows": partial(segment, steps=500),
    "foreground": components,
}
"""How label images are made of what a network predicts, by the target that it learned."""


def evaluate(model: nn.Module, images: Images, target: str = "flows", **options: Any) -> pd.DataFrame:
    """Metrics of every image of a test set from a model's predictions, one image after another.

    Parameters
    ----------
    model : nn.Module
        Maps (B, in_channels, H, W) to (B, 3, H, W), see :func:`frugalseg.evaluation.prediction.predict`.
    target : {"flows", "unit_flows", "foreground"}
        What the network learned. Of the last kind every connected piece of foreground is one label.
    **options
        Keyword arguments of :func:`frugalseg.evaluation.prediction.predict`: `device`, `batch_size` and others.

    Returns
    -------
    pd.DataFrame
        One row per image in the order of the store: `image`, its name, then the columns
        of :func:`frugalseg.evaluation.metrics.per_image`, none of them missing, also where nothing is predicted. Beyond
        rounding in the network no value depends on `batch_size` or on what other images there are.
    """

    def score(index: int, prediction: Prediction) -> dict[str, float]:
        return per_image(images.labels(index), SEGMENTERS[target](prediction))

    pixels = (images.pixels(index) for index in range(len(images)))
    rows = list(follow(score, predict(model, pixels, **options)))
    table = pd.DataFrame(rows, dtype=float)
    table.insert(0, "image", images.names)
    return table
