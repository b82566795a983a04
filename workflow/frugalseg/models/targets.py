"""Networks by what they learned, made to predict as those that learned flows as Cellpose does."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ForegroundAsLogit(nn.Module):
    """A network of two classes, (B, 2, H, W), with the output of one that predicts flows: no flow, and the foreground's logit."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.in_channels, self.stride = network.in_channels, network.stride

    def forward(self, images: Tensor) -> Tensor:
        """Output (B, 3, H, W): zeros for flow y and x, then the logit."""
        background, foreground = self.network(images).unbind(1)
        logit = foreground - background
        return torch.stack([torch.zeros_like(logit), torch.zeros_like(logit), logit], dim=1)


class UnitFlows(nn.Module):
    """A network of unit flows, (B, 3, H, W), with flows of length four, as UCell follows them (Kuang et al. 2026).

    Cellpose's networks predict five times the unit flow, and a pixel moves by a fifth of it a step: here 0.8 pixels.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.in_channels, self.stride = network.in_channels, network.stride
        for name in ("window", "diam_mean", "diam_labels"):
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))

    def forward(self, images: Tensor) -> Tensor:
        """Output (B, 3, H, W): flow y and x four times as long, then the logit."""
        flows, logit = self.network(images).split([2, 1], dim=1)
        return torch.cat([4.0 * flows, logit], dim=1)
