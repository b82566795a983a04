"""A running mean of the weights of a network in training, which is what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Running mean of the trained weights, at first these: ``mean <- decay mean + (1 - decay) weights`` after every step."""

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self._parameters, self._decay = parameters, decay
        self.memory: list[Tensor] = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now."""
        torch._foreach_lerp_(self.memory, self._parameters, 1 - self._decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network with the mean for its weights, as long as the context lasts."""
        trained = [parameter.data for parameter in self._parameters]
        for parameter, mean in zip(self._parameters, self.memory, strict=True):
            parameter.data = mean
        try:
            yield
        finally:
            for parameter, data in zip(self._parameters, trained, strict=True):
                parameter.data = data
