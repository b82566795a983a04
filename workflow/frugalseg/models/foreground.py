"""Networks that learn foreground against background, made to be used as those that learn flows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ForegroundAsLogit(nn.Module):
    """A network of two classes with the output of one that predicts flows: no flow, and the logit of the foreground.

    Parameters
    ----------
    network : nn.Module
        (B, in_channels, H, W) -> (B, 2, H, W), logits of background and foreground; with attributes ``in_channels`` and
        ``stride``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.in_channels, self.stride = network.in_channels, network.stride

    def forward(self, images: Tensor) -> Tensor:
        """Output (B, 3, H, W): zeros for flow y and x, then the logit."""
        background, foreground = self.network(images).unbind(1)
        logit = foreground - background
        return torch.stack([torch.zeros_like(logit), torch.zeros_like(logit), logit], dim=1)
