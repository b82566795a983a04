"""Herding (Welling 2009), in the greedy form of iCaRL (Rebuffi et al., CVPR 2017, algorithm 4)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from frugalseg.kernels.quantize import checked, squared_distances

NEEDS = "features"
METHODS = "was herding [@herding; @icarl], which keeps the mean feature of the patches taken closest to that of all"
CITES = {
    "herding": "Welling 2009, Herding dynamical weights to learn, International Conference on Machine Learning",
    "icarl": "Rebuffi et al. 2017, iCaRL: incremental classifier and representation learning, IEEE Conference on Computer Vision "
    "and Pattern Recognition",
}


def herding(features: Tensor, patches: pd.DataFrame | None, seed: int) -> tuple[Tensor, Tensor]:
    """Order in which the mean of the patches taken stays as close as it can to the mean of all.

    The k-th pick minimises ``||mean - (picks + x) / k||`` over the patches x left: it is the one nearest to ``k mean - picks``,
    where `picks` is the sum of those before, which is herding's weight vector. Distances are Euclidean, in float64; ties go
    to the smallest index. O(N^2 D) work and O(N D) memory for the full order.
    """
    rows = checked(features)
    count = len(rows)
    mean = rows.mean(0, dtype=torch.float64)
    goal = mean.clone()
    left = torch.arange(count, device=rows.device)
    taken = torch.zeros(count, dtype=torch.bool, device=rows.device)
    order: list[int] = []
    while len(order) < count:
        pick = int(squared_distances(rows, goal).masked_fill_(taken, torch.inf).argmin())
        order.append(int(left[pick]))
        taken[pick] = True
        goal += mean - rows[pick].double()
        if 2 * (count - len(order)) <= len(left):
            # Copying the rows left over each time they have halved saves half of the work.
            left, rows, taken = left[~taken], rows[~taken], taken[~taken]
    return torch.tensor(order), torch.zeros(count, dtype=torch.int64)
