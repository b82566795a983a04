"""L2-SP and EWC: weights that are pulled towards those of the parent while they are fine-tuned.

The objective is ``loss + strength / 2 sum F (w - parent)^2``, where F is 1 (L2-SP; Li et al. 2018) or the diagonal of the
parent's Fisher information (EWC; Kirkpatrick et al. 2017). The loss is a matter of the optimiser. The penalty is taken
implicitly: after every step the weights are brought to the minimum of penalty and distance from where the step has led
(a proximal step; Parikh and Boyd 2014, section 4.2), ``w <- (w + r s F parent) / (1 + r s F)`` with the optimiser's rate r. It
has the same stationary points as following the gradient of the penalty, which from ``r s F = 2`` on would leap over the parent
and away from it: this one holds at any strength, and at a very large one the weights are the parent's.

Batch norms predict with running means and variances, which the parent's features depend on as they do on weights; pulled weights
under the statistics of new images alone would forget all the same. They are running means with a momentum, which is their
rate, and are pulled alike. What only describes the training is not: counts of batches, and diameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var")


class _Pulled(NamedTuple):
    """A tensor of the network, the parent's copy of it, and strength times importance."""

    tensor: Tensor
    parent: Tensor
    strength: float | Tensor

    def pull(self, rate: float | Tensor) -> None:
        ratio = rate * self.strength
        # Exact at both ends: the tensor itself at a ratio of 0, the parent's at a ratio beyond rounding.
        self.tensor.lerp_(self.parent, ratio / (1 + ratio))


class Anchor:
    """Pulls trained weights and the statistics of batch norms towards what they were when it was made.

    Parameters
    ----------
    network : nn.Module
        With the parent's weights; changed in place by :meth:`pull`.
    strength : float
        Of the pull, 0 or more.
    importance : mapping, optional
        Name of every trained parameter, and of every running mean and variance -> F, a tensor of its shape; 1 for all where
        it is not given.
    """

    def __init__(self, network: nn.Module, strength: float, importance: Mapping[str, Tensor] | None = None) -> None:
        def pulled(name: str, tensor: Tensor) -> _Pulled:
            scaled = strength if importance is None else strength * importance[name].to(tensor.device)
            return _Pulled(tensor, tensor.detach().clone(), scaled)

        self._weights = [pulled(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        self._statistics = [
            (pulled(f"{name}.{statistic}", getattr(norm, statistic)), norm.momentum)
            for name, norm in batch_norms(network)
            for statistic in STATISTICS
        ]

    @torch.no_grad()
    def pull(self, rates: Sequence[float | Tensor]) -> None:
        """Pull once, after a step of the optimiser whose rates are given, one a trained parameter."""
        for weight, rate in zip(self._weights, rates, strict=True):
            weight.pull(rate)
        for statistic, momentum in self._statistics:
            statistic.pull(momentum)


def batch_norms(network: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    """Name and module of every batch norm that keeps running statistics."""
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            yield name, module
