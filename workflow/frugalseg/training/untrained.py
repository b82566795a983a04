"""Networks before their first step: what a score is worth that nothing was learned for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from frugalseg.runtime.device import choose_device
from frugalseg.runtime.energy import Meter
from frugalseg.training.no_steps import write_no_steps
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.stage import StageFiles, build_network, seed_of_stage, sources_of


def start_stage(
    chain: str,
    recipe: str,
    seed: int,
    files: StageFiles,
    *,
    config: Mapping[str, Any],
    weights: str | Path,
    log: str | Path,
    description: str | Path,
) -> None:
    """Write the network that the training of a first stage starts from, with the log and description of no steps.

    Its weights are those of that training at the same seed, drawn at random, and it notes the cell diameter of the
    stage's patches, so that it predicts at the same scale.

    Parameters
    ----------
    chain, recipe, seed : str, str, int
        The model's name; a chain of one stage.
    files : StageFiles
        Patches and coresets of the stage.
    config : mapping
        The config keys that matter for a model: ``recipe`` (the block), ``bins`` and ``min_cells``.
    weights, log, description : str or Path
        Files to write: ``model.pt``, ``log.csv``, ``model.json``.

    Raises
    ------
    ValueError, FileNotFoundError
        When patches or coresets do not fit the chain.
    """
    with Meter(choose_device()) as meter:
        network = build_network(config["recipe"], torch.Generator().manual_seed(seed))
        sources = list(sources_of(chain, files.patches, files.coresets, config["bins"]))
        recipe_of_run, seed_of_run = Recipe.of(config["recipe"]), seed_of_stage(chain, seed)
        run = Run(network, sources, recipe_of_run, seed_of_run, config["min_cells"], [], torch.device("cpu"))
        run.write(weights)
    write_no_steps(chain, recipe, seed, config=config, meter=meter, log=log, description=description)
