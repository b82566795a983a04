"""Greedy k-center (Gonzalez 1985), the coreset of Sener & Savarese (ICLR 2018)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from frugalseg.kernels.quantize import checked, squared_distances

NEEDS = "features"
METHODS = "was greedy k-center [@kcenter], which takes the patch farthest from all patches taken before"
CITES = {
    "kcenter": "Sener & Savarese 2018, Active learning for convolutional neural networks: a core-set approach, International "
    "Conference on Learning Representations",
}


def kcenter(features: Tensor, patches: pd.DataFrame | None, seed: int) -> tuple[Tensor, Tensor]:
    """Order in which every patch is the one farthest from all patches before it.

    Distances are Euclidean, in float64; the first patch is the one nearest to the mean feature; ties go to the smallest
    index. N distances are taken for every pick, O(N^2 D) work and O(N D) memory for the full order.
    """
    rows = checked(features)
    count = len(rows)
    left = torch.arange(count, device=rows.device)
    pick = int(squared_distances(rows, rows.mean(0, dtype=torch.float64)).argmin())
    nearest = torch.full((count,), torch.inf, dtype=torch.float64, device=rows.device)
    order = []
    while True:
        order.append(int(left[pick]))
        if len(order) == count:
            break
        nearest = torch.minimum(nearest, squared_distances(rows, rows[pick].double()))
        nearest[pick] = -torch.inf  # A center is no candidate, not even where all others coincide with one.
        if 2 * (count - len(order)) <= len(left):
            # Copying the rows left over each time they have halved saves a third of the work.
            kept = nearest >= 0
            left, rows, nearest = left[kept], rows[kept], nearest[kept]
        pick = int(nearest.argmax())
    return torch.tensor(order), torch.zeros(count, dtype=torch.int64)
