"""Transfer matrices: blocks of config that follow chains from stage to stage, and the models and metrics that this takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.chains import Chain, parse
from frugalseg.study.lineage import Model, lineage


def transfer_rows(block: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[list[Model]]]:
    """Models behind the rows of a transfer matrix.

    Parameters
    ----------
    block : mapping
        A block of ``transfers`` in the completed config.
    recipes : mapping
        Its recipes.

    Returns
    -------
    dict
        Chain -> for every seed, the model that stands for chance, then those after every stage that is counted. What
        stands for chance is the untrained network or, where ``reference`` is ``start``, the model after the first stage.
    """
    return {
        chain: [_rows((block["recipe"], chain, seed), block["reference"], recipes) for seed in block["seeds"]]
        for chain in block["chains"]
    }


def transfer_models(block: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    """Every (recipe, chain, seed) of the rows of a transfer matrix, each once."""
    rows = transfer_rows(block, recipes)
    return list(dict.fromkeys(model for seeds in rows.values() for after in seeds for model in after))


def transfer_tests(block: Mapping[str, Any], chain: str) -> dict[str, int]:
    """Datasets that a chain of a transfer matrix learns, in their order -> number of the row after which each is learned.

    Row 0 stands for chance.
    """
    stages = parse(chain).stages
    return Chain(stages[1:] if block["reference"] == "start" else stages).learned_at()


def transfer_requests(block: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> list[tuple[Model, str]]:
    """Every (model, test) whose metrics a transfer matrix is made from, each once."""
    requests = (
        (model, test)
        for chain, seeds in transfer_rows(block, recipes).items()
        for models in seeds
        for model in models
        for test in transfer_tests(block, chain)
    )
    return list(dict.fromkeys(requests))


def untrained(model: Model) -> Model:
    """The network that a first stage starts from, as a model of one of the `untrained_recipes`."""
    recipe, chain, seed = model
    return f"{recipe}-untrained", chain, seed


def untrained_recipes(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Recipes that take no step, by name: of the first stages of transfer matrices that are measured against chance."""
    recipes = config["recipes"]
    training = {"steps", "epochs", "compute", "schedule", "keep", "parent", "parent_seed"}
    found = {}
    for block in config["transfers"].values():
        models = [(block["recipe"], chain, 0) for chain in block["chains"] if block["reference"] == "untrained"]
        for first in (lineage(model, recipes)[0] for model in models):
            kept = {key: value for key, value in recipes[first[0]].items() if key not in training}
            found[untrained(first)[0]] = {**kept, "steps": 0, "schedule": "constant"}
    return found


def _rows(model: Model, reference: str, recipes: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    after = lineage(model, recipes)
    return after if reference == "start" else [untrained(after[0]), *after]
