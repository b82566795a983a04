"""Evaluation of a model on a test set: one row of metrics per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from frugalseg.data.stores import Images
from frugalseg.evaluation.foreground import components
from frugalseg.evaluation.metrics import per_image
from frugalseg.evaluation.prediction import Prediction, follow, predict, segment
from frugalseg.study.metrics import OF_IMAGES

# The steps of Kuang et al. 2026, each 0.8 pixels long at full speed.
_UNIT_STEPS = 500

Segmenter = Callable[[Prediction], NDArray[np.int32]]


def segmenter(target: str, masks: Mapping[str, Any] | None = None) -> Segmenter:
    """How label images are made of what a network predicts, by the target that it learned.

    `masks` are settings that differ from Cellpose's: `steps`, `flow_threshold`, `logit_threshold`, `min_size` and `largest`,
    see `frugalseg.kernels.flows.flows_to_labels`; of pieces of foreground, which follow no flows, `logit_threshold` alone.
    """
    masks = dict(masks or {})
    if target == "foreground":
        return partial(components, threshold=masks.get("logit_threshold", 0.0))
    return partial(segment, **({"steps": _UNIT_STEPS} if target == "unit_flows" else {}) | masks)


def evaluate(
    model: nn.Module, images: Images, target: str = "flows", masks: Mapping[str, Any] | None = None, **options: Any
) -> pd.DataFrame:
    """Metrics of every image of a test set from a model's predictions, one image after another.

    Parameters
    ----------
    model : nn.Module
        Maps (B, in_channels, H, W) to (B, 3, H, W), see :func:`frugalseg.evaluation.prediction.predict`.
    target : {"flows", "unit_flows", "foreground"}
        What the network learned. Of the last kind every connected piece of foreground is one label.
    masks : mapping, optional
        See :func:`segmenter`.
    **options
        Keyword arguments of :func:`frugalseg.evaluation.prediction.predict`: `device`, `batch_size` and others.

    Returns
    -------
    pd.DataFrame
        One row per image in the order of the store: `image`, its name, then the columns
        of :func:`frugalseg.evaluation.metrics.per_image`, none of them missing, also where nothing is predicted. Beyond
        rounding in the network no value depends on `batch_size` or on what other images there are.
    """

    to_labels = segmenter(target, masks)

    def score(index: int, prediction: Prediction) -> dict[str, float]:
        return per_image(images.labels(index), to_labels(prediction))

    pixels = (images.pixels(index) for index in range(len(images)))
    rows = list(follow(score, predict(model, pixels, **options)))
    table = pd.DataFrame(rows, dtype=float)
    table.insert(0, "image", images.names)
    return table


def unscored() -> pd.DataFrame:
    """The same of no image."""
    return pd.DataFrame(columns=["image", *OF_IMAGES])
