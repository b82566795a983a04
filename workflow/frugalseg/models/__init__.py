"""Networks by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from frugalseg.models.cpnet import CPNet

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"cpnet": CPNet}


def build(
    arch: str,
    in_channels: int,
    out_channels: int,
    patch_size: int | None = None,
    *,
    generator: torch.Generator | None = None,
    **sizes: Any,
) -> nn.Module:
    """Build a network from its name and sizes.

    Parameters
    ----------
    arch : str
        Name of the architecture, a key of `ARCHITECTURES`.
    in_channels, out_channels : int
        Channels of the images and of the output.
    patch_size : int, optional
        Side in pixels of the patches it will be trained on; the network is asked whether it can take them.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.
    **sizes
        Sizes of the architecture, e.g. ``widths=(32, 64, 128, 256)`` of ``cpnet``.

    Raises
    ------
    ValueError
        When there is no such architecture, or it cannot take patches of that size.
    """
    if arch not in ARCHITECTURES:
        close = difflib.get_close_matches(arch, ARCHITECTURES, n=1, cutoff=0.0)
        raise ValueError(
            f"there is no architecture {arch!r}; did you mean {close[0]!r}? (known: {', '.join(sorted(ARCHITECTURES))})"
        )
    return ARCHITECTURES[arch](in_channels, out_channels, patch_size, generator=generator, **sizes)
