"""The forward pass of the Cellpose network in bfloat16 on processors: the same function, less work.

Three identities save arithmetic and passes over memory:

- Batch norm and nearest upsampling commute, and a 3x3 convolution of an upsampled image is a transposed 4x4 convolution
  of the small one: 16 multiplications for four output pixels instead of 36, and norms of a quarter of the pixels.
- Both branches of a residual block begin with a norm of the same input: its statistics are computed once.
- A norm without ReLU is linear, so it goes into the weights of the 1x1 convolution behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.kernels.batch_norm import batch_norm_relu, scale_shift_relu

Statistics = Sequence[Tensor]
"""Mean (C,) and sqrt(variance + eps) (C,)."""


def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Output (B, out_channels, H, W) bfloat16 of a `CPNet` for images (B, in_channels, H, W) on the CPU.

    Differentiable in training mode. Master weights and gradients of all parameters are float32.
    """
    with torch.autocast("cpu", enabled=False):
        x = images.to(torch.bfloat16, memory_format=torch.channels_last)
        skips = []
        for level, block in enumerate(network.downsample["down"].values()):
            x = _encode(block, F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        style = F.normalize(x.mean(dim=(-2, -1), dtype=torch.float32), dim=1)
        for block in reversed(network.upsample["up"].values()):
            skip = skips.pop()
            x = _decode(block, x, skip, style)
        return _norm_relu_convolve(network.output, x)


def _encode(block: nn.Module, x: Tensor) -> Tensor:
    first, second, third, fourth = block.conv.values()
    activations, statistics = _norm_relu(first[0], x)
    inner = _norm_relu_convolve(second, _convolve(first[2], activations))
    x = _project(block.proj, x, statistics).add_(inner)
    return _norm_relu_convolve(fourth, _norm_relu_convolve(third, x)).add_(x)


def _decode(block: nn.Module, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
    first, second, third, fourth = block.conv.values()
    grows = x.shape[-1] != skip.shape[-1]
    activations, statistics = _norm_relu(first[0], x)
    outer = _project(block.proj, x, statistics)
    inner = (_upsample_and_convolve if grows else _convolve)(first[2], activations).add_(skip)
    x = _styled(second, inner, style).add_(F.interpolate(outer, scale_factor=2, mode="nearest") if grows else outer)
    return _styled(fourth, _styled(third, x, style), style).add_(x)


def _styled(module: nn.Module, x: Tensor, style: Tensor) -> Tensor:
    return _norm_relu_convolve(module.conv, x, module.full(style))


def _norm_relu_convolve(module: nn.Sequential, x: Tensor, added: Tensor | None = None) -> Tensor:
    activations, _ = _norm_relu(module[0], x, added)
    return _convolve(module[2], activations)


def _norm_relu(norm: nn.BatchNorm2d, x: Tensor, added: Tensor | None = None) -> tuple[Tensor, Statistics | None]:
    """ReLU of the norm of x + added (B, C), and the statistics of the batch where the norm is in training."""
    if norm.training:
        activations, *statistics = batch_norm_relu(x, norm.weight, norm.bias, norm.eps, added)
        _update(norm, x, *statistics)
        return activations, statistics
    scale, shift = _fixed_line(norm)
    shift = shift.expand(len(x), -1) if added is None else shift + added * scale
    return scale_shift_relu(x, scale, shift), None


def _project(module: nn.Sequential, x: Tensor, statistics: Statistics | None) -> Tensor:
    """Norm and 1x1 convolution of x, whose statistics are known where the norm is in training."""
    norm, convolution = module
    if norm.training:
        mean, deviation = statistics
        _update(norm, x, mean, deviation)
        scale = norm.weight / deviation
        shift = norm.bias - mean * scale
    else:
        scale, shift = _fixed_line(norm)
    weight = convolution.weight * scale[:, None, None]
    bias = convolution.bias + convolution.weight.flatten(1) @ shift
    return F.conv2d(x, weight.bfloat16(), bias.bfloat16())


def _fixed_line(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


@torch.no_grad()
def _update(norm: nn.BatchNorm2d, x: Tensor, mean: Tensor, deviation: Tensor) -> None:
    """Move the running statistics towards those of a batch."""
    count = x.numel() // x.shape[1]
    norm.running_mean.lerp_(mean, norm.momentum)
    norm.running_var.lerp_((deviation.square() - norm.eps) * (count / (count - 1)), norm.momentum)
    norm.num_batches_tracked += 1


def _convolve(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, convolution.weight.bfloat16(), convolution.bias.bfloat16(), padding=convolution.padding)


def _upsample_and_convolve(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """3x3 convolution (B, K, 2 H, 2 W) of x (B, C, H, W) upsampled, each pixel repeated."""
    # Through these sums of taps a pixel reaches the four rows, and the four columns, around its two copies.
    taps = convolution.weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    weight = torch.einsum("pa,qb,ocab->copq", taps, taps, convolution.weight)
    return F.conv_transpose2d(x, weight.bfloat16(), convolution.bias.bfloat16(), stride=2, padding=1)
