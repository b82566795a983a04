"""nnU-Net's plain convolutional U-Net in two dimensions, with a cap on its width (Isensee et al. 2021; Kimbowa et al. 2026)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

METHODS = (
    "The U-Net of nnU-Net's plan [@nnunet]{% set cap = arch.partition('-cap')[2] %}"
    "{% if cap %}, its widths capped at {{ cap | int | plural('channel') }},{% endif %}"
)
CITES = {
    "nnunet": "Isensee et al. 2021, nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation, "
    "Nature Methods 18",
}
ENCODER = ("encoder",)
FULL_WIDTH = 512
_FIRST_WIDTH = 32
# nnU-Net pools no axis to fewer pixels than this.
_SMALLEST_SIDE = 4
_SLOPE = 0.01
# Norms over channels-last images are written for vector registers full of channels; fewer channels waste them.
_FEW_CHANNELS = 8
_CAPPED = re.compile(r"cap(?P<cap>[1-9]\d{0,2})", re.ASCII)


class Plan(NamedTuple):
    """The topology that nnU-Net's planner gives a patch."""

    strides: tuple[tuple[int, int], ...]  # (y, x) of the first convolution of every stage; (1, 1) in the first
    widths: tuple[int, ...]  # channels of every stage, not capped

    @property
    def total_stride(self) -> tuple[int, int]:
        """Pixels (y, x) of the image that one pixel of the deepest stage stands for."""
        return math.prod(y for y, _ in self.strides), math.prod(x for _, x in self.strides)


class UNet(nn.Module):
    """Plain U-Net of nnU-Net, (B, in_channels, H, W) -> (B, out_channels, H, W), with at most `cap` channels a stage.

    A stage is two times convolution 3 x 3, instance norm and leaky ReLU; the first convolution of every stage but the
    first is strided. On the way up, a transposed convolution doubles the resolution and the features of the encoder
    are concatenated. There is one head, at full resolution: nnU-Net's further heads serve deep supervision alone.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images and of the output.
    patch_size : int or (int, int)
        Side, or height and width, in pixels of the patches it is planned for; see :func:`plan`.
    cap : int
        Most channels of any stage, 1 to 512.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.

    Attributes
    ----------
    in_channels : int
        Channels of the images.
    stride : int
        Sides of images that are multiples of this can be taken. A side may also be a multiple of that axis's own,
        smaller stride where the plan gives one.
    deep_supervision_parameters : int
        Parameters of the heads at lower resolutions. nnU-Net always builds them, so the counts of Kimbowa et al. 2026
        include them.

    Notes
    -----
    Initialisation is nnU-Net's: He normal for a slope of 0.01 in all convolutions, zero bias, instance norms that start
    as the identity.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        patch_size: int | Sequence[int] | None,
        *,
        cap: int = FULL_WIDTH,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= cap <= FULL_WIDTH:
            raise ValueError(f"the width cap of a U-Net must be from 1 to {FULL_WIDTH} channels, not {cap}")
        if patch_size is None:
            raise ValueError("a U-Net is planned from the size of its patches: give `patch_size`")
        strides, full_widths = topology = plan(patch_size)
        widths = [min(cap, width) for width in full_widths]
        self.in_channels = in_channels
        self.strides = topology.total_stride
        self.stride = max(self.strides)
        self.deep_supervision_parameters = sum((width + 1) * out_channels for width in widths[1:-1])
        self.encoder = nn.ModuleList(
            _stage(inputs, width, stride)
            for inputs, width, stride in zip([in_channels, *widths], widths, strides, strict=False)
        )
        self.upsample = nn.ModuleList(
            nn.ConvTranspose2d(below, width, stride, stride)
            for (width, below), stride in zip(pairwise(widths), strides[1:], strict=True)
        )
        self.decoder = nn.ModuleList(_stage(2 * width, width, (1, 1)) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], out_channels, 1)
        _initialise(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Output (B, out_channels, H, W) for normalised images (B, in_channels, H, W)."""
        self._check_size(*images.shape[-2:])
        skips = []
        x = images
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        for upsample, stage in zip(reversed(self.upsample), reversed(self.decoder), strict=True):
            x = stage(torch.cat([upsample(x), skips.pop()], dim=1))
        return self.head(x)

    def _check_size(self, height: int, width: int) -> None:
        rows, columns = self.strides
        if height % rows or width % columns or not height or not width:
            raise ValueError(
                f"images of {height} x {width} pixels do not fit a U-Net of {len(self.encoder)} stages: height must be a "
                f"multiple of {rows} and width of {columns}; change the crop or pad the images"
            )
        if (height, width) == self.strides:
            raise ValueError(
                f"images of {height} x {width} pixels are too small for a U-Net of {len(self.encoder)} stages: one pixel "
                "is left in the deepest, which instance norm cannot normalise; plan it for smaller patches"
            )


class InstanceNorm(nn.GroupNorm):
    """Instance norm with scale and offset, by whichever of PyTorch's norms is quickest for the images at hand.

    A group norm with one channel a group is an instance norm, and of one image so is a batch norm. PyTorch's own
    instance norm copies channels-last images first and is slower than either on processors.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        if self.num_channels < _FEW_CHANNELS:
            x = x.contiguous()
        if len(x) == 1:
            return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)


def plan(patch_size: int | Sequence[int]) -> Plan:
    """Stages, strides and widths of nnU-Net's 2D U-Net for a patch, by the rule of its planner for square pixels.

    Every further stage halves each axis that has at least 4 pixels left after it (sizes rounded up). When one axis is
    left to halve, it is halved while it has at least 12 pixels. Kernels are 3 x 3 in all stages. Widths start at 32 and
    double up to 512. Sides below 8 pixels, where nnU-Net's planner fails, and those that are no multiple of their axis's total
    stride, which nnU-Net enlarges, are refused; the message says what to take.
    """
    height, width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    sizes = [height, width]
    if min(sizes) < 2 * _SMALLEST_SIDE:
        raise ValueError(
            f"nnU-Net plans no U-Net for patches of {height} x {width} pixels: sides must be at least "
            f"{2 * _SMALLEST_SIDE}; take larger patches"
        )
    strides = [(1, 1)]
    while stride := _next_stride(sizes):
        strides.append(stride)
        sizes = [math.ceil(size / factor) for size, factor in zip(sizes, stride, strict=True)]
    result = Plan(tuple(strides), tuple(min(_FIRST_WIDTH << stage, FULL_WIDTH) for stage in range(len(strides))))
    rows, columns = result.total_stride
    if height % rows or width % columns:
        raise ValueError(
            f"patches of {height} x {width} pixels do not fit the U-Net that nnU-Net plans for them, which takes multiples "
            f"of {rows} x {columns}; take {math.ceil(height / rows) * rows} x {math.ceil(width / columns) * columns}"
        )
    return result


def variant(name: str) -> dict[str, int]:
    """Sizes of the U-Net that a name such as ``unet-cap8`` stands for, from ``cap8``: a whole number from 1 to 512."""
    match = _CAPPED.fullmatch(name)
    if match is None or not 1 <= int(match["cap"]) <= FULL_WIDTH:
        raise ValueError(
            f"architecture 'unet-{name}' names no width cap: write a whole number from 1 to {FULL_WIDTH}, as in 'unet-cap8'"
        )
    return {"cap": int(match["cap"])}


build = UNet


def _next_stride(sizes: Sequence[int]) -> tuple[int, int] | None:
    """Stride of the next stage for features of these sizes, None if there is none."""
    halved = [size >= 2 * _SMALLEST_SIDE for size in sizes]
    # An axis on its own is only halved when it is somewhat longer.
    if not any(halved) or (sum(halved) == 1 and max(sizes) < 3 * _SMALLEST_SIDE):
        return None
    return 1 + halved[0], 1 + halved[1]


def _stage(in_channels: int, width: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(*_conv_norm_relu(in_channels, width, stride), *_conv_norm_relu(width, width, (1, 1)))


def _conv_norm_relu(in_channels: int, width: int, stride: tuple[int, int]) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, width, 3, stride, padding=1),
        InstanceNorm(width),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def _initialise(network: nn.Module, generator: torch.Generator | None) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, a=_SLOPE, generator=generator)
            nn.init.zeros_(module.bias)
