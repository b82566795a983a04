"""L2-SP: weights that are pulled towards those of the parent while they are fine-tuned.

The objective is ``loss + strength / 2 sum F (w - parent)^2``, where F is 1 (Li et al. 2018) or, for `ewc`, the
diagonal of the parent's Fisher information. The loss is a matter of the optimiser. The penalty is taken
implicitly: after every step the weights are brought to the minimum of penalty and distance from where the step has led
(a proximal step; Parikh and Boyd 2014, section 4.2), ``w <- (w + r s F parent) / (1 + r s F)`` with the optimiser's rate r. It
has the same stationary points as following the gradient of the penalty, which from ``r s F = 2`` on would leap over the parent
and away from it: this one holds at any strength, and at a very large one the weights are the parent's.

Batch norms predict with running means and variances, which the parent's features depend on as they do on weights; pulled weights
under the statistics of new images alone would forget all the same. They are running means with a momentum, which is their
rate, and are pulled alike. What only describes the training is not: counts of batches, and diameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from frugalseg.training import keeping

METHODS = (
    "with all weights pulled towards the parent's (L2-SP; @l2sp) with a strength of {{ '%g' % strength }}, by proximal steps, and "
    "the statistics of batch norms with them"
)
CITES = {
    "l2sp": "Li, Grandvalet & Davoine 2018, Explicit inductive bias for transfer learning with convolutional networks, "
    "International Conference on Machine Learning",
}
OPTIONS = {
    "strength": {
        "description": "Of the pull towards the parent's weights; 0 keeps nothing.",
        "type": "number",
        "minimum": 0,
    },
}
STATISTICS = ("running_mean", "running_var")


class Way(keeping.Way):
    """Pulls the weights after every step."""

    def start(self, start: keeping.Start) -> None:
        self._anchor = Anchor(start.network, self.keep.options["strength"], self.importance(start))

    def importance(self, start: keeping.Start) -> Mapping[str, Tensor] | None:
        """Of every weight, by name; None: all are alike."""
        return None

    def after_step(self, rates: Callable[[], Sequence[float | Tensor]]) -> None:
        self._anchor.pull(rates())


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

    `importance` names every trained parameter, and every running mean and variance, with F, a tensor of its shape; without it F
    is 1 for all.
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
