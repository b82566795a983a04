"""The last stage of a chain: its subsets and its parent's weights in, a described checkpoint out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from frugalseg.chains import parse
from frugalseg.data.stores import open_patches
from frugalseg.models import build, sizes_of
from frugalseg.models.targets import ForegroundAsLogit, UnitFlows
from frugalseg.runtime.energy import Meter
from frugalseg.runtime.files import write_json
from frugalseg.runtime.provenance import describe
from frugalseg.selection import coresets
from frugalseg.training import checkpoints
from frugalseg.training.distributed import all_joules, leads, processes
from frugalseg.training.loop import train
from frugalseg.training.losses import OUT_CHANNELS
from frugalseg.training.recipe import Recipe
from frugalseg.training.sampling import Source

ADAPTORS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "flows": lambda network: network,
    "unit_flows": UnitFlows,
    "foreground": ForegroundAsLogit,
}
"""What makes a trained network predict as those that learned flows do, by target."""


@dataclass(frozen=True)
class StageFiles:
    """What a stage is made from: stores and orders of its sources, stores that are watched, and its parent's."""

    patches: Sequence[Path]  # folder of each source's patch store, in the order of the chain's last stage
    coresets: Sequence[Path]  # the order of each source that has a subset
    validation: Sequence[Path]  # folders of patches that are watched
    parent: Path | None  # checkpoint of the parent chain
    parent_patches: Sequence[Path] = ()  # as the first two, of the parent chain's last stage
    parent_coresets: Sequence[Path] = ()


def train_stage(
    chain: str,
    recipe: str,
    seed: int,
    files: StageFiles,
    *,
    config: Mapping[str, Any],
    weights: str | Path,
    log: str | Path,
    description: str | Path,
    state_folder: str | Path,
    device: torch.device,
    adapters: str | Path | None = None,
) -> None:
    """Train the last stage of a chain and write its checkpoint, log and description.

    Parameters
    ----------
    chain, recipe, seed : str, str, int
        The model's name. The first stage of every chain starts from the same weights at the same seed.
    files : StageFiles
        What it is made from.
    config : mapping
        The config keys that matter: ``recipe`` (the block), ``bins`` and ``min_cells``.
    weights, log, description : str or Path
        Files to write: ``model.pt``, ``log.csv``, ``model.json``.
    state_folder : str or Path
        Where the running state is kept while it trains.
    device : torch.device
        Where to train; where several processes train together, this one's (`frugalseg.training.distributed`).
    adapters : str or Path, optional
        File to write for recipes with low-rank adapters: the adapters alone.

    Raises
    ------
    ValueError, FileNotFoundError
        When patches, coresets or the parent do not fit the chain and the recipe.
    """
    if "lora" in config["recipe"] and files.parent is None:
        raise ValueError(
            f"{chain}: the recipe {recipe!r} trains adapters alone, of which a network that has learned nothing makes no use; "
            "give it a chain of two stages, and name the recipe of the first as its 'parent'"
        )
    model = build_network(config["recipe"], torch.Generator().manual_seed(seed))
    if files.parent is not None:
        checkpoints.load(files.parent, model)
    with Meter(device) as meter:
        result = train(
            model,
            list(sources_of(chain, files.patches, files.coresets, config["bins"])),
            _recipe_of_stage(config["recipe"], files),
            seed=seed_of_stage(chain, seed),
            weights=weights,
            log=log,
            state_folder=state_folder,
            adapters=adapters,
            min_cells=config["min_cells"],
            validation=[open_patches(folder) for folder in files.validation],
            parent_sources=_sources_of_parent(chain, files, config["bins"]),
            device=device,
            description=f"{chain}, seed {seed}",
        )
    counts = [
        {"source": count.source, "patches": count.given, "left_out": count.left_out, "used": count.used}
        for count in result.counts
    ]
    measured = {
        "sources": counts,
        "steps": result.steps,
        "loss": result.loss,
        "validation_loss": None if math.isnan(result.validation_loss) else result.validation_loss,
        "seconds": round(result.seconds, 3),
        "precision": result.precision,
        # A run that was killed and went on does not know what it had used before.
        "joules": all_joules(meter.joules) if meter.seconds >= result.seconds else None,
        "processes": processes(),
    }
    if not leads():
        return
    write_json(describe(chain=chain, recipe=recipe, config=config, seed=seed, device=device, **measured), description)


def build_network(recipe: Mapping[str, Any], generator: torch.Generator | None = None) -> nn.Module:
    """The network of a recipe's block, (B, channels, H, W) -> (B, 3 or 2, H, W), see `losses.OUT_CHANNELS`."""
    outputs = OUT_CHANNELS[recipe["target"]]
    sizes = sizes_of(recipe)
    return build(recipe["arch"], recipe["channels"], outputs, recipe["crop"], generator=generator, **sizes)


def load_network(recipe: Mapping[str, Any], weights: str | Path) -> nn.Module:
    """The network of a recipe's block with the weights of a checkpoint: whatever its target, flow y, flow x and logit (B, 3, H, W)."""
    # Convolutions in bfloat16 are a third faster with channels last on processors.
    network = build_network(recipe).to(memory_format=torch.channels_last)
    checkpoints.load(weights, network)
    return ADAPTORS[recipe["target"]](network)


def _recipe_of_stage(block: Mapping[str, Any], files: StageFiles) -> Recipe:
    """The recipe of a stage; a first stage has nothing to keep."""
    recipe = Recipe.of(block)
    return recipe if files.parent else recipe.with_changes(keep=None)


def seed_of_stage(chain: str, seed: int) -> int:
    """A seed of its own for every stage, so that stages of one chain do not repeat each other's random numbers."""
    digest = hashlib.sha256(f"{chain} {seed}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def sources_of(chain: str, stores: Sequence[Path], orders: Sequence[Path], bins: int) -> Iterator[Source]:
    """The sources of a chain's last stage, from their stores and orders, each with the patches that its subset takes."""
    remaining = iter(orders)
    for source, folder in zip(parse(chain).sources, stores, strict=True):
        patches = open_patches(folder)
        indices = np.arange(len(patches))
        if source.subset:
            path = next(remaining)
            indices = _take(path, source.subset.selector, source.subset.number, bins, len(patches))
        yield Source(str(source), patches, indices, source.share)


def _sources_of_parent(chain: str, files: StageFiles, bins: int) -> list[Source]:
    if not files.parent_patches:
        return []
    return list(sources_of(str(parse(chain).parent), files.parent_patches, files.parent_coresets, bins))


def _take(path: Path, selector: str, number: str, bins: int, patches: int) -> np.ndarray:
    coreset = coresets.load(path)
    if len(coreset.order) != patches:
        raise ValueError(
            f"{path}: orders {len(coreset.order)} patches, but the dataset has {patches}; delete it and run again"
        )
    return np.asarray(coresets.take(coreset, selector, number, bins))
