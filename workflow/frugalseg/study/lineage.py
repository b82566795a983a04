"""Where models come from: the ones that each is fine-tuned from, made of, or had its patches chosen by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.chains import ASKING_METHODS, parse

Model = tuple[str, str, int]
"""Recipe, chain and seed."""
Score = tuple[Model, str]
"""A model, and the dataset that it is scored on."""


def trained_as(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> Model:
    """A model under the recipe that makes it, where its own takes the weights of another.

    So does one that interpolates, of a first stage: there is no parent to go back to.
    """
    recipe, chain, seed = model
    recipe = recipes[recipe].get("weights", recipe)
    if "interpolate" in recipes[recipe] and parse(chain).parent is None:
        recipe = recipes[recipe]["interpolate"]["recipe"]
    return recipe, chain, seed


def parent_of(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> Model | None:
    """The model that one is fine-tuned from, or interpolated from towards `child_of`; None for a first stage."""
    recipe, chain, seed = child_of(model, recipes) or trained_as(model, recipes)
    parent = parse(chain).parent
    if parent is None:
        return None
    block = recipes[recipe]
    return trained_as((block.get("parent", recipe), str(parent), block.get("parent_seed", seed)), recipes)


def child_of(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> Model | None:
    """The fine-tuned model that one is interpolated towards; None for one that is trained."""
    recipe, chain, seed = trained_as(model, recipes)
    block = recipes[recipe]
    return (block["interpolate"]["recipe"], chain, seed) if "interpolate" in block else None


def made_from(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    """The models whose weights one is made from, parent before child; none for a first stage."""
    sources = (parent_of(model, recipes), child_of(model, recipes))
    return [source for source in sources if source is not None]


def lineage(model: Model, recipes: Mapping[str, Mapping[str, Any]]) -> list[Model]:
    """The models after every stage of one's chain, from the first stage to itself."""
    after = [trained_as(model, recipes)]
    while (parent := parent_of(after[0], recipes)) is not None:
        after.insert(0, parent)
    return after


def asked_model(selector: Mapping[str, Any]) -> Model:
    """The model that a selector of `frugalseg.chains.ASKING_METHODS` asks, from its block of the config."""
    return selector["recipe"], selector["chain"], selector.get("seed", 0)


def asked_for(model: Model, config: Mapping[str, Any]) -> list[Model]:
    """The models that the selectors of a model's chain ask, of all of its stages, under the recipes that make them."""
    selectors = [config["selectors"][name] for name in selectors_of(model[1])]
    found = [asked_model(selector) for selector in selectors if selector["method"] in ASKING_METHODS]
    return list(dict.fromkeys(trained_as(each, config["recipes"]) for each in found))


def selectors_of(chain: str) -> list[str]:
    """Names of the selectors in all stages of a chain, each once."""
    sources = (source for stage in parse(chain).stages for source in stage.sources)
    return list(dict.fromkeys(source.subset.selector for source in sources if source.subset))
