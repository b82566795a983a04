"""Selectors: functions that put the patches of a dataset in the order in which a coreset takes them.

A selector is one file with a function of its name, ``(features, patches, seed, **options) -> (order, bins)``: features (N, D)
floating point and finite, or None, the patch table of N rows, and the run's seed, of which it takes what it needs; two
LongTensors (N,), see `Selection`. Constants say what others need to know of it:

    METHODS   what it is, for the methods section: the end of "The selector X ...", a template over its options (Jinja)
    CITES     the papers that `METHODS` cites as [@key], by key
    NEEDS     features, seed (the run's, and no features) or model (one that is asked, in place of features)
    COUNTS    what its number counts: images, or one that the publishers listed; without it, percent of the patches
    OPTIONS   its keys in the config, each a fragment of JSON schema with description and default
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import pandas as pd
from torch import Tensor

from frugalseg.runtime.literals import check_member, members


class Selection(NamedTuple):
    """An order of all patches of a dataset; its coresets are prefixes."""

    order: Tensor  # (N,) int64, a permutation of the patches
    bins: Tensor  # (N,) the bin each was taken from, for ``few`` its image; 0 for selectors without bins


def select(
    method: str, features: Tensor | None, seed: int, *, patches: pd.DataFrame | None = None, **options: Any
) -> Selection:
    """Order and bins of all patches, from their features or their table.

    Parameters
    ----------
    method : str
        Name of a selector, which is that of its module.
    features : Tensor, shape (N, D), or None
        One row a patch; for ``uncertainty`` one number. None for selectors that need the seed, and the table instead.
    seed : int
        Seed of the run, for selectors that need it.
    patches : DataFrame of N rows, optional
        The patch table (``patches.csv``).
    **options
        The selector's own, e.g. ``gain="mean", bins=5`` for ``dq``.

    Raises
    ------
    ValueError
        When the method is not known, or what it needs is missing or malformed.
    """
    check_member("selection", method, "selector")
    is_seeded = members("selection")[method]["NEEDS"] == "seed"
    if is_seeded and patches is None:
        raise ValueError(f"selector {method!r} needs the patch table")
    if not is_seeded and features is None:
        raise ValueError(f"selector {method!r} needs the features of the patches")
    selector = getattr(import_module(f"frugalseg.selection.{method}"), method)
    return Selection(*selector(features, patches, seed, **options))


def order(
    name: str, features: Tensor | None, seed: int, *, patches: pd.DataFrame | None = None, **options: Any
) -> Tensor:
    """The order alone of `select`: a permutation of all patches, LongTensor of shape (N,)."""
    return select(name, features, seed, patches=patches, **options).order
