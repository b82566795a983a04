"""Stochastic gradient descent with momentum, one fused call for all parameters."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class MomentumSGD:
    """Stochastic gradient descent as `torch.optim.SGD` does it, bit for bit.

    It calls that class's own function. The class itself imports PyTorch's compiler at its first step, a second of
    every job.

    Parameters
    ----------
    parameters : iterable of Parameter
        All of them get a gradient in every step.
    momentum, weight_decay : float
        See `torch.optim.SGD`.
    nesterov : bool
        As there.
    gradient_clip : float, optional
        Longest gradient, L2 norm over all parameters; a longer one is scaled down to it.

    Attributes
    ----------
    momenta : list of Tensor
        Running sum of gradients of every parameter, zero at first; empty without momentum.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        momentum: float,
        weight_decay: float,
        nesterov: bool = False,
        gradient_clip: float | None = None,
    ) -> None:
        self._parameters = list(parameters)
        self._momentum, self._weight_decay = momentum, weight_decay
        self._nesterov, self._gradient_clip = nesterov, gradient_clip
        self.momenta: list[Tensor] = [torch.zeros_like(parameter) for parameter in self._parameters] if momentum else []

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every parameter against its gradient."""
        if self._gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._gradient_clip)
        sgd(
            self._parameters,
            [parameter.grad for parameter in self._parameters],
            self.momenta or [None] * len(self._parameters),
            fused=True,
            lr=lr,
            momentum=self._momentum,
            weight_decay=self._weight_decay,
            dampening=0.0,
            nesterov=self._nesterov,
            maximize=False,
        )
