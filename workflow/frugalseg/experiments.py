"""Experiments: blocks of config that name the models a table or figure needs."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frugalseg.chains import parse

Model = tuple[str, str, int]
"""Recipe, chain and seed."""


@dataclass(frozen=True)
class Entry:
    """One row's worth of models: a chain, trained by a recipe, once per seed.

    Attributes
    ----------
    chain : str
        Name of the chain.
    recipe : str
        Name of the recipe.
    seeds : tuple of int
        One model a seed.
    fields : dict
        What tables are pivoted and figures drawn over, e.g. ``{"rate": 10, "selector": "dq", "label": "..."}``.
        ``label`` is always there; it is the chain itself where the config gives none.
    """

    chain: str
    recipe: str
    seeds: tuple[int, ...]
    fields: dict[str, Any] = field(default_factory=dict, hash=False)


def expand(experiment: Mapping[str, Any]) -> list[Entry]:
    """List the entries of an experiment, its chain patterns filled in from its lists.

    Parameters
    ----------
    experiment : mapping
        A block of ``experiments`` in the config. A pattern such as ``cyto@{selector}{rate}`` stands for every
        combination of ``lists: {selector: [...], rate: [...]}``; the values become fields of the entry.

    Returns
    -------
    list of Entry
        In the order of the config; the chains are parsed, so that each is well formed.

    Raises
    ------
    ValueError
        When a pattern has a placeholder without a list.
    frugalseg.chains.ChainError
        When a chain does not parse.
    """
    entries = []
    for item in experiment["chains"]:
        pattern = {"chain": item} if isinstance(item, str) else item
        lists = {**experiment.get("lists", {}), **pattern.get("lists", {})}
        names = placeholders(pattern["chain"])
        missing = [name for name in names if name not in lists]
        if missing:
            raise ValueError(
                f"chain pattern {pattern['chain']!r} has no list for {{{missing[0]}}}: add it under 'lists'"
            )
        for values in itertools.product(*(lists[name] for name in names)):
            variables = dict(zip(names, values, strict=True))
            entries.append(_entry(experiment, pattern, variables))
    return entries


def requests(experiment: Mapping[str, Any]) -> list[tuple[Entry, int, str]]:
    """Every (entry, seed, test) whose metrics an experiment's table is made from, in order."""
    return [(entry, seed, test) for entry in expand(experiment) for seed in entry.seeds for test in experiment["tests"]]


def placeholders(pattern: str) -> list[str]:
    """Names in braces in a chain pattern, in order of first appearance."""
    names = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
    return list(dict.fromkeys(names))


def models(experiments: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Every (recipe, chain, seed) that the experiments evaluate, each once, in order of first use."""
    runs = (
        (entry.recipe, entry.chain, seed)
        for experiment in experiments
        for entry in expand(experiment)
        for seed in entry.seeds
    )
    return list(dict.fromkeys(runs))


def width_recipes(block: Mapping[str, Any]) -> dict[str, str]:
    """Recipes that the proof of a width scan trains, by name, each with its arch; the caps first, the widest first.

    Parameters
    ----------
    block : mapping
        A block of ``widths`` in the completed config. Its recipe stands for one recipe a cap, ``{recipe}-cap8``, and
        one a lightweight peer, ``{recipe}-tinyunet``.
    """
    training = block.get("training")
    if training is None:
        return {}
    left_out = {f"cap{cap}" for cap in set(block["caps"]) - set(training.get("caps", block["caps"]))}
    return {
        f"{training['recipe']}-{network}": arch
        for network, arch in width_networks(block).items()
        if network not in left_out
    }


def width_networks(block: Mapping[str, Any]) -> dict[str, str]:
    """Every network of a width scan, scanned or trained, by the name its tables use, each with its arch."""
    peers = block["training"]["peers"] if "training" in block else []
    caps = sorted(block["caps"], reverse=True)
    return {f"cap{cap}": f"unet-cap{cap}" for cap in caps} | {peer: peer for peer in peers}


def width_models(block: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Every (recipe, chain, seed) that the proof of a width scan trains: all patches of the dataset are one stage."""
    return [(recipe, block["dataset"], seed) for recipe in width_recipes(block) for seed in block["training"]["seeds"]]


def curve_chains(block: Mapping[str, Any]) -> list[str]:
    """Chains of a learning curve, from the fewest data to all of them.

    Parameters
    ----------
    block : mapping
        A block of ``learning_curves`` in the config: every number of its selector is a subset of its dataset.
    """
    dataset, selector = block["dataset"], block["selector"]
    return [*(f"{dataset}@{selector}{number:g}" for number in sorted(block["numbers"])), dataset]


def curve_models(block: Mapping[str, Any]) -> list[Model]:
    """Every (recipe, chain, seed) of a learning curve, chain by chain."""
    return [(block["recipe"], chain, seed) for chain in curve_chains(block) for seed in block["seeds"]]


def study_models(config: Mapping[str, Any]) -> list[Model]:
    """Every model that the tables of a completed config need, each once, under the recipe that trains it."""
    proofs = [model for block in config["widths"].values() for model in width_models(block)]
    curves = [model for block in config["learning_curves"].values() for model in curve_models(block)]
    named = [*models(config["experiments"].values()), *proofs, *curves]
    return list(dict.fromkeys(trained_as(model, config["recipes"]) for model in named))


def trained_as(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> Model:
    """A model under the recipe that trains it, where its own takes the weights of another."""
    recipe, chain, seed = model
    return recipes[recipe].get("weights", recipe), chain, seed


def parent_of(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> Model | None:
    """The model that one is fine-tuned from; None for a first stage."""
    recipe, chain, seed = trained_as(model, recipes)
    parent = parse(chain).parent
    if parent is None:
        return None
    block = recipes[recipe]
    return trained_as((block.get("parent", recipe), str(parent), block.get("parent_seed", seed)), recipes)


def _entry(experiment: Mapping[str, Any], pattern: Mapping[str, Any], variables: Mapping[str, Any]) -> Entry:
    chain = str(parse(pattern["chain"].format(**variables)))
    fields = {**variables, **pattern.get("fields", {})}
    label = pattern.get("label", chain).format(**variables)
    return Entry(
        chain=chain,
        recipe=pattern.get("recipe", experiment["recipe"]),
        seeds=tuple(pattern.get("seeds", experiment["seeds"])),
        fields={**fields, "label": label},
    )
