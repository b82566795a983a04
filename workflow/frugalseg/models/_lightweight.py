"""What the lightweight networks share: the check of an image's sides, the head, and initial weights from a generator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frugalseg.models._initial import draw_weights


class Lightweight(nn.Module):
    """Base of the networks without sizes to choose, (B, in_channels, H, W) -> (B, out_channels, H, W).

    A network defines `add_layers` and `decode`, and its widths from full resolution down.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the images and of the output, which are logits.
    patch_size : int or (int, int), optional
        Side, or height and width, in pixels of the patches it will be trained on, checked against the depth.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given. Either way they are PyTorch's default.

    Attributes
    ----------
    in_channels : int
        Channels of the images.
    stride : int
        H and W must be multiples of it.

    Raises
    ------
    ValueError
        When the patches, or the images of `forward`, have sides that are no multiples of `stride`.
    """

    widths: Sequence[int]
    stride: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        patch_size: int | Sequence[int] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        if patch_size is not None:
            self._check_sides(*((patch_size, patch_size) if isinstance(patch_size, int) else patch_size))
        self.add_layers()
        self.head = nn.Conv2d(self.widths[0], out_channels, 1)
        if generator is not None:
            draw_weights(self, generator)

    def add_layers(self) -> None:
        """Make the layers before the head."""
        raise NotImplementedError

    def decode(self, images: Tensor) -> Tensor:
        """Features (B, widths[0], H, W) of images (B, in_channels, H, W)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, out_channels, H, W) of images (B, in_channels, H, W)."""
        self._check_sides(*images.shape[-2:])
        return self.head(self.decode(images))

    def _check_sides(self, height: int, width: int) -> None:
        if height % self.stride or width % self.stride or not height * width:
            raise ValueError(
                f"images of {height} x {width} pixels do not fit the network: sides must be multiples of {self.stride}; "
                "change the crop or pad the images"
            )
