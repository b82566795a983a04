"""The patches that a model is least certain of (uncertainty sampling; Lewis & Gale 1994)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from frugalseg.kernels.quantize import checked

NEEDS = "model"
METHODS = (
    "was uncertainty sampling [@uncertainty]: first the patches where the model *{{ chain }}* (recipe *{{ recipe }}*, seed {{ seed }}) "
    "is least certain which pixels belong to a cell, by the entropy of its probability, averaged over the patch"
)
CITES = {
    "uncertainty": "Settles 2009, Active learning literature survey, University of Wisconsin-Madison, Computer Sciences Technical "
    "Report 1648",
}
OPTIONS = {
    "recipe": {"type": "string", "description": "Recipe of the model that is asked, which becomes one of the study's."},
    "chain": {
        "type": "string",
        "description": "Chain of the model that is asked, such as the one that is to be fine-tuned.",
    },
    "seed": {
        "type": "integer",
        "minimum": 0,
        "default": 0,
        "description": "Seed of the model that is asked. One order serves all runs.",
    },
}


def uncertainty(features: Tensor, patches: pd.DataFrame | None, seed: int) -> tuple[Tensor, Tensor]:
    """Order by how uncertain a model is of the patches, the most uncertain first.

    Features are (N, 1), from `frugalseg.evaluation.uncertainty.uncertainties`. Equally uncertain patches come by index.
    """
    column = checked(features)
    if column.shape[1] != 1:
        raise ValueError(f"uncertainty is one number a patch, not {column.shape[1]}; ask a model, not an encoder")
    order = column[:, 0].cpu().argsort(descending=True, stable=True)
    return order, torch.zeros_like(order)
