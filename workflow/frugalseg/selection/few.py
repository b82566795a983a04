"""Few whole images: what a laboratory annotates is an image, not a patch."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

NEEDS = "seed"
COUNTS = "images"
METHODS = (
    "drew {{ amounts | map('number') | listing(before_last=' or ') }} whole image{{ '' if amounts == [1] else 's' }} at random, "
    "anew for every seed, and took all their patches"
)


def few(features: Tensor | None, patches: pd.DataFrame, seed: int) -> tuple[Tensor, Tensor]:
    """Patches image after image, the images in random order, from the run's seed.

    `bins` is the place of the patch's image in the random order, so k images are the patches with bins < k.
    """
    if "image" not in patches:
        raise ValueError(f"selector 'few' needs the column 'image'; the patch table has {', '.join(patches.columns)}")
    image, names = pd.factorize(patches["image"])
    places = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    bins = places[torch.from_numpy(image)]
    order = bins.argsort(stable=True)
    return order, bins[order]
