"""CMUNeXt-S: a small U-Net of large depthwise kernels with fused skips (Tang et al., ISBI 2024, Figs. 1 and 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from frugalseg.models._lightweight import Lightweight

METHODS = "CMUNeXt [@cmunext]"
CITES = {
    "cmunext": "Tang et al. 2024, CMUNeXt: an efficient medical image segmentation network based on large kernel and skip fusion, "
    "IEEE International Symposium on Biomedical Imaging",
}
ENCODER = ("stem", "encoder")
WIDTHS = (8, 16, 32, 64, 128)
KERNELS = (3, 3, 7, 7, 9)
_EXPANSION = 4


class CMUNeXt(Lightweight):
    """CMUNeXt-S, (B, in_channels, H, W) -> (B, out_channels, H, W).

    Notes
    -----
    The published 0.42 M parameters are met: 417,505 with 3 input channels and 1 class. One block stands at every
    level. The skip fusion expands to four times the width of its output: four times that of its input, which is
    twice as wide, would make 0.48 M. No initialisation is stated; it is PyTorch's default.
    """

    widths = WIDTHS
    stride = 2 ** (len(WIDTHS) - 1)

    def add_layers(self) -> None:
        self.stem = _conv_norm_relu(self.in_channels, WIDTHS[0])
        inputs = (WIDTHS[0], *WIDTHS[:-1])
        self.encoder = nn.ModuleList(
            nn.Sequential(LargeKernelBlock(narrow, kernel), _conv_norm_relu(narrow, width))
            for narrow, width, kernel in zip(inputs, WIDTHS, KERNELS, strict=True)
        )
        # From full resolution down, without the deepest level.
        self.upsample = nn.ModuleList(map(_conv_norm_relu, WIDTHS[1:], WIDTHS[:-1]))
        self.fusion = nn.ModuleList(map(SkipFusion, WIDTHS[:-1]))

    def decode(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        features = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)  # (B, width, H / 2^level, W / 2^level)
            features.append(x)
        skips = features[:-1]
        for upsample, fusion in zip(reversed(self.upsample), reversed(self.fusion), strict=True):
            x = upsample(F.interpolate(x, scale_factor=2, mode="bilinear"))
            x = fusion(skips.pop(), x)
        return x


build = CMUNeXt


class LargeKernelBlock(nn.Module):
    """CMUNeXt block: a large kernel mixes places, an inverted bottleneck mixes channels, (B, C, H, W) -> the same."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.places = _conv_gelu_norm(width, width, kernel, groups=width)
        self.channels = nn.Sequential(
            _conv_gelu_norm(width, _EXPANSION * width, 1),
            _conv_gelu_norm(_EXPANSION * width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.channels(x + self.places(x))


class SkipFusion(nn.Module):
    """Skip fusion: encoder's and decoder's features (B, C, H, W) each -> (B, C, H, W).

    The grouped convolution sees either alone; the inverted bottleneck then mixes the two.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fuse = nn.Sequential(
            _conv_gelu_norm(2 * width, 2 * width, 3, groups=2),
            _conv_gelu_norm(2 * width, _EXPANSION * width, 1),
            _conv_gelu_norm(_EXPANSION * width, width, 1),
        )

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return self.fuse(torch.cat((skip, x), dim=1))


def _conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _conv_gelu_norm(in_channels: int, out_channels: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups),
        nn.GELU(),
        nn.BatchNorm2d(out_channels),
    )
