"""The models of a study, each counted where it is first needed, and the steps that each takes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from frugalseg.chains import ASKING_METHODS, IMAGE_SELECTORS, SEEDED_METHODS, Source, parse
from frugalseg.data.patches import windows
from frugalseg.models.cost import forward_flops, step_flops
from frugalseg.models.ucell import recursion_of
from frugalseg.selection.coresets import coreset_size
from frugalseg.study.figures import segmented_models
from frugalseg.study.kinds import VERDICTS, asked_of, models_of
from frugalseg.study.lineage import Model, asked_for, made_from, trained_as
from frugalseg.study.recipe import trained_by
from frugalseg.training.recipe import Recipe
from frugalseg.training.stage import build_network

SEGMENTATIONS = "segmentations"
"""The figure that needs models beside the answers."""


def requested_models(config: Mapping[str, Any]) -> dict[str, list[Model]]:
    """Every answer, `SEGMENTATIONS` and the verdicts, each with the models that it needs, parents of fine-tuned ones not listed."""
    needed = {name: models_of(block, config) for name, block in asked_of(config).items()}
    needed[SEGMENTATIONS] = segmented_models(config)
    needed[VERDICTS] = needed.pop(VERDICTS, [])
    return {
        name: list(dict.fromkeys(trained_as(model, config["recipes"]) for model in named))
        for name, named in needed.items()
    }


def with_parents(names: Iterable[Model], config: Mapping[str, Any]) -> list[Model]:
    """The models and all that they were fine-tuned from, interpolated between or chosen patches by, parents first."""
    ordered: dict[Model, None] = {}
    for model in names:
        if model not in ordered:
            needed = [*asked_for(model, config), *made_from(model, config["recipes"])]
            ordered |= dict.fromkeys([*with_parents(needed, config), model])
    return list(ordered)


def folder_of(model: Model, kind: str, config: Mapping[str, Any]) -> Path:
    """Folder of a model's files, of the kind ``models``, ``metrics`` or ``benchmarks/train`` and so on."""
    recipe, chain, seed = model
    return Path(f"results/{config['study']}/{kind}/{recipe}/{chain}/seed{seed}")


def is_trained(model: Model, config: Mapping[str, Any]) -> bool:
    """Whether a model is there and was trained by the recipe that the config has now.

    Whether its code or its patches have changed since, Snakemake's dry run says.
    """
    folder = folder_of(model, "models", config)
    if not ((folder / "model.pt").exists() and (folder / "model.json").exists()):
        return False
    used = json.loads((folder / "model.json").read_text(encoding="utf-8"))["config"]
    now = {
        "recipe": trained_by(config["recipes"][model[0]]),
        "bins": config["bins"],
        "min_cells": config["patches"]["min_cells"],
    }
    return used == now


def patch_counts(config: Mapping[str, Any]) -> dict[str, int]:
    """Training patches of each dataset: as they were cut, as they will be drawn, or as its file says; absent if unknown."""
    counts = {}
    grid = {key: config["patches"][key] for key in ("size", "stride", "border")}
    for name, block in config["datasets"].items():
        table = Path(f"results/{config['study']}/patches/{name}/train/patches.csv")
        if table.exists():
            with table.open(newline="") as lines:
                counts[name] = sum(1 for _ in csv.DictReader(lines))
        elif block["source"] == "synthetic":
            counts[name] = block["train"] * len(windows(block["size"], block["size"], **grid))
        elif "patches" in block:
            counts[name] = block["patches"]
    return counts


def megapixels_of_tests(config: Mapping[str, Any]) -> dict[str, float]:
    """Size of each dataset's test images: as they were prepared or as they will be drawn; absent if unknown."""
    sizes = {}
    for name, block in config["datasets"].items():
        table = Path(f"results/{config['study']}/images/{name}/test/images.csv")
        if table.exists():
            with table.open(newline="") as lines:
                sizes[name] = sum(int(row["height"]) * int(row["width"]) for row in csv.DictReader(lines)) / 1e6
        elif block["source"] == "synthetic":
            sizes[name] = block["test"] * block["size"] ** 2 / 1e6
    return sizes


def steps_of(model: Model, config: Mapping[str, Any], counts: Mapping[str, int]) -> int | None:
    """Optimiser steps of a model's last stage, patches with few cells counted in; None where patches are not counted yet.

    A model that is interpolated between others takes none.
    """
    recipe_name, chain, _ = model
    block = config["recipes"][recipe_name]
    if "interpolate" in block:
        return 0
    recipe = Recipe.of(block)

    def flops() -> int:
        return operations(block).image

    if recipe.epochs is None:
        return recipe.count_steps(math.nan, flops)
    # An epoch is one pass over the patches that have no share of the batch to themselves.
    shares = sum(source.share or 0 for source in parse(chain).sources)
    sizes = [_patches_of(source, config["bins"], counts) for source in parse(chain).sources if source.share is None]
    if None in sizes:
        return None
    batches = sum(sizes) / (recipe.batch * (1 - shares / 100))
    return recipe.count_steps(batches * _steps_of_batch(block), flops)


class Operations(NamedTuple):
    """What a recipe computes: for an image's part in a step, for a step, for a pixel of prediction; and bytes of a checkpoint."""

    image: int
    step: int
    pixel: float
    stored: int


def operations(block: Mapping[str, Any]) -> Operations:
    """What a recipe computes and stores, counted without computing it, once a recipe: models are many."""
    return _operations(json.dumps(block))


@cache
def _operations(recipe: str) -> Operations:
    block = json.loads(recipe)
    with torch.device("meta"):
        network = build_network(block)
    image = step_flops(network, block["crop"])
    pixel = forward_flops(network, block["crop"]) / block["crop"] ** 2
    return Operations(
        image, image * block["batch"], pixel, sum(tensor.nbytes for tensor in network.state_dict().values())
    )


def featured_datasets(names: Iterable[Model], config: Mapping[str, Any]) -> list[str]:
    """Datasets whose patches are compared by features, for coresets or for figures."""
    figures = [config["figures"][name] for name in ("patches", "features") if name in config["figures"]]
    used = [(figure["dataset"], selector) for figure in figures for selector in figure["selectors"]]
    for _, chain, _ in names:
        used += [(source.dataset, source.subset.selector) for source in parse(chain).sources if source.subset]
    without = SEEDED_METHODS | ASKING_METHODS
    wanted = {dataset for dataset, selector in used if config["selectors"][selector]["method"] not in without}
    wanted |= {config["figures"]["features"]["dataset"]} if "features" in config["figures"] else set()
    return [name for name in config["datasets"] if name in wanted]


def _steps_of_batch(block: Mapping[str, Any]) -> int:
    """Optimiser steps that a recipe makes with a batch."""
    return (
        recursion_of(block.get("ucell", {}).get("recursion", "default")).supervised if block["arch"] == "ucell" else 1
    )


def _patches_of(source: Source, bins: int, counts: Mapping[str, int]) -> int | None:
    if source.dataset not in counts or (source.subset and source.subset.selector in IMAGE_SELECTORS):
        return None
    count = counts[source.dataset]
    return coreset_size(count, source.subset.number, bins) if source.subset else count
