"""Networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from frugalseg.models.cmunext import CMUNeXt
from frugalseg.models.cpnet import CPNet
from frugalseg.models.lightweight import check_sides
from frugalseg.models.tinyunet import TinyUNet
from frugalseg.models.ucell import UCell
from frugalseg.models.unet import UNet, capped_unet
from frugalseg.models.unext import UNeXt


def _unplanned(
    network: Callable[..., nn.Module],
    in_channels: int,
    out_channels: int,
    patch_size: int | Sequence[int] | None,
    *,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Build a network that is the same for patches of all sizes, and ask it whether it can take these."""
    built = network(in_channels, out_channels, generator=generator)
    if patch_size is not None:
        sides = (patch_size, patch_size) if isinstance(patch_size, int) else tuple(patch_size)
        check_sides(torch.empty(sides, device="meta"), built.stride)
    return built


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "cpnet": CPNet,
    "unet": UNet,
    "tinyunet": partial(_unplanned, TinyUNet),
    "unext": partial(_unplanned, UNeXt),
    "cmunext": partial(_unplanned, CMUNeXt),
    "ucell": UCell,
}


def build(
    arch: str,
    in_channels: int,
    out_channels: int,
    patch_size: int | Sequence[int] | None = None,
    *,
    generator: torch.Generator | None = None,
    **sizes: Any,
) -> nn.Module:
    """Build a network from its name and sizes.

    Parameters
    ----------
    arch : str
        Name of the architecture, a key of `ARCHITECTURES`, or ``unet-cap{n}`` for the U-Net with at most n channels in
        every stage, n from 1 to 512.
    in_channels, out_channels : int
        Channels of the images and of the output.
    patch_size : int or (int, int), optional
        Side, or height and width, in pixels of the patches it will be trained on; the network is asked whether it can
        take them. ``unet`` is planned from it and needs it, ``cpnet`` and ``ucell`` take one side.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.
    **sizes
        Sizes of the architecture, e.g. ``widths=(32, 64, 128, 256)`` of ``cpnet``.

    Raises
    ------
    ValueError
        When there is no such architecture, or it cannot take patches of that size.
    """
    capped = capped_unet(arch)
    if capped is None and arch not in ARCHITECTURES:
        close = difflib.get_close_matches(arch.lower(), ARCHITECTURES, n=1, cutoff=0.0)
        known = ", ".join([*sorted(ARCHITECTURES), "unet-cap1 to unet-cap512"])
        raise ValueError(f"there is no architecture {arch!r}; did you mean {close[0]!r}? (known: {known})")
    builder = capped or ARCHITECTURES[arch]
    return builder(in_channels, out_channels, patch_size, generator=generator, **sizes)
