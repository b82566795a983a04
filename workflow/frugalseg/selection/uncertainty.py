"""The patches that a model is least certain of (uncertainty sampling; Lewis & Gale 1994)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from frugalseg.kernels.quantize import checked


def uncertainty(features: Tensor, patches: pd.DataFrame | None, seed: int) -> tuple[Tensor, Tensor]:
    """Order by how uncertain a model is of the patches, the most uncertain first.

    Parameters
    ----------
    features : Tensor, shape (N, 1), floating point
        Uncertainty of every patch, from `frugalseg.evaluation.uncertainty.uncertainties`.
    patches, seed : ignored

    Returns
    -------
    order, bins : LongTensor, shape (N,)
        Equally uncertain patches come by index; `bins` is 0 throughout.

    Raises
    ------
    ValueError
        When `features` is not a matrix of one column of finite floating point numbers.
    """
    column = checked(features)
    if column.shape[1] != 1:
        raise ValueError(f"uncertainty is one number a patch, not {column.shape[1]}; ask a model, not an encoder")
    order = column[:, 0].cpu().argsort(descending=True, stable=True)
    return order, torch.zeros_like(order)
