"""Scores of an untrained network that need no labels: the rivals of input sensitivity in the choice of a width.

Every score takes a network and images (B, C, H, W), float and finite, and gives one number, the higher the better: () float64
on the device of the images. It raises ValueError where they are not, or where it is not finite. The network is left as it was:
weights, buffers, gradients and modes. Norm layers take their statistics from the images at hand, as they do when training
starts, and dropout is off.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

_STATISTICAL_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d)
_NORMS = (*_STATISTICAL_NORMS, nn.GroupNorm, nn.LayerNorm)
_RECTIFIERS = {
    torch.ops.aten.relu,
    torch.ops.aten.relu_,
    torch.ops.aten.leaky_relu,
    torch.ops.aten.leaky_relu_,
}
# Signs are compared in float32 by blocks of units; up to 2^24 every count is exact.
_UNITS_AT_ONCE = 1 << 18
# A pattern over the images is a word of 64 bits, one of which is the sign.
_MOST_IMAGES = 63


def naswot(model: nn.Module, images: Tensor) -> Tensor:
    """Log-determinant of the agreement between the activation codes of images (Mellor et al. 2021).

    The code of an image has one bit for every rectifier: whether its pre-activation is positive. With N rectifiers
    and the Hamming distance d, the kernel is K[i, j] = N - d(code i, code j), and the score is log |det K|: high where
    the network tells images apart. The paper has ReLU networks; a leaky ReLU bends at zero too, so that the sign of
    its pre-activation is the same code. Smooth activations have none and do not count.

    Codes of a U-Net are long (17 million bits for an image of 256 x 256 pixels), so K is summed up layer by layer
    while the images pass, and no code is kept. There are at least two images, no two of them equal; the score is minus infinity
    when two have the same code.
    """
    _check_images(images)
    if len(images) < 2:
        raise ValueError("NASWOT compares images with each other, and there is one; give at least two")
    if len(images.flatten(1).unique(dim=0)) < len(images):
        raise ValueError("NASWOT tells images apart, and some of them are equal; leave the duplicates out")
    agreement = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
    units = 0

    def accumulate(active: Tensor) -> None:
        nonlocal units
        units += active.shape[1]
        for block in active.split(_UNITS_AT_ONCE, dim=1):
            signs = block.float().mul_(2).sub_(1)
            agreement.add_(signs @ signs.T)

    _visit_codes(model, images, accumulate)
    # The product of two signs is 1 where they agree and -1 where not.
    kernel = (agreement + units) / 2
    if (kernel.triu(diagonal=1) == units).any():
        return kernel.new_tensor(-torch.inf)
    return torch.linalg.slogdet(kernel).logabsdet


def swap(model: nn.Module, images: Tensor) -> Tensor:
    """Number of distinct sample-wise activation patterns (SWAP score; Peng et al. 2024).

    The pattern of a rectifier is its bit in the code of every image (see :func:`naswot`): a word of B bits. The score
    counts the different words among all rectifiers of the network. It cannot exceed 2^B, nor the number of rectifiers:
    a U-Net at 256 x 256 pixels has so many of them that few images tell no widths apart. At most 63 images are taken.
    """
    _check_images(images)
    if len(images) > _MOST_IMAGES:
        raise ValueError(f"SWAP takes at most {_MOST_IMAGES} images, not {len(images)}; give fewer")
    seen = torch.empty(0, dtype=torch.int64, device=images.device)

    def collect(active: Tensor) -> None:
        nonlocal seen
        words = torch.zeros(active.shape[1], dtype=torch.int64, device=active.device)
        for bits in active:
            words.mul_(2).add_(bits)
        seen = torch.cat((seen, words.unique())).unique()

    _visit_codes(model, images, collect)
    return torch.tensor(len(seen), dtype=torch.float64, device=images.device)


def gradient_norm(model: nn.Module, images: Tensor) -> Tensor:
    """Norms of the loss's gradient with respect to the weights, summed over layers (Abdelfattah et al. 2021).

    The paper has the loss of one labelled batch. No label is read here: its place takes half the mean square of the
    output over images, channels and pixels, the squared error against an output of zero. The sum is over all weight tensors
    (not biases, not norms) of the Euclidean norm of their gradient.
    """
    _, gradients = _loss_gradients(model, images)
    return _finite(torch.stack([gradient.double().norm() for gradient in gradients]).sum(), "gradient norm")


def snip(model: nn.Module, images: Tensor) -> Tensor:
    """Sensitivity of the loss to the removal of connections, summed over the network (Lee et al. 2019).

    The sensitivity of a weight w is |dL/dc| of a factor c = 1 upon it, which is |w dL/dw|. The paper divides by the
    sum over the network, which compares weights; to compare networks, the sum itself is the score (Abdelfattah et al.
    2021). The loss L is that of :func:`gradient_norm`.
    """
    return _finite(_saliency(*_loss_gradients(model, images)), "SNIP score")


def synflow(model: nn.Module, images: Tensor) -> Tensor:
    """Synaptic flow through the network, summed over its weights (Tanaka et al. 2020).

    R is the sum of the output that an image of ones gives when all weights and biases are replaced by their
    magnitudes; the score is the sum of |w dR/dw| over weights. It depends on the images through their size alone.
    R is meant to be a sum over paths, of products of the weights on them. Norm layers would divide the flow out
    again, so they are left out (replaced by the identity), their scales and offsets with them. What is left of a
    U-Net is linear in its non-negative signals, (leaky) ReLUs included.

    The flow of a U-Net of full width passes the largest float32, so all is done in float64. Scores fall by powers of
    ten from one width to the next; compare their logarithms.
    """
    _check_images(images)
    flow = _without_norms(copy.deepcopy(model)).double().eval().requires_grad_(True)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.abs_()
    with torch.enable_grad():
        total = flow(torch.ones_like(images[:1], dtype=torch.float64)).sum()
    return _finite(_saliency(*_weights_and_gradients(total, flow.parameters())), "SynFlow score")


def parameter_count(model: nn.Module, images: Tensor) -> Tensor:
    """Number of parameters of the network, trainable or not: what a score must beat to be worth its while."""
    _check_images(images)
    count = sum(parameter.numel() for parameter in model.parameters())
    return torch.tensor(count, dtype=torch.float64, device=images.device)


SCORES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "naswot": naswot,
    "swap": swap,
    "gradient_norm": gradient_norm,
    "snip": snip,
    "synflow": synflow,
    "parameter_count": parameter_count,
}


class _Codes(TorchDispatchMode):
    """Shows `visit` the code (B, units) bool of every rectifier that runs, be it a module or a function."""

    def __init__(self, visit: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.visit = visit
        self.visits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func.overloadpacket in _RECTIFIERS:
            self.visits += 1
            # Before it runs: a rectifier may overwrite its input.
            self.visit((args[0] > 0).flatten(1))
        return func(*args, **(kwargs or {}))


def _visit_codes(model: nn.Module, images: Tensor, visit: Callable[[Tensor], None]) -> None:
    with torch.no_grad(), _Codes(visit) as codes:
        _output(model, dict(model.named_parameters()), images)
    if not codes.visits:
        raise ValueError("the network has no ReLU or leaky ReLU, and so no activation codes; take another score")


def _loss_gradients(model: nn.Module, images: Tensor) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    _check_images(images)
    parameters = {name: parameter.detach().requires_grad_() for name, parameter in model.named_parameters()}
    with torch.enable_grad():
        loss = _output(model, parameters, images).square().mean() / 2
    return _weights_and_gradients(loss, parameters.values())


def _weights_and_gradients(total: Tensor, parameters: Iterable[Tensor]) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    # Biases and norms have one dimension.
    weights = [parameter for parameter in parameters if parameter.dim() > 1]
    if not weights or not total.requires_grad:
        raise ValueError("the output of the network does not depend on any weight; give a network with weights")
    return weights, torch.autograd.grad(total, weights, allow_unused=True, materialize_grads=True)


def _saliency(weights: list[Tensor], gradients: tuple[Tensor, ...]) -> Tensor:
    products = zip(weights, gradients, strict=True)
    return torch.stack([(weight.detach().double() * gradient).abs().sum() for weight, gradient in products]).sum()


def _output(model: nn.Module, parameters: dict[str, Tensor], images: Tensor) -> Tensor:
    # Batch norm writes its running statistics: into copies.
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with _statistics_of_the_images(model):
        return functional_call(model, (parameters, buffers), (images,))


@contextmanager
def _statistics_of_the_images(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = isinstance(module, _STATISTICAL_NORMS)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _without_norms(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, nn.Identity() if isinstance(child, _NORMS) else _without_norms(child))
    return module


def _check_images(images: Tensor) -> None:
    if images.dim() != 4 or not images.numel() or not images.is_floating_point():
        raise ValueError(
            f"images must be floating-point (B, C, H, W) and not empty, not {images.dtype} {tuple(images.shape)}"
        )
    if not images.isfinite().all():
        raise ValueError(
            "some pixels of the images are not finite (NaN or infinity); normalise or leave out those images"
        )


def _finite(score: Tensor, name: str) -> Tensor:
    if not score.isfinite():
        raise ValueError(f"the {name} is {score.item()}: the network's output overflows; check its initial weights")
    return score
