"""Initial weights from a generator, as PyTorch draws them from its global one."""

from __future__ import annotations

import math

import torch
from torch import nn


def draw_weights(network: nn.Module, generator: torch.Generator) -> None:
    """Draw weights and biases of all convolutions and linear layers anew, in the order of the modules: +-1 / sqrt(fan_in)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound, generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
