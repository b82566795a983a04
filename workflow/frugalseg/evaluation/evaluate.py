"""Evaluation of a model on a test set: one row of metrics per image."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import torch
from torch import nn

from frugalseg.data.stores import Images
from frugalseg.evaluation.metrics import METRICS, per_image
from frugalseg.evaluation.prediction import predict, segment

# Pixels of the images that are held in memory at a time, with their flows and logits: about half a gigabyte.
_PIXELS_PER_CHUNK = 8 * 1024 * 1024


def evaluate(
    model: nn.Module,
    images: Images,
    *,
    device: torch.device | str,
    batch_size: int,
    in_channels: int = 2,
    stride: int | None = None,
    tile: int = 1024,
    rescale: float = 1.0,
    dtype: torch.dtype | None = None,
    **thresholds: float | None,
) -> pd.DataFrame:
    """Metrics of every image of a test set from a model's predictions.

    Parameters
    ----------
    model : nn.Module
        Maps (B, in_channels, H, W) to (B, 3, H, W), see :func:`frugalseg.evaluation.prediction.predict`.
    images : Images
        The test set, normalised images and their label images.
    device, batch_size, in_channels, stride, tile, rescale, dtype
        As for :func:`frugalseg.evaluation.prediction.predict`.
    **thresholds : float or None
        As for :func:`frugalseg.evaluation.prediction.segment`.

    Returns
    -------
    pd.DataFrame
        One row per image in the order of the store: `image`, its name, then the columns
        :data:`frugalseg.evaluation.metrics.METRICS`, none of them missing, also where nothing is predicted. Beyond
        rounding in the network no value depends on `batch_size` or on what other images there are.

    Raises
    ------
    ValueError
        If an image has more channels than the network takes, or `tile` does not suit `stride`.
    """
    rows = []
    for chunk in _chunks(images):
        pixels = [images.pixels(index) for index in chunk]
        predictions = predict(
            model,
            pixels,
            device=device,
            batch_size=batch_size,
            in_channels=in_channels,
            stride=stride,
            tile=tile,
            rescale=rescale,
            dtype=dtype,
        )
        labels = segment(predictions, device=device, batch_size=batch_size, **thresholds)
        rows += [per_image(images.labels(index), label) for index, label in zip(chunk, labels, strict=True)]
    table = pd.DataFrame(rows, columns=list(METRICS), dtype=float)
    table.insert(0, "image", images.names)
    return table


def _chunks(images: Images) -> Iterator[list[int]]:
    """Runs of consecutive images that fit into memory together; an image too large for that is alone."""
    chunk: list[int] = []
    held = 0
    for index, pixels in enumerate(images.table["height"] * images.table["width"]):
        if chunk and held + pixels > _PIXELS_PER_CHUNK:
            yield chunk
            chunk, held = [], 0
        chunk.append(index)
        held += pixels
    if chunk:
        yield chunk
