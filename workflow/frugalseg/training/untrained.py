"""Models made without a step of training: random networks, the chance level of a score, and means of a parent and its child."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from frugalseg.runtime.device import choose_device
from frugalseg.runtime.energy import Meter
from frugalseg.runtime.files import write_json
from frugalseg.runtime.provenance import describe
from frugalseg.training import checkpoints
from frugalseg.training.loop import write_log
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.stage import StageFiles, build_network, seed_of_stage, sources_of

METHODS = (
    "were not trained: their weights are {{ '%g' % alpha }} times those of models of *{{ recipe }}* plus {{ '%g' % (1 - alpha) }} "
    "times those of their parents [@interpolation]"
)
CITES = {
    "interpolation": "Wortsman et al. 2022, Robust fine-tuning of zero-shot models, IEEE/CVF Conference on Computer Vision and "
    "Pattern Recognition",
}


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
    """Write the network that the training of a first stage starts from; parameters as of `frugalseg.training.stage.train_stage`.

    Its weights are those of that training at the same seed, drawn at random, and it notes the cell diameter of the
    stage's patches, so that it predicts at the same scale.
    """
    with Meter(choose_device()) as meter:
        network = build_network(config["recipe"], torch.Generator().manual_seed(seed))
        sources = list(sources_of(chain, files.patches, files.coresets, config["bins"]))
        recipe_of_run, seed_of_run = Recipe.of(config["recipe"]), seed_of_stage(chain, seed)
        run = Run(network, sources, recipe_of_run, seed_of_run, config["min_cells"], [], torch.device("cpu"))
        run.write(weights)
    _describe(meter, log, description, chain=chain, recipe=recipe, config=config, seed=seed)


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
    """Write the model between the checkpoints of a parent and its child (WiSE-FT; Wortsman et al. 2022), others as above."""
    with Meter(choose_device()) as meter:
        ends = [_state_of(path, config["recipe"]) for path in (parent, child)]
        checkpoints.save_tensors(interpolate(*ends, config["recipe"]["interpolate"]["alpha"]), weights)
    _describe(meter, log, description, chain=chain, recipe=recipe, config=config, seed=seed)


def interpolate(parent: Mapping[str, Tensor], child: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """State dict of ``(1 - alpha) parent + alpha child``; 0 and 1 give either to the bit.

    Running means and variances of norms are averaged like weights, and not measured anew, which would take images. Integers,
    such as the number of batches that a norm has seen, are those of the nearer one, of the child in the middle.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; it goes from 0, the parent, to 1, the child")
    nearer = parent if alpha < 0.5 else child
    return {
        name: torch.lerp(parent[name], child[name], alpha) if tensor.is_floating_point() and 0 < alpha < 1 else tensor
        for name, tensor in nearer.items()
    }


def _state_of(path: str | Path, recipe: Mapping[str, Any]) -> dict[str, Tensor]:
    network = build_network(recipe)
    checkpoints.load(path, network)
    return network.state_dict()


def _describe(meter: Meter, log: str | Path, description: str | Path, **model: Any) -> None:
    """Write the log and the description of a training of no steps; who adds up a study's energy needs that of every model."""
    write_log([], Path(log))
    measured = {"sources": [], "steps": 0, "loss": None, "validation_loss": None, "seconds": round(meter.seconds, 3)}
    measured |= {"precision": "float32", "joules": meter.joules, "processes": 1}
    write_json(describe(**model, device="cpu", **measured), description)
