"""Models between a parent and its child: the weights of both, averaged (WiSE-FT; Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.runtime.device import choose_device
from frugalseg.runtime.energy import Meter
from frugalseg.training import checkpoints
from frugalseg.training.no_steps import write_no_steps
from frugalseg.training.stage import build_network

METHODS = (
    "were not trained: their weights are {{ '%g' % alpha }} times those of models of *{{ recipe }}* plus {{ '%g' % (1 - alpha) }} "
    "times those of their parents [@interpolation]"
)
CITES = {
    "interpolation": "Wortsman et al. 2022, Robust fine-tuning of zero-shot models, IEEE/CVF Conference on Computer Vision and "
    "Pattern Recognition",
}


def interpolate(parent: Mapping[str, Tensor], child: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """State dict of ``(1 - alpha) parent + alpha child``; 0 and 1 give either to the bit.

    Running means and variances of norms are averaged like weights, and not measured anew, which would take images. Integers,
    such as the number of batches that a norm has seen, are those of the nearer one, of the child in the middle.

    Parameters
    ----------
    parent, child : mapping
        State dicts of one network: name -> tensor, of the same names and shapes.
    alpha : float
        In [0, 1].

    Raises
    ------
    ValueError
        When alpha is out of range.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it goes from 0, the parent, to 1, the child")
    nearer = parent if alpha < 0.5 else child
    return {
        name: torch.lerp(parent[name], child[name], alpha) if tensor.is_floating_point() and 0 < alpha < 1 else tensor
        for name, tensor in nearer.items()
    }


def interpolate_stage(
    chain: str,
    recipe: str,
    seed: int,
    parent: str | Path,
    child: str | Path,
    *,
    config: Mapping[str, Any],
    weights: str | Path,
    log: str | Path,
    description: str | Path,
) -> None:
    """Make the model between a parent and its child, with the log and the description of a training of no steps.

    Parameters
    ----------
    chain, recipe, seed : str, str, int
        The model's name.
    parent, child : str or Path
        Checkpoints.
    config : mapping
        The config keys that matter for a model: ``recipe`` (the block), ``bins`` and ``min_cells``.
    weights, log, description : str or Path
        Files to write: ``model.pt``, ``log.csv``, ``model.json``.

    Raises
    ------
    ValueError, FileNotFoundError
        When a checkpoint is not one of the recipe's network.
    """
    with Meter(choose_device()) as meter:
        ends = [_state_of(path, config["recipe"]) for path in (parent, child)]
        checkpoints.save_tensors(interpolate(*ends, config["recipe"]["interpolate"]["alpha"]), weights)
    write_no_steps(chain, recipe, seed, config=config, meter=meter, log=log, description=description)


def _state_of(path: str | Path, recipe: Mapping[str, Any]) -> dict[str, Tensor]:
    network = build_network(recipe)
    checkpoints.load(path, network)
    return network.state_dict()
