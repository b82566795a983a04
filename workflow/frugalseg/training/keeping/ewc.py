"""Elastic weight consolidation: weights are held by how much the loss on old patches depends on them (Kirkpatrick et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from frugalseg.training import keeping
from frugalseg.training.distributed import of_first
from frugalseg.training.keeping import l2sp
from frugalseg.training.losses import Loss
from frugalseg.training.sampling import Crops

METHODS = (
    "with elastic weight consolidation [@ewc] of a strength of {{ '%g' % strength }}, by proximal steps, the Fisher information "
    "from {{ patches | number }} patch{{ '' if patches == 1 else 'es' }} of the parent's last stage"
)
CITES = {
    "ewc": "Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, Proceedings of the National Academy "
    "of Sciences 114",
}
NEEDS = "old_patches"
OPTIONS = {
    "strength": {
        "description": "Of the pull towards the parent's weights, times the Fisher information of each; 0 keeps nothing.",
        "type": "number",
        "minimum": 0,
    },
    "patches": {
        "description": "Patches of the parent's last stage that the Fisher information is taken from.",
        "type": "integer",
        "minimum": 1,
        "default": 64,
    },
}


class Way(l2sp.Way):
    """Pulls each weight by its Fisher information at patches that the parent was trained on, augmented as in training."""

    def importance(self, start: keeping.Start) -> dict[str, Tensor]:
        fisher = fisher_information(start.network, start.loss, start.old_crops(self.keep.options["patches"]))
        # Sums of a GPU differ by rounding, and all processes have to pull alike.
        return of_first({name: values.cpu() for name, values in fisher.items()})


def fisher_information(network: nn.Module, loss: Loss, crops: Iterable[Crops]) -> dict[str, Tensor]:
    """Diagonal of the empirical Fisher information: the mean over patches of the squared gradient of each patch's loss.

    The gradient is that of the network as it predicts, its norms with their running statistics, in float32. Patch by
    patch: `torch.func.vmap` over the patches takes longer on processors, since it makes grouped convolutions of it.

    Returns tensors by name for every trained parameter, and for the running mean and variance of every batch norm; leaves
    the network in evaluation mode. `crops` hold one patch each.

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
    for name, norm in l2sp.batch_norms(network):
        variance = norm.running_var + norm.eps
        slope = norm.weight.detach() / variance.sqrt()
        fisher[f"{name}.running_mean"] = slope.square() * fisher[f"{name}.bias"]
        fisher[f"{name}.running_var"] = slope.square() / (4 * variance) * fisher[f"{name}.weight"]
    return fisher
