"""Batch norm and ReLU of bfloat16 activations on processors, in as few passes over memory as can be.

PyTorch makes them of separate passes, each as long as memory takes to deliver the activations. Here the forward pass
reads the activations twice and writes once, the backward pass reads them and their gradient twice and writes once.
Numbers between are float32, sums over pixels float64.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from frugalseg.kernels import _batch_norm_cpu as cpu


def batch_norm_relu(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """ReLU(weight * (x + added - mean) / sqrt(variance + eps) + bias), with mean and variance of the batch.

    Differentiable once, in all tensors and also through the two statistics it returns: another norm of the same `x`
    need not compute them again.

    Parameters
    ----------
    x : Tensor
        (B, C, H, W) bfloat16 on the CPU, channels last in memory.
    weight, bias : Tensor
        (C,) float32.
    eps : float
        Added to the variance.
    added : Tensor, optional
        (B, C) float32, added to every pixel of an image before the norm; 0 where it is not given.

    Returns
    -------
    activations : Tensor
        (B, C, H, W) bfloat16, channels last in memory.
    mean : Tensor
        (C,) float32, of x + added over images and pixels.
    deviation : Tensor
        (C,) float32, sqrt(variance + eps) with the biased variance.

    Raises
    ------
    ValueError
        When `x` is of another type, on another device or in another order, or has one pixel a channel.

    Notes
    -----
    Same input, same bits, at any number of threads: partial sums are over fixed blocks of pixels.
    """
    _check(x)
    if x.numel() == x.shape[1]:
        raise ValueError("a batch of one pixel has no variance; give larger crops or more images")
    return _BatchNormReLU.apply(x, weight, bias, eps, added)


def scale_shift_relu(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """ReLU(scale * x + shift), a norm whose statistics are fixed; not differentiable.

    Parameters
    ----------
    x : Tensor
        (B, C, H, W) bfloat16 on the CPU, channels last in memory.
    scale : Tensor
        (C,) float32.
    shift : Tensor
        (B, C) float32.

    Raises
    ------
    ValueError
        When `x` is of another type, on another device or in another order.
    """
    _check(x)
    activations = torch.empty_like(x)
    cpu.normalise(_pixels(x), (scale.detach().numpy(), shift.detach().contiguous().numpy()), _pixels(activations))
    return activations


class _BatchNormReLU(torch.autograd.Function):
    """With n pixels in the batch, x^ the normalised input and g the gradient behind the ReLU,

    dx = weight / deviation * (g - sum(g) / n - x^ sum(g x^) / n) + dmean / n + x^ ddeviation / n.
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, eps: float, added: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        pixels = _pixels(x)
        constants = np.zeros(x.shape[:2], np.float32) if added is None else added.detach().contiguous().numpy()
        statistics = cpu.measure(pixels, constants, eps)
        line = cpu.fold(weight.detach().numpy(), bias.detach().numpy(), constants, statistics)
        activations = torch.empty_like(x)
        cpu.normalise(pixels, line, _pixels(activations))
        ctx.save_for_backward(x)
        ctx.constants, ctx.statistics, ctx.line, ctx.has_added = constants, statistics, line, added is not None
        mean, deviation = (torch.from_numpy(values).float() for values in statistics[1:])
        return activations, mean, deviation

    @staticmethod
    @once_differentiable
    def backward(
        ctx: FunctionCtx, gradient: Tensor, mean_gradient: Tensor, deviation_gradient: Tensor
    ) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        x_gradient = torch.empty_like(x)
        gradients = cpu.differentiate(
            _pixels(x),
            _pixels(gradient.contiguous(memory_format=torch.channels_last)),
            ctx.line,
            ctx.constants,
            ctx.statistics,
            (mean_gradient.contiguous().numpy(), deviation_gradient.contiguous().numpy()),
            _pixels(x_gradient),
        )
        weight, bias, added = map(torch.from_numpy, gradients)
        return x_gradient, weight, bias, None, added if ctx.has_added else None


def _check(x: Tensor) -> None:
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(
            f"x must be bfloat16 on the CPU with its channels last in memory, got {x.dtype} on {x.device} with strides "
            f"{x.stride()}; use torch.nn.BatchNorm2d for others"
        )


def _pixels(x: Tensor) -> cpu.Pixels:
    """The bits of x as an array (B, H * W, C) that shares its memory; numba knows no bfloat16."""
    return x.detach().permute(0, 2, 3, 1).flatten(1, 2).view(torch.uint16).numpy()
