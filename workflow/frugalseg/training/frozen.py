"""Frozen encoders: fine-tuning that leaves what the parent sees in an image as it is and learns what to make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The config is checked with this module, and a dry run should not import PyTorch.
    from torch import nn

ENCODERS: dict[str, tuple[str, ...]] = {
    "cpnet": ("downsample",),
    "unet": ("encoder",),
    "ucell": ("patch_emb", "transformer"),
    "tinyunet": ("encoder",),
    "unext": ("encoder",),
    "cmunext": ("stem", "encoder"),
}
"""Modules that make the encoder of a network, by architecture.

``ucell`` has one stack of blocks and no decoder: all of it but the registers' input and the head that reads the tokens
counts as encoder.
"""


def encoder_of(arch: str) -> tuple[str, ...]:
    """Names of the modules that make the encoder of an architecture, e.g. of ``unet-cap8``; empty where it has none."""
    return ENCODERS.get(arch.partition("-")[0], ())


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """Take parts of a network out of the training, in place: their weights, and the statistics of their norms.

    To be repeated whenever the network has been set to training, which sets its norms to following the batches.

    Parameters
    ----------
    network : nn.Module
    parts : sequence of str
        Names of its modules, e.g. of :func:`encoder_of`.
    """
    for part in parts:
        network.get_submodule(part).requires_grad_(False).eval()
