"""The width scan of a dataset: every score at every cap and seed, on crops of its training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from frugalseg.data.stores import Images
from frugalseg.kernels.sensitivity import input_gradient_norm
from frugalseg.widths.networks import describe
from frugalseg.widths.scan import OUT_CHANNELS, scan, square_crops
from frugalseg.widths.scores import SCORES

ALL_SCORES = {"sensitivity": input_gradient_norm, **SCORES}


def scan_dataset(
    stored: Images,
    *,
    archs: Mapping[str, str],
    images: int,
    crop: int,
    caps: Sequence[int],
    seeds: Sequence[int],
    scores: Sequence[str],
    device: torch.device | str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score untrained networks on unlabelled crops of a dataset, and say what each network costs.

    Parameters
    ----------
    stored : Images
        Training images; no label is read.
    archs : mapping of str to str
        Name -> arch of every network to describe, see `frugalseg.study.experiments.width_networks`.
    images, crop : int
        Number of crops, and their side in pixels. Each is the centre of another image; the images are spread evenly.
    caps, seeds : sequence of int
        Candidates and initialisations.
    scores : sequence of str
        Keys of :data:`ALL_SCORES`.
    device : torch.device or str
        Where the networks run.

    Returns
    -------
    pd.DataFrame
        Columns score, cap, seed, image (-1: one value for all images) and value.
    pd.DataFrame
        Columns network, cap (NaN for those that are no capped U-Net), parameters, flops; see
        :func:`frugalseg.widths.networks.describe`.

    Raises
    ------
    ValueError
        When too few images are large enough, or the crop does not suit a network.
    """
    crops = square_crops([stored.pixels(index) for index in range(len(stored))], crop, images)
    falling = sorted(caps, reverse=True)
    costs = describe(archs.values(), crops.shape[1], OUT_CHANNELS, crop).assign(network=list(archs))
    costs["cap"] = costs["network"].map({f"cap{cap}": cap for cap in falling}).astype(np.float64)
    tables = [
        scan(crops, seeds, falling, score=ALL_SCORES[name], device=device)
        .rename(columns={"sensitivity": "value"})
        .assign(score=name)
        for name in scores
    ]
    table = pd.concat(tables, ignore_index=True)[["score", "cap", "seed", "image", "value"]]
    return table, costs[["network", "cap", "parameters", "flops"]]
