"""Inputs of the benchmarks: features of several kinds, label images with a stated number of cells, real images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from frugalseg.data.normalize import relabel
from frugalseg.data.readers import Sample, pairs
from frugalseg.kernels.flows import labels_to_flows

#: Folder of real images: from the environment, or beside the checkout.
REAL_DATA = Path(os.environ.get("FRUGALSEG_REAL_DATA", Path(__file__).resolve().parents[2] / "shared/data"))


def has_real_images() -> bool:
    """Whether the folder of real images is there."""
    return (REAL_DATA / "fluo").is_dir()


def vit_like(count: int, dimensions: int) -> Tensor:
    """Features with a decaying spectrum (eigenvalues as i^-1.5) around a large mean, (count, dimensions) float32."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
    lengths = torch.arange(1, dimensions + 1) ** -0.75
    mean = torch.randn(dimensions, generator=generator)
    return torch.randn(count, dimensions, generator=generator) * lengths @ axes + mean


def isotropic(count: int, dimensions: int) -> Tensor:
    """Standard normal features, (count, dimensions) float32."""
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(0))


def clustered(count: int, dimensions: int) -> Tensor:
    """Standard normal features around 40 centres three times as wide, (count, dimensions) float32."""
    generator = torch.Generator().manual_seed(0)
    centres = 3 * torch.randn(40, dimensions, generator=generator)
    members = torch.randint(40, (count,), generator=generator)
    return centres[members] + torch.randn(count, dimensions, generator=generator)


def duplicated(count: int, dimensions: int) -> Tensor:
    """ViT-like features of which each comes four times on average, (count, dimensions) float32."""
    chosen = torch.randint(max(1, count // 4), (count,), generator=torch.Generator().manual_seed(1))
    return vit_like(max(1, count // 4), dimensions)[chosen]


def real_pixels(count: int, dimensions: int) -> Tensor:
    """Pixels of squares of real images, grey and stained in turn, (count, dimensions) float32 in [0, 255].

    `dimensions` is three channels of a square. The squares of an image stand on a grid; empty background repeats.
    """
    side = round((dimensions / 3) ** 0.5)
    squares, needed = [], count
    in_turn = zip(real_samples("fluo", "train"), real_samples("histo", "train"), strict=False)
    for sample in chain.from_iterable(in_turn):
        pixels = np.broadcast_to(sample.pixels, (3, *sample.pixels.shape[1:]))[:, : 8 * side, : 8 * side]
        squares.append(torch.from_numpy(pixels.copy()).unfold(1, side, side).unfold(2, side, side))
        squares[-1] = squares[-1].permute(1, 2, 0, 3, 4).reshape(-1, dimensions).float()
        needed -= len(squares[-1])
        if needed <= 0:
            break
    return torch.cat(squares)[:count]


def label_images(count: int, size: int, cells: int) -> Tensor:
    """Label images of ellipses, some of which touch, (count, size, size) int32 with exactly `cells` cells each.

    Centres are thrown so that none lies nearer than 0.6 of the mean spacing to another; a pixel belongs to the
    nearest ellipse that holds it, distances measured in its half axes, so every cell keeps its centre.
    """
    generator = np.random.default_rng(0)
    return torch.from_numpy(np.stack([_ellipses(size, cells, generator) for _ in range(count)]))


def noisy_prediction(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Flows (B, 2, H, W) and logits (B, H, W) as a network that errs in every pixel would predict them."""
    generator = torch.Generator().manual_seed(0)
    flows = labels_to_flows(labels)
    flows = flows + 0.2 * torch.randn(flows.shape, generator=generator)
    logits = torch.where(labels > 0, 4.0, -4.0) + torch.randn(labels.shape, generator=generator)
    return flows, logits


def real_label_images(dataset: str, count: int, size: int) -> Tensor:
    """Centres of real label images that are at least that large, (count, size, size) int32, cells 1..n in each."""
    crops = []
    for sample in real_samples(dataset, "train"):
        height, width = sample.labels.shape
        if min(height, width) >= size and len(crops) < count:
            top, left = (height - size) // 2, (width - size) // 2
            crops.append(relabel(sample.labels[top : top + size, left : left + size]).astype(np.int32))
    return torch.from_numpy(np.stack(crops))


def real_samples(dataset: str, split: str) -> Iterator[Sample]:
    """Real images with their labels, in the order of their names."""
    patterns = {"image": f"{split}/{{name}}_IM.tif", "label": f"{split}/{{name}}_GT.tif"}
    return map(pairs.load, pairs.find(REAL_DATA / dataset, patterns))


def _ellipses(size: int, cells: int, generator: np.random.Generator) -> NDArray[np.int32]:
    spacing = size / cells**0.5
    centres = np.empty((0, 2))
    while len(centres) < cells:
        centre = generator.uniform(0, size, (1, 2))
        if (np.hypot(*(centres - centre).T) > 0.6 * spacing).all():
            centres = np.concatenate([centres, centre])
    labels, nearest = np.zeros((size, size), np.int32), np.ones((size, size))
    for number, (centre_y, centre_x) in enumerate(centres, start=1):
        angle = generator.uniform(0, np.pi)
        long, short = spacing * generator.uniform(0.35, 0.5), spacing * generator.uniform(0.25, 0.4)
        reach = max(long, short)
        box = tuple(slice(max(0, int(at - reach)), int(at + reach) + 1) for at in (centre_y, centre_x))
        y, x = np.ogrid[:size, :size]
        y, x = y[box[0]] + 0.5, x[:, box[1]] + 0.5
        along = (y - centre_y) * np.sin(angle) + (x - centre_x) * np.cos(angle)
        across = (y - centre_y) * np.cos(angle) - (x - centre_x) * np.sin(angle)
        distance = np.hypot(along / long, across / short)
        closer = distance < nearest[box]
        labels[box][closer], nearest[box][closer] = number, distance[closer]
    return labels
