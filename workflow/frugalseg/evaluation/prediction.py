"""Prediction: flows and cell logits of whole images from a network, and label images from those.

Images are predicted whole where they are small enough, in overlapping tiles where not. Windows of one shape, whole
images and tiles alike, are batched together, whichever images they come from.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from frugalseg.kernels.flows import flows_to_labels

# Networks are trained to put out five times the target flow (Stringer et al. 2021).
_FLOW_SCALE = 5.0

# Six levels, as many as a U-Net for patches of 224 pixels has.
_DEFAULT_STRIDE = 32

# A forward pass sees at most this many pixels for each window of the batch, so that large tiles come in fewer windows.
_PIXELS_PER_WINDOW = 512 * 512

Prediction = tuple[NDArray[np.float32], NDArray[np.float32]]
_Span = tuple[int, NDArray[np.float32]]


def predict(
    model: nn.Module,
    images: Sequence[NDArray[np.float32]],
    *,
    device: torch.device | str,
    batch_size: int,
    in_channels: int = 2,
    stride: int | None = None,
    tile: int = 1024,
    rescale: float = 1.0,
    dtype: torch.dtype | None = None,
) -> list[Prediction]:
    """Flows and cell logits of whole images from a network.

    Each image is resized by `rescale`, padded at its bottom and right by reflection to multiples of `stride`, and cut
    into tiles along the sides that are then longer than `tile`. Neighbouring tiles overlap by at least an eighth of
    their size; in the overlap the outer quarter of a tile next to its cut edge is thrown away, since the network saw
    zeros beyond it, and the rest is blended by a raised cosine. Tiles start at multiples of `stride`, so that pooling
    cells lie as they do in the whole image.

    Parameters
    ----------
    model : nn.Module
        Maps (B, in_channels, H, W) to (B, 3, H, W): flow y and x, five times the target, and cell logit. It is moved to
        `device`, and runs in evaluation mode; the mode it was in is restored.
    images : sequence of np.ndarray
        (C, H, W) float32, normalised as in training, C <= `in_channels`; missing channels (the second of a grey image)
        are zero. Sizes may differ.
    device : torch.device or str
        Where the network runs.
    batch_size : int
        Windows of one forward pass; fewer when they are larger than 512 x 512 pixels, in proportion.
    in_channels : int
        Channels the network takes.
    stride : int, optional
        The network takes sides that are multiples of this, 2^(levels - 1) for a U-Net. Without, it is the model's own
        attribute `stride`, or 32 if it has none.
    tile : int
        Longest side in pixels, after resizing, that is predicted in one piece; a multiple of `stride`, at least twice
        as large.
    rescale : float
        Factor by which images are resized (bilinearly) before the network, usually the cell diameter of training over
        that of the images. Flows and logits are resized back; flows are directions and keep their values.
    dtype : torch.dtype, optional
        Autocast to this type, such as ``torch.bfloat16``; float32 without.

    Returns
    -------
    list of (np.ndarray, np.ndarray)
        For each image flows (2, H, W) float32 in the unit of the targets (network output / 5, unit vectors (y, x)
        inside cells) and logits (H, W) float32, in the image's own size. They do not depend on `batch_size`, nor on
        what other images there are, beyond rounding in the network.

    Raises
    ------
    ValueError
        If an image is not (C, H, W) with 1 <= C <= `in_channels` and at least one pixel, or `tile` does not suit
        `stride`.
    """
    stride = stride or getattr(model, "stride", _DEFAULT_STRIDE)
    if tile % stride or tile < 2 * stride:
        raise ValueError(f"tile {tile} must be a multiple of the network's stride {stride}, at least {2 * stride}")
    inputs = [_resize(_with_channels(image, in_channels), rescale) for image in images]
    padded = [_pad(image, stride) for image in inputs]
    spans = [tuple(_split(side, tile, stride) for side in image.shape[1:]) for image in padded]
    outputs = [np.zeros((3, *image.shape[1:]), np.float32) for image in padded]

    windows: dict[tuple[int, int], list[tuple[int, _Span, _Span]]] = defaultdict(list)
    for index, (rows, columns) in enumerate(spans):
        for row in rows:
            for column in columns:
                windows[len(row[1]), len(column[1])].append((index, row, column))

    with _evaluation_mode(model.to(device)):
        for (height, width), members in windows.items():
            for batch in _batches(members, batch_size, height * width):
                pixels = [padded[index][:, y : y + height, x : x + width] for index, (y, _), (x, _) in batch]
                predicted = _forward(model, torch.stack(pixels).to(device), dtype)
                for (index, (y, row_weights), (x, column_weights)), window in zip(batch, predicted, strict=True):
                    weights = row_weights[:, None] * column_weights
                    outputs[index][:, y : y + height, x : x + width] += window * weights

    return [
        _restore(output[:, : scaled.shape[1], : scaled.shape[2]], image.shape[1:])
        for output, scaled, image in zip(outputs, inputs, images, strict=True)
    ]


def segment(
    predictions: Sequence[Prediction], *, device: torch.device | str, batch_size: int, **thresholds: float | None
) -> list[NDArray[np.int32]]:
    """Label images from predicted flows and logits, images of one size batched together.

    Parameters
    ----------
    predictions : sequence of (np.ndarray, np.ndarray)
        Flows (2, H, W) and logits (H, W) of each image, as :func:`predict` returns them. Sizes may differ.
    device : torch.device or str
        Where the flows are followed.
    batch_size : int
        Images of one batch; fewer when they are larger than 512 x 512 pixels, in proportion.
    **thresholds : float or None
        Keyword arguments of :func:`frugalseg.kernels.flows.flows_to_labels`: `steps`, `logit_threshold`,
        `flow_threshold`, `min_size`.

    Returns
    -------
    list of np.ndarray
        (H, W) int32 label image of each prediction, 0 is background.
    """
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, (_, logits) in enumerate(predictions):
        by_size[logits.shape].append(index)
    labels: dict[int, NDArray[np.int32]] = {}
    for size, members in by_size.items():
        for batch in _batches(members, batch_size, math.prod(size)):
            flows, logits = (
                torch.from_numpy(np.stack([predictions[index][part] for index in batch])).to(device) for part in (0, 1)
            )
            labels.update(zip(batch, flows_to_labels(flows, logits, **thresholds).cpu().numpy(), strict=True))
    return [labels[index] for index in range(len(predictions))]


def _batches(members: list, batch_size: int, pixels: int) -> Iterator[list]:
    """Successive batches of `members`, each of `pixels` pixels."""
    size = max(1, min(batch_size, batch_size * _PIXELS_PER_WINDOW // pixels))
    for start in range(0, len(members), size):
        yield members[start : start + size]


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.inference_mode()
def _forward(model: nn.Module, batch: Tensor, dtype: torch.dtype | None) -> NDArray[np.float32]:
    with torch.autocast(batch.device.type, dtype, enabled=dtype is not None):
        return model(batch).float().cpu().numpy()


def _with_channels(image: NDArray[np.float32], in_channels: int) -> Tensor:
    if image.ndim != 3 or image.size == 0 or image.shape[0] > in_channels:
        raise ValueError(
            f"images must be (channels, height, width) with 1 to {in_channels} channels and at least one pixel, "
            f"but one is {image.shape}"
        )
    filled = torch.zeros(in_channels, *image.shape[1:])
    filled[: image.shape[0]] = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    return filled


def _resize(image: Tensor, rescale: float) -> Tensor:
    size = [max(1, round(side * rescale)) for side in image.shape[1:]]
    return _interpolate(image, size)


def _restore(output: NDArray[np.float32], size: Sequence[int]) -> Prediction:
    """Flows and logits in an image's own size from the network's output for the resized image."""
    resized = _interpolate(torch.from_numpy(output), size).numpy()
    return resized[:2] / np.float32(_FLOW_SCALE), np.ascontiguousarray(resized[2])


def _interpolate(image: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(image.shape[1:]) == tuple(size):
        return image
    return functional.interpolate(image[None], size=list(size), mode="bilinear", align_corners=False)[0]


def _pad(image: Tensor, stride: int) -> Tensor:
    height, width = image.shape[1:]
    missing = (-height % stride, -width % stride)
    if missing == (0, 0):
        return image
    # Numpy reflects again and again where an image is smaller than what it lacks; torch refuses to.
    return torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect"))


def _split(length: int, tile: int, stride: int) -> list[_Span]:
    """Windows along one side of an image: the start and the blending weights of each.

    The weights of all windows sum to one at every pixel. `length` and `tile` are multiples of `stride`.
    """
    if length <= tile:
        return [(0, np.ones(length, np.float32))]
    overlap = math.ceil(tile / 8 / stride) * stride
    intervals = math.ceil((length - tile) / (tile - overlap))
    starts = [index * (length - tile) // intervals // stride * stride for index in range(intervals + 1)]
    margin = overlap // 4
    ramp = np.clip((np.arange(tile) + 0.5 - margin) / (overlap - 2 * margin), 0, 1)
    taper = np.sin(np.pi / 2 * ramp) ** 2
    weights = np.ones((len(starts), tile))
    weights[1:] *= taper
    weights[:-1] *= taper[::-1]
    total = np.zeros(length)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + tile] += weight
    return [
        (start, (weight / total[start : start + tile]).astype(np.float32))
        for start, weight in zip(starts, weights, strict=True)
    ]
