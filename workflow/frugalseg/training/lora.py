"""Low-rank adapters: fine-tuning that learns a small change of some weights (LoRA; Hu et al. 2022).

A weight W, seen as a matrix of outputs by inputs, becomes ``W + alpha / rank B A`` with A (rank, inputs) and B (outputs,
rank), and A and B alone are trained. It is done to the weight and not to the layer, so that linear layers and convolutions of
every network take it alike, and what is saved is the network itself, with the change added in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from frugalseg.training.checkpoints import write_tensors

METHODS = (
    "by low-rank adapters alone (LoRA; @lora), of rank {{ rank }} and α = {{ '%g' % alpha }}, in the layers with "
    "*{{ layers | listing('*, *', '* or *') }}* in their names"
)
CITES = {
    "lora": "Hu et al. 2022, LoRA: low-rank adaptation of large language models, International Conference on Learning "
    "Representations",
}

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


class Adapters(NamedTuple):
    """What is adapted, and how: changes of some rank, scaled by ``alpha / rank``."""

    rank: int
    alpha: float
    layers: tuple[str, ...]  # parts of the names of layers, e.g. ("mlp",) for the feed-forward networks of ucell

    @classmethod
    def of(cls, block: Mapping[str, Any]) -> Adapters:
        """Adapters from the block ``lora`` of a recipe."""
        return cls(block["rank"], block["alpha"], tuple(block["layers"]))


class LowRankChange(nn.Module):
    """Adds a scaled product B A of thin matrices to a weight; zero at the start, since B is, and A uniform in +-1 / sqrt(inputs)."""

    def __init__(self, weight: Tensor, adapters: Adapters, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = len(weight), weight[0].numel()
        self.scale = adapters.alpha / adapters.rank
        bound = 1 / math.sqrt(inputs)
        self.a = nn.Parameter(torch.empty(adapters.rank, inputs).uniform_(-bound, bound, generator=generator))
        self.b = nn.Parameter(torch.zeros(outputs, adapters.rank))

    def forward(self, weight: Tensor) -> Tensor:
        # In float32 also under autocast: what is trained is what is saved.
        with torch.autocast(weight.device.type, enabled=False):
            return torch.addmm(weight.flatten(1), self.b, self.a, alpha=self.scale).view_as(weight)


def inject(network: nn.Module, adapters: Adapters, generator: torch.Generator) -> list[str]:
    """Give layers of a network adapters, in place, leave nothing else of it to be trained, and name the layers."""
    layers = {name: module for name, module in network.named_modules() if isinstance(module, _LAYERS)}
    for part in adapters.layers:
        if not any(part in name for name in layers):
            raise ValueError(
                f"lora.layers: {part!r} is in the name of no layer of this network; its layers are {', '.join(layers)}"
            )
    network.requires_grad_(False)
    names = [name for name in layers if any(part in name for part in adapters.layers)]
    for name in names:
        change = LowRankChange(layers[name].weight, adapters, generator)
        parametrize.register_parametrization(layers[name], "weight", change)
    return names


@contextmanager
def computed_once(network: nn.Module) -> Iterator[None]:
    """Compute every adapted weight once, for all its uses and for the backward pass, as long as the context lasts."""
    adapted = _adapted(network)
    if not adapted:
        yield
        return
    with parametrize.cached():
        # First used by cycles without gradient they would be kept without.
        for module in adapted.values():
            _ = module.weight
        yield


def merged(network: nn.Module) -> dict[str, Tensor]:
    """State dict of an adapted network as one that has no adapters, the changes added to its weights."""
    adapted = _adapted(network)
    tensors = {name: tensor for name, tensor in network.state_dict().items() if ".parametrizations." not in f".{name}"}
    tensors |= {f"{name}.weight": module.weight.detach() for name, module in adapted.items()}
    order = {name.replace("parametrizations.weight.original", "weight"): None for name in network.state_dict()}
    return {name: tensors[name] for name in order if name in tensors}


def state_dict(network: nn.Module) -> dict[str, Tensor]:
    """The adapters alone: ``{layer}.a`` and ``{layer}.b``, scaled so that the change of the weight is ``b @ a``."""
    tensors = {}
    for name, module in _adapted(network).items():
        change = module.parametrizations.weight[0]
        tensors |= {f"{name}.a": change.a.detach().cpu(), f"{name}.b": change.scale * change.b.detach().cpu()}
    return tensors


def save(network: nn.Module, path: str | Path) -> None:
    """Write the adapters of a network alone, see :func:`state_dict`."""
    write_tensors(state_dict(network), Path(path))


@torch.no_grad()
def add(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Add the changes of saved adapters to the weights of the network that they were trained on, in place."""
    layers = dict(network.named_modules())
    for name in {key.rpartition(".")[0]: None for key in tensors}:
        a, b = tensors[f"{name}.a"], tensors[f"{name}.b"]
        weight = getattr(layers.get(name), "weight", None)
        if weight is None or (len(weight), weight[0].numel()) != (len(b), a.shape[1]):
            found = "no such layer" if weight is None else f"a weight of {tuple(weight.shape)}"
            raise ValueError(
                f"the adapters change a layer {name!r} of {len(b)} x {a.shape[1]}; this network has {found}"
            )
        weight += (b @ a).view_as(weight).to(weight.device)


def _adapted(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if parametrize.is_parametrized(module, "weight")}
