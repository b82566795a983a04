"""The Cellpose network: a residual U-Net whose decoder is steered by a style vector (Stringer et al. 2021, Fig. 1).

Parameters carry the names that Cellpose 3 gives them, so that a checkpoint of either opens in the other. That is
why modules sit in dictionaries with names such as ``res_down_0``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.models._initial import draw_weights

METHODS = "The residual U-Net of Cellpose [@cellpose] with {{ widths | map('string') | listing }} channels"
CITES = {
    "cellpose": "Stringer, Wang, Michaelos & Pachitariu 2021, Cellpose: a generalist algorithm for cellular segmentation, Nature "
    "Methods 18",
}
ENCODER = ("downsample",)
OPTIONS = {
    "widths": {
        "description": "Channels of each level.",
        "type": "array",
        "minItems": 2,
        "items": {"type": "integer", "minimum": 1},
        "default": [32, 64, 128, 256],
    },
}


class CPNet(nn.Module):
    """Residual U-Net with style vector, (B, in_channels, H, W) -> (B, out_channels, H, W).

    H and W must be multiples of ``2 ** (len(widths) - 1)``. The outputs are flow y, flow x (both five times the unit
    vector that they were trained on) and the logit of the cell probability.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images, and of the output: two of flow and one logit.
    patch_size : int, optional
        Side of the training patches in pixels, checked against the depth.
    widths : sequence of int
        Channels of each level, from full resolution down; Cellpose's own are 32, 64, 128, 256.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.

    Attributes
    ----------
    diam_mean : Tensor
        (1,) diameter in pixels of the cells as the network was shown them. Cellpose scales images to it.
    diam_labels : Tensor
        (1,) mean diameter in pixels of the cells in the training patches, as stored.

    Notes
    -----
    Initialisation is PyTorch's default, which is Cellpose's too: weights and biases of convolutions and linear layers
    uniform in +-1 / sqrt(fan_in); batch norms start as the identity.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 3,
        patch_size: int | None = None,
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stride = 2 ** (len(widths) - 1)
        if patch_size is not None:
            self._check_size(patch_size, patch_size)
        encoder_inputs = (in_channels, *widths[:-1])
        # Decoder blocks from full resolution down; the deepest takes the deepest features and keeps their width.
        decoder_inputs = (*widths[1:], widths[-1])
        self.downsample = nn.ModuleDict(
            {"down": _numbered("res_down", map(EncoderBlock, encoder_inputs, widths))},
        )
        self.upsample = nn.ModuleDict(
            {"up": _numbered("res_up", map(DecoderBlock, decoder_inputs, widths, [widths[-1]] * len(widths)))},
        )
        self.output = _norm_relu_conv(widths[0], out_channels, kernel_size=1)
        self.register_buffer("diam_mean", torch.full((1,), 30.0))
        self.register_buffer("diam_labels", torch.full((1,), 30.0))
        if generator is not None:
            draw_weights(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Flow y, flow x and logit (B, out_channels, H, W) of normalised images (B, in_channels, H, W)."""
        self._check_size(*images.shape[-2:])
        skips = []
        # The order in memory in which convolutions are fastest.
        x = images.contiguous(memory_format=torch.channels_last)
        for level, block in enumerate(self.downsample["down"].values()):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        style = F.normalize(x.float().mean(dim=(-2, -1)), dim=1)
        for block in reversed(self.upsample["up"].values()):
            x = block(x, skips.pop(), style)
        return self.output(x)

    def _check_size(self, height: int, width: int) -> None:
        if height % self.stride or width % self.stride:
            raise ValueError(
                f"images of {height} x {width} pixels do not fit a network of {int(math.log2(self.stride)) + 1} levels: "
                f"sides must be multiples of {self.stride}; change the crop or pad the images"
            )


build = CPNet


class EncoderBlock(nn.Module):
    """Two residual pairs of convolutions; a 1x1 convolution brings the input to their width."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv = _numbered("conv", (_norm_relu_conv(c, width) for c in (in_channels, width, width, width)))
        self.proj = _norm_conv(in_channels, width)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth = self.conv.values()
        x = self.proj(x).add_(second(first(x)))
        return fourth(third(x)).add_(x)


class DecoderBlock(nn.Module):
    """Two residual pairs of convolutions that take in the encoder's features and the style.

    Features of half the resolution are upsampled, each pixel repeated. This commutes with norm, ReLU and 1x1
    convolution, so that these see a quarter of the pixels.
    """

    def __init__(self, in_channels: int, width: int, style_width: int) -> None:
        super().__init__()
        styled = (StyledConvolution(width, style_width) for _ in range(3))
        self.conv = _numbered("conv", (_norm_relu_conv(in_channels, width), *styled))
        self.proj = _norm_conv(in_channels, width)

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        first, second, third, fourth = self.conv.values()
        norm, relu, convolution = first
        if x.shape[-1] == skip.shape[-1]:
            inner, outer = first(x), self.proj(x)
        else:
            inner = _upsample_and_convolve(convolution, relu(norm(x)))
            outer = F.interpolate(self.proj(x), scale_factor=2, mode="nearest")
        x = second(inner.add_(skip), style).add_(outer)
        return fourth(third(x, style), style).add_(x)


def _upsample_and_convolve(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """3x3 convolution (B, K, 2 H, 2 W) of x (B, C, H, W) upsampled: a transposed one of 16 taps for 4 pixels, not 36."""
    # A pixel reaches the four rows, and the four columns, around its two copies through sums of neighbouring taps.
    flipped = convolution.weight.flip(2, 3).transpose(0, 1)
    taps = sum(F.pad(flipped, (left, 1 - left, top, 1 - top)) for left in (0, 1) for top in (0, 1))
    return F.conv_transpose2d(x, taps, convolution.bias, stride=2, padding=1)


class StyledConvolution(nn.Module):
    """A convolution before which a linear function of the style is added to every pixel."""

    def __init__(self, width: int, style_width: int) -> None:
        super().__init__()
        self.conv = _norm_relu_conv(width, width)
        self.full = nn.Linear(style_width, width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.conv(x + self.full(style)[:, :, None, None])


def _norm_relu_conv(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        _norm(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
    )


def _norm_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_norm(in_channels), nn.Conv2d(in_channels, out_channels, 1))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.05)


def _numbered(name: str, modules: Iterable[nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({f"{name}_{number}": module for number, module in enumerate(modules)})
