"""Experiments: blocks of config that name the models a table or figure needs."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frugalseg.chains import parse
from frugalseg.study.arms import keeping_models
from frugalseg.study.claims import claim_models
from frugalseg.study.lineage import Model, asked, asked_for, trained_as
from frugalseg.study.transfers import transfer_models

GAP_CLOSED = "gap_closed"
"""Metric of the entries between the two ends of an experiment's gap: the share of it that they close."""
COST_FIELDS = ("parameters", "gigaflops")
"""Fields that every entry has without being given them, see `frugalseg.answers.experiment.costs_of`."""


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


@dataclass(frozen=True)
class Gap:
    """A group of entries that differ in the field of a gap: those it opens at, those it is closed at, those between.

    Attributes
    ----------
    fields : dict
        What all of them agree in, beside the test set.
    start, end, between : tuple of Entry
    """

    fields: dict[str, Any]
    start: tuple[Entry, ...]
    end: tuple[Entry, ...]
    between: tuple[Entry, ...]


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


def gaps(name: str, experiment: Mapping[str, Any]) -> list[Gap]:
    """The gaps of an experiment: one for each group of entries that agree in all fields but that of ``gap`` and the label.

    Parameters
    ----------
    name : str
        Of the experiment.
    experiment : mapping
        A block of ``experiments`` in the config; one without ``gap`` has none.

    Raises
    ------
    ValueError
        When an entry lacks the field of the gap, or a group has no entry at one of its ends.
    """
    if "gap" not in experiment:
        return []
    gap = experiment["gap"]
    groups: dict[tuple, list[Entry]] = {}
    for entry in expand(experiment):
        if gap["field"] not in entry.fields:
            raise ValueError(
                f"experiments.{name}.gap is one of the field {gap['field']!r}, which the chain {entry.chain!r} does not have; "
                "give it one under 'fields'"
            )
        others = {key: value for key, value in entry.fields.items() if key not in (gap["field"], "label")}
        groups.setdefault(tuple(sorted(others.items())), []).append(entry)
    return [_gap(name, gap, dict(fields), entries) for fields, entries in groups.items()]


def cost_fields(experiment: Mapping[str, Any]) -> list[str]:
    """Those of `COST_FIELDS` that the table or the figure of an experiment is laid out by."""
    figure, pivot = experiment.get("figure", {}), experiment["pivot"]
    hue = figure.get("hue", [])
    used = {*pivot["rows"], *pivot["columns"], figure.get("x"), *([hue] if isinstance(hue, str) else hue)}
    return [field for field in COST_FIELDS if field in used]


def costed_recipes(experiment: Mapping[str, Any], recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Recipes of an experiment by name where its layout asks what their networks cost; otherwise none."""
    names = dict.fromkeys(entry.recipe for entry in expand(experiment)) if cost_fields(experiment) else {}
    return {name: recipes[name] for name in names}


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


def changed_models(config: Mapping[str, Any]) -> list[Model]:
    """The two models whose metrics choose the images of the figure of segmentations, before and after; none without."""
    block = config["figures"].get("segmentations", {})
    changed = block.get("changed", {})
    return [(block["recipe"], changed[key], block["seed"]) for key in ("from", "to") if key in changed]


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
    """Every model that the tables of a completed config need, each once, under the recipe that makes it.

    Models that selectors ask come last; those that are only fine-tuned further are not listed.
    """
    proofs = [model for block in config["widths"].values() for model in width_models(block)]
    curves = [model for block in config["learning_curves"].values() for model in curve_models(block)]
    kept = [model for block in config["keeping"].values() for model in keeping_models(block)]
    transfers = [model for block in config["transfers"].values() for model in transfer_models(block, config["recipes"])]
    claimed = claim_models(config["claims"])
    named = [*models(config["experiments"].values()), *proofs, *curves, *kept, *transfers, *claimed]
    shown = [name for block in config["figures"].values() for name in block.get("selectors", [])]
    named += [asked(config["selectors"][name]) for name in shown if "chain" in config["selectors"][name]]
    found = dict.fromkeys(trained_as(model, config["recipes"]) for model in named)
    waiting = list(found)
    while waiting:
        new = [model for model in asked_for(waiting.pop(), config) if model not in found]
        found |= dict.fromkeys(new)
        waiting += new
    return list(found)


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


def _gap(name: str, gap: Mapping[str, Any], fields: dict[str, Any], entries: list[Entry]) -> Gap:
    field, ends = gap["field"], {}
    for key in ("from", "to"):
        ends[key] = tuple(entry for entry in entries if entry.fields[field] == gap[key])
        if not ends[key]:
            others = " and ".join(f"{other} {value}" for other, value in fields.items())
            wanted = ", ".join(f"{other}: {value}" for other, value in {field: gap[key], **fields}.items())
            raise ValueError(
                f"experiments.{name}.gap: of the chains{f' with {others}' if others else ''} none has {field} {gap[key]}; "
                f"add the one that the gap is counted {key}, with 'fields: {{{wanted}}}'"
            )
    between = tuple(entry for entry in entries if entry.fields[field] not in (gap["from"], gap["to"]))
    return Gap(fields, ends["from"], ends["to"], between)
