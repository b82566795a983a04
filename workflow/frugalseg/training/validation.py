"""The loss on patches that are never trained on, watched and used for no choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from frugalseg.data.stores import Patches
from frugalseg.training.losses import Loss
from frugalseg.training.sampling import Batch, gather, pad_channels


def validation_loss(
    predict: Callable[[Tensor], Tensor],
    loss: Loss,
    validation: Sequence[Patches],
    *,
    batch: int,
    size: int,
    channels: int,
    zoom: Callable[[Tensor], Tensor] | None,
    device: torch.device,
) -> float:
    """Mean loss over all validation patches, each cropped to its centre and not augmented.

    `zoom` gives the magnification (B,) from mean diameters (B,) in pixels, where the network is trained on rescaled patches.
    """
    total, count = 0.0, 0
    for patches in validation:
        for start in range(0, len(patches), batch):
            part = gather(patches, np.arange(start, min(start + batch, len(patches))))
            part = replace(part, images=part.images.float(), flows=part.flows.float())
            if zoom is None:
                images, labels, flows = crop_centre(part, size)
            else:
                images, labels, flows = magnify_centre(part, size, zoom(part.diameters))
            images = pad_channels(images, channels).to(device, memory_format=torch.channels_last)
            value = loss(predict(images), labels.to(device), flows.to(device))
            total += value.item() * len(labels)
            count += len(labels)
    return total / count


def crop_centre(batch: Batch, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and flows of the central `size` x `size` pixels; zeros where a patch is smaller."""
    height, width = batch.labels.shape[-2:]
    top, left = (height - size) // 2, (width - size) // 2
    margins = (-left, left + size - width, -top, top + size - height)
    return F.pad(batch.images, margins), F.pad(batch.labels, margins), F.pad(batch.flows, margins)


def magnify_centre(batch: Batch, size: int, zoom: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Images, labels and flows of `size` x `size` pixels around the centre, each patch magnified by its own factor.

    Images are interpolated linearly, labels and flows taken from the nearest pixel; zeros beyond the patch.
    """
    height, width = batch.labels.shape[-2:]
    theta = torch.zeros(len(zoom), 2, 3)
    theta[:, 0, 0] = size / width / zoom
    theta[:, 1, 1] = size / height / zoom
    grid = F.affine_grid(theta, [len(zoom), 1, size, size], align_corners=False)
    images = F.grid_sample(batch.images, grid, mode="bilinear", align_corners=False)
    # Labels of a patch stay far below 2^24, up to which float32 holds integers exactly.
    targets = torch.cat([batch.labels[:, None].float(), batch.flows], dim=1)
    targets = F.grid_sample(targets, grid, mode="nearest", align_corners=False)
    return images, targets[:, 0].to(batch.labels.dtype), targets[:, 1:]
