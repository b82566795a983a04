"""Networks by name.

A network is one file with a function (or class) `build` and constants that say what others need to know of it:

    METHODS   what it is, for the methods section: a noun phrase, a template over the recipe (Jinja)
    CITES     the papers that `METHODS` cites as [@key], by key
    OPTIONS   its sizes in a recipe, each a fragment of JSON schema with description and default
    SIZES     key of a recipe that these sizes stand under; without it they stand in the recipe itself
    ENCODER   first parts of the names of the parameters that make its encoder, which ``frozen`` leaves alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn

from frugalseg.runtime.literals import check_member, members


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
        Name of a network, which is that of its module. ``unet-cap{n}`` is the U-Net with at most n channels in every
        stage, n from 1 to 512.
    in_channels, out_channels : int
        Channels of the images and of the output.
    patch_size : int or (int, int), optional
        Side, or height and width, in pixels of the patches it will be trained on; the network is asked whether it can
        take them. ``unet`` is planned from it and needs it, ``cpnet`` and ``ucell`` take one side.
    generator : torch.Generator, optional
        Source of the initial weights; PyTorch's global one where it is not given.
    **sizes
        Sizes of the network, e.g. ``widths=(32, 64, 128, 256)`` of ``cpnet``.

    Raises
    ------
    ValueError
        When there is no such network, or it cannot take patches of that size.
    """
    family, _, variant = arch.partition("-")
    check_member("models", family, "architecture")
    module = import_module(f"frugalseg.models.{family}")
    if variant:
        if not hasattr(module, "variant"):
            raise ValueError(f"there is no architecture {arch!r}; did you mean {family!r}?")
        sizes = module.variant(variant) | sizes
    return module.build(in_channels, out_channels, patch_size, generator=generator, **sizes)


def sizes_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes of its network that a recipe gives, as `build` takes them."""
    constants = members("models").get(recipe["arch"].partition("-")[0], {})
    block = recipe.get(constants["SIZES"], {}) if "SIZES" in constants else recipe
    return {key: block[key] for key in constants.get("OPTIONS", {}) if key in block}


def encoder_of(arch: str) -> tuple[str, ...]:
    """Names of the modules that make the encoder of a network, e.g. of ``unet-cap8``; empty where it has none."""
    return members("models").get(arch.partition("-")[0], {}).get("ENCODER", ())
