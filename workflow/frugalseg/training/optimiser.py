"""Optimisers: one fused call for all parameters, and how far it takes each of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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


def build(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of a recipe for the parameters that are trained."""
    shared = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "fused": True}
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, betas=tuple(recipe.betas), **shared)
    return torch.optim.SGD(parameters, momentum=recipe.momentum, nesterov=recipe.nesterov, **shared)


def step(optimiser: torch.optim.Optimizer, lr: float, gradient_clip: float | None = None) -> None:
    """Move all parameters against their gradients, which are scaled down to `gradient_clip` (L2 norm over all) if longer."""
    (group,) = optimiser.param_groups
    if gradient_clip is not None:
        nn.utils.clip_grad_norm_(group["params"], gradient_clip)
    group["lr"] = lr
    optimiser.step()


def rates(optimiser: torch.optim.Optimizer) -> list[float | Tensor]:
    """How far steps like the last one take each parameter per unit of a gradient that stays."""
    (group,) = optimiser.param_groups
    if isinstance(optimiser, torch.optim.SGD):
        # Momentum adds a gradient up over 1 / (1 - momentum) steps.
        return [group["lr"] / (1 - group["momentum"])] * len(group["params"])
    _, beta2 = group["betas"]
    memories = [optimiser.state[parameter] for parameter in group["params"]]
    return [
        group["lr"] / ((memory["exp_avg_sq"] / (1 - beta2 ** memory["step"])).sqrt() + group["eps"])
        for memory in memories
    ]
