"""How much a network's output moves with its input: norms of input gradients, one for each image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

# On processors one image of 256 x 256 pixels at a time is quickest: layers of several are so large that their memory goes
# back to the system and comes anew, page by page, at every layer. Smaller images go together. Measured on U-Nets of all
# widths, an image alone is quicker with channels last, several are quicker with channels first.
_PIXELS_ON_PROCESSOR = 256 * 256
_PIXELS_ON_ACCELERATOR = 64 * 256 * 256

_INDEPENDENT = "the output of the model does not depend on its input, so it has no sensitivity; check its weights"


def input_gradient_norm(model: nn.Module, images: Tensor) -> Tensor:
    """Sensitivity of a network at each image: the L2 norm of the gradient of the summed output by the image.

    One backward pass serves all images that fit together, because no output depends on another image. Gradients of
    weights are not computed. The model is left as it was: weights, gradients, running statistics and modes.

    Parameters
    ----------
    model : nn.Module
        Maps (B, C, H, W) to a tensor whose first axis is B, each image on its own. Runs in training mode, that is,
        norms use the statistics of the image. On the device and in the type of `images`.
    images : Tensor
        (B, C, H, W), float32 or float64, B >= 1, finite.

    Returns
    -------
    Tensor
        (B,) in the type and on the device of `images`, >= 0.

    Raises
    ------
    ValueError
        When `images` is not such a tensor, the model has a batch norm (which makes every output depend on all images of
        the batch, so that no norm belongs to one image), its output does not depend on its input, or a norm is not
        finite.

    Notes
    -----
    Equation 1 of Kimbowa et al. 2026 is the mean of these norms over images.
    """
    _check(model, images)
    on_processor = images.device.type == "cpu"
    pixels = _PIXELS_ON_PROCESSOR if on_processor else _PIXELS_ON_ACCELERATOR
    at_once = max(1, pixels // (images.shape[-2] * images.shape[-1]))
    layout = _channels_last if on_processor and at_once == 1 else Tensor.contiguous
    # Detached, the weights need no gradients; copied, the running statistics are not moved.
    state = {name: layout(weight.detach()) for name, weight in model.named_parameters()}
    state |= {name: buffer.clone() for name, buffer in model.named_buffers()}
    images = layout(images)
    with _training_mode(model), torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        norms = torch.cat([_norms(model, state, some) for some in images.split(at_once)])
    if not norms.any():
        raise ValueError(_INDEPENDENT)
    if not norms.isfinite().all():
        raise ValueError("the gradient of the output by some images is not finite; look for overflow in the network")
    return norms


def _channels_last(tensor: Tensor) -> Tensor:
    """Weights or images with channels last in memory, which convolutions on processors take as they are."""
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _norms(model: nn.Module, state: dict[str, Tensor], images: Tensor) -> Tensor:
    inputs = images.detach().requires_grad_()
    output = functional_call(model, state, (inputs,))
    gradient = torch.autograd.grad(output.sum(), inputs, allow_unused=True)[0] if output.requires_grad else None
    if gradient is None:
        raise ValueError(_INDEPENDENT)
    return torch.linalg.vector_norm(gradient.flatten(1), dim=1)


def _check(model: nn.Module, images: Tensor) -> None:
    if images.ndim != 4 or images.numel() == 0 or images.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            "sensitivity needs at least one image, as a float32 or float64 tensor (images, channels, height, width), "
            f"not {images.dtype} {tuple(images.shape)}"
        )
    if not images.isfinite().all():
        raise ValueError("some images hold values that are not finite; look at how they were read and normalised")
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise ValueError(
                f"{name or 'the model'} is a batch norm: in training mode it makes every output depend on all images of "
                "the batch, so that no gradient belongs to one image; take a network with instance or group norm"
            )


@contextmanager
def _training_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.train()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
