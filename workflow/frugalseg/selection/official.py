"""The subsets that a dataset's publishers list: whole images, by the percent that they say these are."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

METHODS = (
    "took the images that the publishers list as {{ amounts | map('number') | listing(before_last=' or ') }} % of the "
    "training set, and all their patches"
)
NEEDS = "seed"
COUNTS = "listed"


def official(features: Tensor | None, patches: pd.DataFrame, seed: int) -> tuple[Tensor, Tensor]:
    """Patches (N,) in the order of their table; bit p of a patch's bin is set if the list of p percent has its image.

    `patches` needs the column ``official``, which has the percents of these lists; `features` and `seed` are ignored.
    """
    if "official" not in patches:
        raise ValueError("selector 'official' needs lists of images; name them in `subsets` of the dataset's file")
    bits = [sum(1 << int(percent) for percent in text.split()) for text in patches["official"]]
    return torch.arange(len(patches)), torch.tensor(bits, dtype=torch.long)
