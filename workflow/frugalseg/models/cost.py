"""What a network costs: its parameters, and the operations of its passes, counted without computing them.

Operations are those of convolutions and matrix products, attention among them; a multiplication and an addition are two.
Norms, activations and resizing, a few percent of the work, are left out, as is usual.
"""

from __future__ import annotations

from copy import copy, deepcopy

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# A backward pass makes two products, one for the inputs and one for the weights, where the forward pass makes one.
_BACKWARD = 2


def parameters(network: nn.Module) -> int:
    """Number of weights of a network."""
    return sum(weight.numel() for weight in network.parameters())


def forward_flops(network: nn.Module, size: int) -> int:
    """Operations of the prediction of one image of side `size` by a network, which is neither run nor changed."""
    network = _without_memory(network)
    return _count(network, _image(network, size))


def step_flops(network: nn.Module, size: int) -> int:
    """Operations of one image's part in an optimiser step, forward and backward.

    The backward pass counts as two forward passes, also where some weights are not trained (low-rank adapters) and where
    some of the forward pass is computed again to save memory. In a recursive network (`frugalseg.models.ucell.UCell`) the
    outer cycles before the last have no backward pass.
    """
    network = _without_memory(network)
    inputs = [_image(network, size)]
    if not hasattr(network, "initial_state"):
        return (1 + _BACKWARD) * _count(network, *inputs)
    inputs.append(network.initial_state(*inputs))
    with_gradient = copy(network)
    with_gradient.recursion = network.recursion._replace(outer=1)
    return _count(network, *inputs) + _BACKWARD * _count(with_gradient, *inputs)


def _without_memory(network: nn.Module) -> nn.Module:
    """A copy whose tensors have shapes and no values, so that its passes cost nothing and leave the network alone."""
    return deepcopy(network).to("meta").requires_grad_(False)


def _image(network: nn.Module, size: int) -> Tensor:
    return torch.empty(1, network.in_channels, size, size, device="meta")


def _count(network: nn.Module, *inputs: Tensor) -> int:
    # Of PyTorch's ways to compute attention the counter knows matrix products, and not the fused one of processors.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network.eval()(*inputs)
    return counter.get_total_flops()
