"""Random order, the baseline every selector has to beat."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

NEEDS = "seed"
METHODS = "drew patches at random, anew for every seed"


def random(features: Tensor | None, patches: pd.DataFrame, seed: int) -> tuple[Tensor, Tensor]:
    """Uniformly random order of the patches, from the run's seed."""
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(seed))
    return order, torch.zeros_like(order)
