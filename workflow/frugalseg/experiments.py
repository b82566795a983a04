"""Experiments: blocks of config that name the models a table or figure needs."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frugalseg.chains import parse


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
