"""Random rotation, scale, flip and shift of a batch, beside Cellpose 3."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import inputs
from case import Agreement, Case, Peer, Work
from frugalseg.kernels.augment import affine, random_affine
from frugalseg.kernels.flows import labels_to_flows

SCALE_RANGE = 1.0

#: Images (B, 2, H, W), labels (B, H, W) and flows (B, 2, H, W) of a batch.
Batch = tuple[Tensor, Tensor, Tensor]


def cases(long: bool) -> Iterator[Case]:
    """One batch of training."""
    yield Case(
        "random_affine",
        "8 patches 224 x 224, two channels",
        partial(batch, 8, 224, 30),
        partial(batch, 2, 64, 4),
        lambda parts: random_affine(
            *parts, torch.Generator().manual_seed(0), size=parts[1].shape[-1], scale_range=SCALE_RANGE
        ),
        (Peer("cellpose 3", cellpose_affine, same_crops),),
        count_interpolation,
    )


def batch(count: int, size: int, cells: int) -> Batch:
    """Patches with their targets; the images are smooth, as light is."""
    labels = inputs.label_images(count, size, cells)
    flows = labels_to_flows(labels)
    noise = torch.randn(count, 2, size, size, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(noise, 9, 1, 4) + (labels > 0)[:, None], labels, flows


def cellpose_affine(parts: Batch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Crops of the images and of (label > 0, flow y, flow x) as Cellpose's training makes them."""
    from cellpose import transforms

    images, labels, flows = parts
    size = labels.shape[-1]
    targets = torch.cat([(labels > 0)[:, None], flows], 1).float().numpy()
    # Cellpose draws from NumPy's global generator.
    np.random.seed(0)  # noqa: NPY002
    return transforms.random_rotate_and_resize(
        list(images.numpy()), Y=list(targets), scale_range=SCALE_RANGE, xy=(size, size)
    )[:2]


def same_crops(parts: Batch, _: Batch, theirs: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Agreement:
    """Mean difference of the flows when ours takes the parameters that Cellpose drew; their spread is near 1."""
    count, size = parts[1].shape[:2]
    drawn = np.random.RandomState(0).rand(count, 5)
    angle, scale = 2 * np.pi * drawn[:, 1], 1 - SCALE_RANGE / 2 + SCALE_RANGE * drawn[:, 2]
    excess = np.maximum(0, scale[:, None] - 1) * size
    # Cellpose's centres lie half a pixel further down and right, in patch and crop.
    turned = np.stack((np.cos(angle) - np.sin(angle), np.sin(angle) + np.cos(angle)), 1)
    shift = (drawn[:, 3:] - 0.5) * excess + 0.5 - scale[:, None] * 0.5 * turned
    parameters = angle, scale, drawn[:, 0] > 0.5, shift[:, ::-1].copy()
    flows = affine(*parts, *map(torch.from_numpy, parameters), size)[2].numpy()
    return Agreement(f"flows differ by {np.abs(flows - theirs[1][:, 1:]).mean():.1g} in the mean, same parameters")


def count_interpolation(parts: Batch) -> Work:
    """Four products and three additions a pixel and channel interpolated, eight for the position; one pass of each."""
    images, labels, flows = parts
    pixels = labels.numel()
    channels = images.shape[1] + flows.shape[1]
    return Work(pixels * (7 * channels + 8), 2 * sum(part.nbytes for part in parts))
