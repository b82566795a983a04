"""Frozen encoders: fine-tuning that leaves what the parent sees in an image as it is and learns what to make of it."""

from __future__ import annotations

from torch import nn

from frugalseg.training import keeping

METHODS = "with a frozen encoder (*{{ parts | listing('*, *', '* and *') }}*)"


class Way(keeping.Way):
    """Takes the encoder out of the training: its weights, and the statistics of its norms."""

    def prepare(self, network: nn.Module) -> None:
        for part in self.keep.parts:
            network.get_submodule(part).requires_grad_(False).eval()
