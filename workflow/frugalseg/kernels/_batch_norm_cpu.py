"""Passes over bfloat16 pixels for batch norm and ReLU, compiled.

Arrays of pixels are (B, P, C) uint16, the bits of bfloat16. A pixel of few channels is shorter than what a processor
handles at once, so several pixels are laid side by side in a row, and what holds for a channel is repeated along it.
The work is cut into blocks of fixed size, each summed in float32; sums of blocks are added in float64, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from frugalseg.kernels._threads import share

WIDTH = 64
"""Numbers in a row, at least, where the number of pixels allows it."""
BLOCK = 32_768
"""Numbers in a block."""

Pixels = NDArray[np.uint16]
Line = tuple[NDArray[np.float32], NDArray[np.float32]]


class Statistics(NamedTuple):
    """Of x + added: means of every image (B, C), mean (C,) and sqrt(variance + eps) (C,) of all; float64."""

    image_means: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class Gradients(NamedTuple):
    """Gradients of weight (C,), bias (C,) and added (B, C), float32."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    added: NDArray[np.float32]


def measure(x: Pixels, added: NDArray[np.float32], eps: float) -> Statistics:
    """Statistics of x + added, where added (B, C) holds for all pixels of an image."""
    rows, width = _rows(x)
    # Sums of differences from one of the pixels keep their digits where the mean is far from 0.
    origin = (x[0, 0].astype(np.uint32) << 16).view(np.float32)
    repeated, height = np.tile(origin, width // len(origin)), BLOCK // width
    sums = np.zeros((len(x), -(-rows.shape[1] // height), 2, width), np.float32)
    _share_blocks(sums.shape, lambda *tasks: _sum_moments(*tasks, rows, repeated, height, sums))
    return Statistics(*_finish_statistics(sums, origin, added, x.shape[1], eps))


def fold(
    weight: NDArray[np.float32], bias: NDArray[np.float32], added: NDArray[np.float32], statistics: Statistics
) -> Line:
    """Scale (C,) and shift (B, C) float32 with which scale * x + shift is the norm of x + added."""
    return _fold(weight, bias, added, statistics.mean, statistics.deviation)


def normalise(x: Pixels, line: Line, out: Pixels) -> None:
    """Write ReLU(scale * x + shift) to `out`."""
    rows, width = _rows(x)
    height, target = BLOCK // width, out.reshape(rows.shape)
    scale, shift = _repeat(width, *line)
    blocks = len(x), -(-rows.shape[1] // height)
    _share_blocks(blocks, lambda *tasks: _normalise(*tasks, rows, scale, shift, height, target))


def differentiate(
    x: Pixels,
    gradient: Pixels,
    line: Line,
    added: NDArray[np.float32],
    statistics: Statistics,
    statistics_gradients: tuple[NDArray[np.float32], NDArray[np.float32]],
    out: Pixels,
) -> Gradients:
    """Write the gradient of x to `out` and return the others.

    Parameters
    ----------
    x, gradient, out : ndarray
        (B, P, C) input, gradient of the output, gradient of the input.
    line, added, statistics
        As in the forward pass.
    statistics_gradients : tuple of ndarray
        (C,) gradients of mean and deviation.
    out : ndarray
        (B, P, C).
    """
    rows, width = _rows(x)
    gradient = gradient.reshape(rows.shape)
    gate, height, target = _repeat(width, *line), BLOCK // width, out.reshape(rows.shape)
    sums = np.zeros((len(x), -(-rows.shape[1] // height), 2, width), np.float32)
    _share_blocks(sums.shape, lambda *tasks: _sum_gated(*tasks, rows, gradient, *gate, height, sums))
    slope, offset, *gradients = _finish_gradients(sums, line[0], added, *statistics, *statistics_gradients, x.shape[1])
    line_of_x = _repeat(width, slope, offset)
    _share_blocks(sums.shape, lambda *tasks: _combine(*tasks, rows, gradient, *gate, *line_of_x, height, target))
    return Gradients(*gradients)


def _share_blocks(blocks: Sequence[int], work: Callable[[int, int], None]) -> None:
    """Run work(first, last) over all blocks, numbered from 0, of arrays whose shape begins with (B, blocks of an image)."""
    share(blocks[0] * blocks[1], work, 1)


def _rows(x: Pixels) -> tuple[Pixels, int]:
    """Pixels laid side by side (B, rows, width), and the width."""
    images, pixels, channels = x.shape
    count = 1
    while count * channels < WIDTH and pixels % (2 * count) == 0:
        count *= 2
    width = count * channels
    return x.reshape(images, pixels // count, width), width


def _repeat(width: int, *values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [np.tile(array, width // array.shape[-1]) for array in values]


@njit(inline="always")
def _widen(bits):
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(inline="always")
def _round(value):
    """Bits of the nearest bfloat16, ties to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16))


@njit(cache=True, nogil=True)
def _sum_moments(start, stop, x, origin, height, sums):
    """Write sums (B, blocks, 2, width) of x - origin and of its square, in blocks of `height` rows."""
    blocks = sums.shape[1]
    for task in range(start, stop):
        image, block = task // blocks, task % blocks
        part = x[image, block * height : (block + 1) * height]
        _add_moments(part, origin, sums[image, block, 0], sums[image, block, 1])


@njit(cache=True)
def _add_moments(x, origin, total, squares):
    for p in range(x.shape[0]):
        row = x[p]
        for c in range(row.shape[0]):
            value = _widen(row[c]) - origin[c]
            total[c] += value
            squares[c] += value * value


@njit(cache=True)
def _finish_statistics(sums, origin, added, pixels, eps):
    images, channels = added.shape
    totals = _add_up(sums, channels) / pixels
    image_means = totals[:, 0] + origin + added
    mean, deviation = np.zeros(channels), np.zeros(channels)
    for c in range(channels):
        mean[c] = image_means[:, c].mean()
        variance = 0.0
        for b in range(images):
            # Within the image, and of its mean about that of the batch.
            variance += max(totals[b, 1, c] - totals[b, 0, c] ** 2, 0.0) + (image_means[b, c] - mean[c]) ** 2
        deviation[c] = np.sqrt(variance / images + eps)
    return image_means, mean, deviation


@njit(cache=True)
def _add_up(sums, channels):
    """Sums (B, 2, C) float64 of those of blocks (B, blocks, 2, width)."""
    images, blocks, kinds, width = sums.shape
    totals = np.zeros((images, kinds, channels))
    for b in range(images):
        for block in range(blocks):
            for kind in range(kinds):
                for first in range(0, width, channels):
                    totals[b, kind] += sums[b, block, kind, first : first + channels]
    return totals


@njit(cache=True)
def _fold(weight, bias, added, mean, deviation):
    scale = weight / deviation
    shift = (added - mean) * scale + bias
    return scale.astype(np.float32), shift.astype(np.float32)


@njit(cache=True, nogil=True)
def _normalise(start, stop, x, scale, shift, height, out):
    blocks = (x.shape[1] + height - 1) // height
    for task in range(start, stop):
        image, first = task // blocks, task % blocks * height
        _normalise_block(x[image, first : first + height], scale, shift[image], out[image, first : first + height])


@njit(cache=True)
def _normalise_block(x, scale, shift, out):
    for p in range(x.shape[0]):
        row, target = x[p], out[p]
        for c in range(row.shape[0]):
            value = _widen(row[c]) * scale[c] + shift[c]
            # Not the maximum, which would turn NaN into 0 and hide that a run diverges.
            target[c] = _round(np.float32(0) if value <= np.float32(0) else value)


@njit(cache=True, nogil=True)
def _sum_gated(start, stop, x, gradient, scale, shift, height, sums):
    """Write sums (B, blocks, 2, width) of g and of g x; g is the gradient behind the ReLU."""
    blocks = sums.shape[1]
    for task in range(start, stop):
        image, block = task // blocks, task % blocks
        first, last = block * height, (block + 1) * height
        total, products = sums[image, block, 0], sums[image, block, 1]
        _add_gated(x[image, first:last], gradient[image, first:last], scale, shift[image], total, products)


@njit(cache=True)
def _add_gated(x, gradient, scale, shift, total, products):
    for p in range(x.shape[0]):
        row, behind = x[p], gradient[p]
        for c in range(row.shape[0]):
            value = _widen(row[c])
            gated = np.float32(0) if value * scale[c] + shift[c] <= np.float32(0) else _widen(behind[c])
            total[c] += gated
            products[c] += gated * value


@njit(cache=True)
def _finish_gradients(sums, scale, added, image_means, mean, deviation, mean_gradient, deviation_gradient, pixels):
    """Slope (C,) and offset (B, C) with which dx = scale * g + slope * x + offset, and the gradients of parameters."""
    images, channels = added.shape
    count = images * pixels
    totals = _add_up(sums, channels)
    centre = added - mean
    gated = totals[:, 0]
    # Of g times the normalised input.
    products = (totals[:, 1] + centre * gated) / deviation
    bias_gradient, weight_gradient = gated.sum(0), products.sum(0)
    slope = (deviation_gradient - scale * weight_gradient) / count / deviation
    level = (mean_gradient - scale * bias_gradient) / count
    offset = level + centre * slope
    added_gradient = scale * gated + pixels * (level + (image_means - mean) * slope)
    return (
        slope.astype(np.float32),
        offset.astype(np.float32),
        weight_gradient.astype(np.float32),
        bias_gradient.astype(np.float32),
        added_gradient.astype(np.float32),
    )


@njit(cache=True, nogil=True)
def _combine(start, stop, x, gradient, scale, shift, slope, offset, height, out):
    blocks = (x.shape[1] + height - 1) // height
    for task in range(start, stop):
        image, first = task // blocks, task % blocks * height
        last = first + height
        part, behind, target = x[image, first:last], gradient[image, first:last], out[image, first:last]
        _combine_block(part, behind, scale, shift[image], slope, offset[image], target)


@njit(cache=True)
def _combine_block(x, gradient, scale, shift, slope, offset, out):
    for p in range(x.shape[0]):
        row, behind, target = x[p], gradient[p], out[p]
        for c in range(row.shape[0]):
            value = _widen(row[c])
            gated = np.float32(0) if value * scale[c] + shift[c] <= np.float32(0) else _widen(behind[c])
            target[c] = _round(scale[c] * gated + slope[c] * value + offset[c])
