"""Selectors: functions that put the patches of a dataset in the order in which a coreset takes them.

A selector is one function in one file, ``(features, patches, seed, **options) -> (order, bins)``, and one line in
`SELECTORS`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
from torch import Tensor

from frugalseg.chains import SEEDED_METHODS
from frugalseg.selection.dq import dq
from frugalseg.selection.few import few
from frugalseg.selection.herding import herding
from frugalseg.selection.kcenter import kcenter
from frugalseg.selection.random import random
from frugalseg.selection.typicality import typicality
from frugalseg.selection.uncertainty import uncertainty

SELECTORS = {
    "dq": dq,
    "random": random,
    "kcenter": kcenter,
    "herding": herding,
    "typicality": typicality,
    "uncertainty": uncertainty,
    "few": few,
}
SEEDED = SEEDED_METHODS


class Selection(NamedTuple):
    """An order of all patches of a dataset; its coresets are prefixes.

    Attributes
    ----------
    order : LongTensor, shape (N,)
        A permutation of the patches.
    bins : LongTensor, shape (N,)
        The bin each patch in `order` was taken from, for ``few`` its image; 0 for selectors without bins.
    """

    order: Tensor
    bins: Tensor


def select(
    method: str, features: Tensor | None, seed: int, *, patches: pd.DataFrame | None = None, **options: Any
) -> Selection:
    """Order and bins of all patches, from their features or their table.

    Parameters
    ----------
    method : str
        A key of `SELECTORS`.
    features : Tensor, shape (N, D), or None
        One row a patch; for ``uncertainty`` one number. None for methods in `SEEDED`, which need the table instead.
    seed : int
        Seed of the run for methods in `SEEDED`.
    patches : DataFrame of N rows, optional
        The patch table (``patches.csv``).
    **options
        The selector's own, e.g. ``gain="mean", bins=5`` for ``dq``.

    Raises
    ------
    ValueError
        When the method is not known, or what it needs is missing or malformed.
    """
    if method not in SELECTORS:
        raise ValueError(f"unknown selector {method!r}: choose one of {', '.join(SELECTORS)}")
    if method in SEEDED and patches is None:
        raise ValueError(f"selector {method!r} needs the patch table")
    if method not in SEEDED and features is None:
        raise ValueError(f"selector {method!r} needs the features of the patches")
    return Selection(*SELECTORS[method](features, patches, seed, **options))


def order(
    name: str, features: Tensor | None, seed: int, *, patches: pd.DataFrame | None = None, **options: Any
) -> Tensor:
    """The order alone of `select`: a permutation of all patches, LongTensor of shape (N,)."""
    return select(name, features, seed, patches=patches, **options).order
