"""What a study would do, before it does it: ``python -m frugalseg.plan config/studies/published.yaml``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from frugalseg.chains import IMAGE_SELECTORS, Source, parse
from frugalseg.configuration import ConfigError, complete
from frugalseg.experiments import models, width_models
from frugalseg.selection.coresets import coreset_size
from frugalseg.training.recipe import Recipe

Model = tuple[str, str, int]
"""Recipe, chain and seed."""


def layer(base: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a study's keys over those of another config, mappings key by key, as Snakemake does with config files."""
    merged = dict(base)
    for key, value in study.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = layer(merged[key], value) if both else value
    return merged


def with_parents(names: Iterable[Model], config: Mapping[str, Any]) -> list[Model]:
    """The models and all the models they were fine-tuned from, each once, parents first."""
    ordered: dict[Model, None] = {}
    for recipe, chain, seed in names:
        lineage = [(recipe, parse(chain))]
        while (parent := lineage[-1][1].parent) is not None:
            recipe_of_child = lineage[-1][0]
            lineage.append((config["recipes"][recipe_of_child].get("parent", recipe_of_child), parent))
        ordered |= dict.fromkeys((name, str(member), seed) for name, member in reversed(lineage))
    return list(ordered)


def patch_counts(config: Mapping[str, Any]) -> dict[str, int]:
    """Training patches of each dataset: counted where they are cut, else as its file says; absent where unknown."""
    counts = {}
    for name, block in config["datasets"].items():
        table = Path(f"results/{config['study']}/patches/{name}/train/patches.csv")
        if table.exists():
            with table.open(newline="") as lines:
                counts[name] = sum(1 for _ in csv.DictReader(lines))
        elif "patches" in block:
            counts[name] = block["patches"]
    return counts


def steps_of(model: Model, config: Mapping[str, Any], counts: Mapping[str, int]) -> int | None:
    """Optimiser steps of a model's last stage, patches with few cells counted in; None where patches are not counted yet."""
    recipe_name, chain, _ = model
    recipe = Recipe.of(config["recipes"][recipe_name])
    if recipe.steps is not None:
        return recipe.steps
    # An epoch is one pass over the patches that have no share of the batch to themselves.
    shares = sum(source.share or 0 for source in parse(chain).sources)
    sizes = [_patches_of(source, config["bins"], counts) for source in parse(chain).sources if source.share is None]
    if None in sizes:
        return None
    return recipe.count_steps(sum(sizes) / (recipe.batch * (1 - shares / 100)))


def _patches_of(source: Source, bins: int, counts: Mapping[str, int]) -> int | None:
    if source.dataset not in counts or (source.subset and source.subset.selector in IMAGE_SELECTORS):
        return None
    count = counts[source.dataset]
    return coreset_size(count, source.subset.number, bins) if source.subset else count


def summary(config: Mapping[str, Any]) -> str:
    """A table of models and steps by experiment, a model counted where it is first needed, and their sum.

    Parameters
    ----------
    config : mapping
        A completed config.

    Returns
    -------
    str
        Lines of text.
    """
    counts = patch_counts(config)
    lines = [f"{'experiment':<20}{'models':>8}{'new':>8}{'steps of the new':>20}"]
    seen: set[Model] = set()
    total = 0
    unknown = False
    needed = {name: models([experiment]) for name, experiment in config["experiments"].items()}
    needed |= {name: width_models(block) for name, block in config["widths"].items()}
    for name, names in needed.items():
        wanted = with_parents(names, config)
        new = [model for model in wanted if model not in seen]
        seen.update(new)
        steps = [steps_of(model, config, counts) for model in new]
        known = sum(number for number in steps if number is not None)
        unknown |= None in steps
        total += known
        lines.append(f"{name:<20}{len(wanted):>8}{len(new):>8}{known:>19,}{'+' if None in steps else ' '}")
    lines.append(f"{'each model once':<20}{'':>8}{len(seen):>8}{total:>19,}{'+' if unknown else ' '}")
    if unknown:
        lines.append(
            "+ and the steps of models whose patches are not counted yet: cut them first, or say 'patches' in the dataset's file"
        )
    return "\n".join(lines)


def main(path: str) -> int:
    """Print the plan of a study; 1 and the problems where its config is wrong."""
    base = Path("config/config.yaml")
    study = Path(path)
    config = yaml.safe_load(base.read_text(encoding="utf-8"))
    if study.resolve() != base.resolve():
        config = layer(config, yaml.safe_load(study.read_text(encoding="utf-8")))
    try:
        print(summary(complete(config, root=Path(), files=[base, study])))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
