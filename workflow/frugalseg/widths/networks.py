"""What the networks of a width scan cost: parameters and operations, without a weight in memory."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch

from frugalseg.models import build
from frugalseg.models.cost import forward_flops, parameters


def describe(archs: Iterable[str], in_channels: int, out_channels: int, size: int) -> pd.DataFrame:
    """Parameters and operations of networks, by arch.

    Parameters
    ----------
    archs : iterable of str
        Names that `frugalseg.models.build` knows.
    in_channels, out_channels : int
        Channels of the images and of the output.
    size : int
        Side in pixels of the image that operations are counted for, and that a U-Net is planned for.

    Returns
    -------
    pd.DataFrame
        Columns arch, parameters, flops: operations of one forward pass over one image, a multiplication and an addition
        counted as two, those of convolutions and matrix products alone.
    """
    rows = []
    for arch in archs:
        with torch.device("meta"):
            network = build(arch, in_channels, out_channels, size)
        rows.append((arch, parameters(network), forward_flops(network, size)))
    return pd.DataFrame(rows, columns=["arch", "parameters", "flops"])
