"""Windows of an image: what a network is shown of it, and how what it makes of them is put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# Pixels of zeros around every image, at least: half of Cellpose 3's 16 a side.
_MARGIN = 8


@dataclass(frozen=True)
class Span:
    """A window along one side of an image: its first pixel, and (length,) float32, its share in the result at each pixel."""

    start: int
    weights: NDArray[np.float32]

    @property
    def pixels(self) -> slice:
        """Where the window lies."""
        return slice(self.start, self.start + len(self.weights))


class Canvas:
    """One image cut into windows, on which their predictions are blended.

    The image is resized, surrounded by at least 8 pixels of zeros, as many as bring its sides to multiples of
    `stride`, and cut into equal tiles along the sides that are then longer than `tile`. Zeros are what augmentation puts
    beyond the border of a training patch. Neighbouring tiles overlap by at least an eighth of `tile`; in the
    overlap the outer quarter of a tile next to its cut edge is thrown away, since the network saw no image beyond it,
    and the rest is blended by a raised cosine. Tiles start at multiples of `stride`, so that pooling cells lie as they
    do in the whole image. With `whole_tiles` every window is a square of `tile` pixels, for networks that take no other,
    and no more zeros are added than that takes.
    """

    def __init__(
        self,
        image: NDArray[np.float32],
        *,
        in_channels: int,
        stride: int,
        tile: int,
        rescale: float,
        whole_tiles: bool = False,
    ) -> None:
        self._size = image.shape[1:]
        resized = _resize(_with_channels(image, in_channels), [max(1, round(side * rescale)) for side in self._size])
        height, width = resized.shape[1:]
        smallest, margin = (tile, 0) if whole_tiles else (0, _MARGIN)
        (top, bottom), (left, right) = (_margins(side, stride, smallest, margin) for side in (height, width))
        self._padded = functional.pad(resized, (left, right, top, bottom))
        self._inside = (slice(None), slice(top, top + height), slice(left, left + width))
        rows, columns = (split(side, tile, stride, whole_tiles) for side in self._padded.shape[1:])
        self.windows = [(row, column) for row in rows for column in columns]
        self._missing = len(self.windows)
        self._blended: Tensor | None = None

    @property
    def pixels(self) -> int:
        """Pixels of the image, as it is and as the network sees it, the larger of the two."""
        return max(math.prod(self._size), math.prod(self._padded.shape[1:]))

    def cut(self, window: tuple[Span, Span]) -> Tensor:
        """What the network is shown of a window, (in_channels, height, width) float32."""
        row, column = window
        return self._padded[:, row.pixels, column.pixels]

    def add(self, window: tuple[Span, Span], predicted: Tensor) -> bool:
        """Blend in what the network made of a window, (3, height, width) float32; True when it was the last."""
        if len(self.windows) == 1:
            self._blended = predicted
        else:
            row, column = window
            if self._blended is None:
                self._blended = torch.zeros(len(predicted), *self._padded.shape[1:])
            weights = torch.from_numpy(row.weights[:, None] * column.weights)
            self._blended[:, row.pixels, column.pixels] += predicted * weights
        self._missing -= 1
        return self._missing == 0

    def result(self) -> NDArray[np.float32]:
        """Blended predictions of the whole image in its own size, (3, H, W)."""
        return _resize(self._blended[self._inside], self._size).numpy()


def split(length: int, tile: int, stride: int, whole_tiles: bool = False) -> list[Span]:
    """Windows along one side of an image, as few as there can be and all of one length, whose weights sum to one.

    `length` and `tile`, at least two strides, are multiples of `stride`, at multiples of which windows start. With
    `whole_tiles` every window is as long as a tile.
    """
    if length <= tile:
        return [Span(0, np.ones(length, np.float32))]
    overlap = math.ceil(tile / 8 / stride) * stride
    intervals = math.ceil((length - tile) / (tile - overlap))
    # No more of a window than it takes: a side a little longer than a tile is two halves, not two whole tiles.
    least = math.ceil((length + intervals * overlap) / (intervals + 1) / stride) * stride
    window = tile if whole_tiles else least
    starts = [index * (length - window) // intervals // stride * stride for index in range(intervals + 1)]
    margin = overlap // 4
    ramp = np.clip((np.arange(window) + 0.5 - margin) / (overlap - 2 * margin), 0, 1)
    taper = np.sin(np.pi / 2 * ramp) ** 2
    weights = np.ones((len(starts), window))
    weights[1:] *= taper
    weights[:-1] *= taper[::-1]
    total = np.zeros(length)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + window] += weight
    return [
        Span(start, (weight / total[start : start + window]).astype(np.float32))
        for start, weight in zip(starts, weights, strict=True)
    ]


def _with_channels(image: NDArray[np.float32], in_channels: int) -> Tensor:
    if image.ndim != 3 or image.size == 0 or image.shape[0] > in_channels:
        raise ValueError(
            f"images must be (channels, height, width) with 1 to {in_channels} channels and at least one pixel, "
            f"but one is {image.shape}"
        )
    filled = torch.zeros(in_channels, *image.shape[1:])
    filled[: image.shape[0]] = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    return filled


def _resize(image: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(image.shape[1:]) == tuple(size):
        return image
    return functional.interpolate(image[None], size=list(size), mode="bilinear", align_corners=False)[0]


def _margins(length: int, stride: int, smallest: int, margin: int) -> tuple[int, int]:
    """Zeros before and behind a side."""
    padded = max(smallest, length + 2 * margin)
    both = padded + -padded % stride - length
    return both // 2, both - both // 2
