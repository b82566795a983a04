"""Frozen encoders: fine-tuning that leaves what the parent sees in an image as it is and learns what to make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The config is checked with this module, and a dry run should not import PyTorch.
    from torch import nn


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """Take parts of a network out of the training, in place: their weights, and the statistics of their norms.

    To be repeated whenever the network has been set to training, which sets its norms to following the batches.

    Parameters
    ----------
    network : nn.Module
    parts : sequence of str
        Names of its modules, e.g. of `frugalseg.models.encoder_of`.
    """
    for part in parts:
        network.get_submodule(part).requires_grad_(False).eval()
