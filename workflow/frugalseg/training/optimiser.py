"""Optimisers: one fused call for all parameters, and all that they remember as a list of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from frugalseg.training.recipe import Recipe

METHODS = {
    "sgd": "stochastic gradient descent ({{ 'Nesterov momentum' if recipe.nesterov else 'momentum' }} "
    "{{ '%g' % recipe.momentum }}, {{ decay }})",
    "adamw": "AdamW [@adamw] with β1 = {{ '%g' % recipe.betas[0] }}, β2 = {{ '%g' % recipe.betas[1] }}, {{ decay }},",
}
METHODS_DECAY = (
    "weight decay {{ recipe.weight_decay | plain }}"
    "{% if recipe.gradient_clip %}, gradients clipped at a norm of {{ '%g' % recipe.gradient_clip }}{% endif %}"
)
CITES = {
    "adamw": "Loshchilov & Hutter 2019, Decoupled weight decay regularization, International Conference on Learning "
    "Representations",
}

# Of Adam, added to the root of the mean squared gradient.
_EPSILON = 1e-8


class Optimiser(Protocol):
    """What the training loop asks of an optimiser.

    Attributes
    ----------
    memory : list of Tensor
        All that it remembers of earlier steps, on the devices of the parameters or on the CPU.
    """

    memory: list[Tensor]

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self, lr: float) -> None:
        """Move every parameter against its gradient."""

    def rates(self, lr: float) -> list[float | Tensor]:
        """How far steps like the last one take each parameter per unit of a gradient that stays."""


def build(recipe: Recipe, parameters: list[nn.Parameter]) -> Optimiser:
    """The optimiser of a recipe for the parameters that are trained."""
    shared = {"weight_decay": recipe.weight_decay, "gradient_clip": recipe.gradient_clip}
    if recipe.optimiser == "adamw":
        return AdamW(parameters, betas=recipe.betas, **shared)
    return MomentumSGD(parameters, momentum=recipe.momentum, nesterov=recipe.nesterov, **shared)


class AdamW:
    """Adam with decoupled weight decay as `torch.optim.AdamW` does it, bit for bit (Loshchilov and Hutter 2019).

    Parameters
    ----------
    parameters : iterable of Parameter
        All of them get a gradient in every step.
    betas : (float, float)
        Decay of the running means of gradients and of their squares, each in [0, 1).
    weight_decay : float
        Each step shrinks the weights by this times the learning rate.
    gradient_clip : float, optional
        As of :class:`MomentumSGD`.

    Attributes
    ----------
    memory : list of Tensor
        Running means of gradients, then of their squares, then the steps made, one a parameter.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        betas: Sequence[float],
        weight_decay: float,
        gradient_clip: float | None = None,
    ) -> None:
        self._parameters = list(parameters)
        self._betas, self._weight_decay, self._gradient_clip = betas, weight_decay, gradient_clip
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self._parameters]
        self.memory = [*self._means, *self._squares, *self._steps]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        _forget_gradients(self._parameters)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every parameter against the mean of its gradients."""
        _clip(self._parameters, self._gradient_clip)
        beta1, beta2 = self._betas
        adamw(
            self._parameters,
            [parameter.grad for parameter in self._parameters],
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=lr,
            weight_decay=self._weight_decay,
            eps=_EPSILON,
            maximize=False,
        )

    def rates(self, lr: float) -> list[float | Tensor]:
        """Rate of every parameter: the learning rate by the root of its mean squared gradient."""
        _, beta2 = self._betas
        return [
            lr / ((square / (1 - beta2**step)).sqrt() + _EPSILON)
            for square, step in zip(self._squares, self._steps, strict=True)
        ]


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
    memory : list of Tensor
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
        self.memory: list[Tensor] = [torch.zeros_like(parameter) for parameter in self._parameters] if momentum else []

    def zero_grad(self) -> None:
        """Forget the gradients."""
        _forget_gradients(self._parameters)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Move every parameter against its gradient."""
        _clip(self._parameters, self._gradient_clip)
        sgd(
            self._parameters,
            [parameter.grad for parameter in self._parameters],
            self.memory or [None] * len(self._parameters),
            fused=True,
            lr=lr,
            momentum=self._momentum,
            weight_decay=self._weight_decay,
            dampening=0.0,
            nesterov=self._nesterov,
            maximize=False,
        )

    def rates(self, lr: float) -> list[float | Tensor]:
        """Rate of every parameter: momentum adds a gradient up over 1 / (1 - momentum) steps."""
        return [lr / (1 - self._momentum)] * len(self._parameters)


def _forget_gradients(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _clip(parameters: Iterable[nn.Parameter], longest: float | None) -> None:
    if longest is not None:
        nn.utils.clip_grad_norm_(parameters, longest)
