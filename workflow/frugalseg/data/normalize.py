"""Channels picked from an image and brought to a common range; label images numbered from 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from frugalseg.data.checks import DataError

Channels = Literal["grey", "mean"] | Sequence[int]


def select_channels(pixels: np.ndarray, channels: Channels, file: str, *, known: bool = True) -> np.ndarray:
    """One or two channels (1 or 2, H, W) float32 of an image (C, H, W).

    "grey" keeps a single channel and averages colour to one, "mean" averages whatever there is; an index picks one, two
    pick cytoplasm and nucleus. `known` is whether the file says what its planes are; `file` is for messages.
    """
    count = len(pixels)
    if channels == "grey" and count not in (1, 3):
        raise DataError(
            f"{file}: has {count} channels, which are neither grey nor colour; "
            "name two of them in `channels` of the dataset, e.g. [0, 1], or one, [0]"
        )
    if channels == "grey" and count == 3 and not known:
        raise DataError(
            f"{file}: has 3 planes that it does not call colours, but channels or nothing; name one or two of them in "
            "`channels` of the dataset, e.g. [0], or say `channels: mean` to average them"
        )
    if channels in ("grey", "mean"):
        return pixels.astype(np.float32).mean(axis=0, keepdims=True)
    if max(channels) >= count:
        raise DataError(
            f"{file}: has {count} channel{'s' if count > 1 else ''}, so {list(channels)} cannot be picked; "
            f"`channels` of the dataset counts from 0"
        )
    return pixels[list(channels)].astype(np.float32)


def normalize(pixels: np.ndarray) -> np.ndarray:
    """Each channel of an image (C, H, W), finite, as float32: 0 at its 1st percentile and 1 at its 99th, not clipped.

    A channel of which so few pixels differ that the percentiles are equal is brought to its full range instead; a
    constant one is 0.
    """
    return np.stack([_normalize_channel(channel) for channel in pixels])


def relabel(labels: np.ndarray) -> np.ndarray:
    """Number the cells of a label image (H, W) 1..n in the order of their numbers, so that none is skipped; int32."""
    numbers, positions = np.unique(labels, return_inverse=True)
    skipped = 0 if numbers[0] == 0 else 1
    return (positions.reshape(labels.shape) + skipped).astype(np.int32)


def _normalize_channel(channel: np.ndarray) -> np.ndarray:
    low, high = np.percentile(channel, (1, 99))
    if low == high:
        low, high = float(channel.min()), float(channel.max())
    if low == high:
        return np.zeros(channel.shape, np.float32)
    return ((channel - low) / (high - low)).astype(np.float32)
