"""What the lightweight networks share: initial weights from a generator, and the check of an image's sides."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all convolutions of `network` anew, in the order of its modules.

    The distribution is PyTorch's default: weights and biases uniform in +-1 / sqrt(fan_in). Norm layers, which start
    as the identity, keep their values.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)


def check_sides(images: Tensor, stride: int) -> None:
    """Refuse images (..., H, W) whose sides are not multiples of `stride`.

    Raises
    ------
    ValueError
        When H or W is zero or no multiple of `stride`.
    """
    height, width = images.shape[-2:]
    if height % stride or width % stride or not height * width:
        raise ValueError(
            f"images of {height} x {width} pixels do not fit the network: sides must be multiples of {stride}; "
            "change the crop or pad the images"
        )
