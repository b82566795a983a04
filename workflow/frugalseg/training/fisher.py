"""Fisher information: how much the loss on old patches depends on each weight (Kirkpatrick et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from frugalseg.training.anchor import batch_norms
from frugalseg.training.losses import Loss
from frugalseg.training.sampling import Crops


def fisher_information(network: nn.Module, loss: Loss, crops: Iterable[Crops]) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information: the mean over patches of the squared gradient of each patch's loss.

    The gradient is that of the network as it predicts, its norms with their running statistics, in float32. Patch by
    patch: `torch.func.vmap` over the patches takes longer on processors, since it makes grouped convolutions of it.

    Parameters
    ----------
    network : nn.Module
        Left in evaluation mode.
    loss : callable
        One of `frugalseg.training.losses.LOSSES`.
    crops : iterable of (images, labels, flows)
        One patch each, on the device of the network.

    Returns
    -------
    dict
        Name -> tensor of its shape, for every trained parameter, and for the running mean and variance of every batch norm.

    Notes
    -----
    With ``y = weight (x - mean) / sqrt(variance + eps) + bias`` the gradients of a batch norm's statistics follow from those of
    its parameters: ``dmean = -weight / sqrt(variance + eps) dbias`` and ``dvariance = -weight / (2 (variance + eps)) dweight``.
    """
    network.eval()
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    squares = {name: torch.zeros_like(weight) for name, weight in trained.items()}
    count = 0
    for images, labels, flows in crops:
        gradients = torch.autograd.grad(loss(network(images), labels, flows), list(trained.values()))
        for square, gradient in zip(squares.values(), gradients, strict=True):
            square.addcmul_(gradient, gradient)
        count += 1
    fisher = {name: square / count for name, square in squares.items()}
    for name, norm in batch_norms(network):
        variance = norm.running_var + norm.eps
        slope = norm.weight.detach() / variance.sqrt()
        fisher[f"{name}.running_mean"] = slope.square() * fisher[f"{name}.bias"]
        fisher[f"{name}.running_var"] = slope.square() / (4 * variance) * fisher[f"{name}.weight"]
    return fisher
