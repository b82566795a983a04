"""The jobs that put patches in order for a chain, and those that they rest on: what a selection costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from frugalseg.chains import ASKING_METHODS, SEEDED_METHODS, Stage, Subset, parse
from frugalseg.study.lineage import asked_model, lineage

SELECTOR = "selector"
"""Field of the chains that an experiment compares selectors by."""


class SelectionJobs(NamedTuple):
    """Names of benchmarks, ``select/cyto-dq``, below ``results/STUDY/benchmarks`` and without their ending.

    Attributes
    ----------
    orders : list of str
        Jobs that put patches in order.
    bases : list of str
        What these rest on: the features of the patches, or the training of the model that is asked.
    """

    orders: list[str]
    bases: list[str]


def shows_selectors(experiment: Mapping[str, Any]) -> bool:
    """Whether the table of an experiment is laid out by selectors."""
    return SELECTOR in (*experiment["pivot"]["rows"], *experiment["pivot"]["columns"])


def jobs_of_chain(chain: str, seed: int, config: Mapping[str, Any]) -> SelectionJobs:
    """Jobs of selection of all stages of a chain, each once; none of a chain that takes all patches."""
    orders: dict[str, None] = {}
    bases: dict[str, None] = {}
    for source in (source for stage in parse(chain).stages for source in stage.sources if source.subset):
        name, selector = f"{source.dataset}-{source.subset.selector}", config["selectors"][source.subset.selector]
        if selector["method"] in SEEDED_METHODS:
            orders[f"shuffle/{name}-seed{seed}"] = None
        elif selector["method"] in ASKING_METHODS:
            orders[f"rank_by_uncertainty/{name}"] = None
            models = lineage(asked_model(selector), config["recipes"])
            bases |= {f"train/{recipe}/{asked_chain}/seed{number}": None for recipe, asked_chain, number in models}
        else:
            orders[f"select/{name}"] = None
            bases |= {} if "checkpoint" in config["features"] else {f"pretrain_autoencoder/{source.dataset}": None}
            bases[f"embed/{source.dataset}"] = None
    return SelectionJobs(list(orders), list(bases))


def chance_problems(entries: Iterable[Any], others: Iterable[Iterable[Any]], study: Mapping[str, Any]) -> Iterator[str]:
    """Chains whose selector is compared, with no random choice of as many patches among the entries of any experiment."""
    compared = [entry for entry in entries if SELECTOR in entry.fields]
    if not compared:
        return
    trained = {(entry.recipe, entry.chain) for found in others for entry in found}
    random = [name for name, selector in study["selectors"].items() if selector["method"] == "random"]
    for entry in compared:
        chances = _by_chance(entry.chain, random or ["random"], study["selectors"])
        if not any((entry.recipe, chance) in trained for chance in chances):
            yield (
                f"compares selectors, but the study has no random choice beside {entry.chain!r}; add the chain {chances[0]!r} "
                f"with the recipe {entry.recipe!r}"
            )


def _by_chance(chain: str, random: Iterable[str], selectors: Mapping[str, Any]) -> list[str]:
    """A chain with a random choice in place of every selector that draws no lots; itself where there is none."""
    return ["_to_".join(_stage_by_chance(stage, name, selectors) for stage in parse(chain).stages) for name in random]


def _stage_by_chance(stage: Stage, name: str, selectors: Mapping[str, Any]) -> str:
    drawn = []
    for source in stage.sources:
        subset = source.subset
        # An unknown selector is told by the checks of chains.
        if subset and subset.selector in selectors and selectors[subset.selector]["method"] not in SEEDED_METHODS:
            subset = Subset(name, subset.number, subset.share)
        drawn.append(source.dataset + (f"@{subset}" if subset else ""))
    return "+".join(drawn)
