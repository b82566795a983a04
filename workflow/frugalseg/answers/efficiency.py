"""What the networks of an experiment's entries cost, as fields to lay its table and its figure out by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from frugalseg.models.cost import forward_flops, parameters
from frugalseg.training.stage import build_network

_GIGA, _MEGA = 1e9, 1e6


def add_costs(table: pd.DataFrame, fields: Sequence[str], recipes: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Add columns that say what the network of every row costs.

    Parameters
    ----------
    table : pd.DataFrame
        From :func:`frugalseg.answers.tables.tabulate`.
    fields : sequence of str
        Which of ``parameters`` and ``gigaflops``, see :func:`costs_of`.
    recipes : mapping
        Every recipe of the table by name, completed with defaults.
    """
    costs = {name: costs_of(recipes[name]) for name in table["recipe"].unique()}
    return table.assign(
        **{field: table["recipe"].map(lambda name, field=field: costs[name][field]) for field in fields}
    )


def costs_of(recipe: Mapping[str, Any]) -> dict[str, float]:
    """What the network of a recipe costs.

    Parameters
    ----------
    recipe : mapping
        Block of the config.

    Returns
    -------
    dict
        ``parameters``, its weights; low-rank adapters are none, since they are added to the weights that they change. And
        ``gigaflops``, 10^9 operations of the prediction of a megapixel in windows of the recipe's crop that do not overlap.
    """
    with torch.device("meta"):
        network = build_network(recipe)
    pixels = recipe["crop"] ** 2
    flops = forward_flops(network, recipe["crop"]) / pixels * _MEGA
    return {"parameters": parameters(network), "gigaflops": flops / _GIGA}
