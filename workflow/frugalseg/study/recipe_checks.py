"""Checks of the recipes of a config that its schema cannot make: keys that need others, and recipes that name others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from frugalseg.runtime.literals import members

_NETWORKS = members("models")
TOKEN = _NETWORKS["ucell"]["TOKEN"]
"""Side in pixels of a token of ``ucell``."""

_NEEDS = {"ucell": ("arch", "ucell"), "betas": ("optimiser", "adamw")}
# What two recipes may differ in though one predicts with the weights of the other, or with weights made of them.
_OF_PREDICTION = {"weights", "interpolate", "ucell", "batch", "precision", "save_every", "validate_every"}


def recipe_problems(
    name: str, recipes: Mapping[str, Mapping[str, Any]], nearest: Callable[[str, Iterable[str]], str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a recipe, and the key it stands at.

    Parameters
    ----------
    name : str
        Of the recipe.
    recipes : mapping
        All recipes of a config that its schema has accepted, completed with defaults.
    nearest : callable
        Makes the clause that offers a known name for an unknown one, `frugalseg.study.load.nearest`.
    """
    recipe = recipes[name]
    for key, other in _named_recipes(recipe).items():
        if other not in recipes:
            yield key.partition(".")[0], f"recipes.{name}.{key} is {other!r}; {nearest(other, recipes)}"
    for key, needed in _NEEDS.items():
        if key in recipe and recipe.get(needed[0]) != needed[1]:
            yield key, f"recipes.{name}.{key} means nothing unless {needed[0]} is {needed[1]!r}; take it away"
    if recipe["arch"] == "ucell" and recipe["crop"] % TOKEN:
        yield (
            "crop",
            f"recipes.{name}.crop is {recipe['crop']}; ucell cuts it into tokens of {TOKEN} x {TOKEN} pixels: "
            f"make it a multiple of {TOKEN}",
        )
    yield from _keep_problems(name, recipe)
    yield from _weights_problems(name, recipes)


def _keep_problems(name: str, recipe: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "keep" not in recipe:
        return
    keep, where = recipe["keep"], f"recipes.{name}.keep"
    method = keep["method"]
    if "lora" in recipe:
        yield (
            "keep",
            f"{where} does not go with lora, which leaves the parent's weights as they are; take one of them away",
        )
    options = members("training.keeping")[method].get("OPTIONS", {})
    for key in keep.keys() - options.keys() - {"method"}:
        yield "keep", f"{where}.{key} means nothing to the method {method!r}; take it away"
    for key, option in options.items():
        if key not in keep and "default" not in option:
            yield "keep", f"{where} lacks the key {key!r}, which {method!r} needs; 0 keeps nothing"
    if method == "frozen" and not _NETWORKS[recipe["arch"].partition("-")[0]].get("ENCODER"):
        yield (
            "keep",
            f"{where}: the arch {recipe['arch']!r} has no encoder to be frozen; name its modules in "
            "ENCODER in the network's file, or choose another method",
        )


def _weights_problems(name: str, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What is wrong with a recipe that trains nothing itself."""
    recipe = recipes[name]
    named = {key: other for key, other in _named_recipes(recipe).items() if key != "parent"}
    if len(named) > 1:
        yield (
            "interpolate",
            f"recipes.{name} has weights and interpolate; each says where its models come from: take one away",
        )
    for key, other in named.items():
        if other in recipes:
            yield from ((key.partition(".")[0], message) for message in _source_problems(name, key, other, recipes))


def _source_problems(name: str, key: str, other: str, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What stands against a recipe's using the models of another, which it names at a key."""
    recipe, source = recipes[name], recipes[other]
    if "weights" in source or (key != "weights" and "interpolate" in source):
        trained = source.get("weights") or source["interpolate"]["recipe"]
        yield f"recipes.{name}.{key} is {other!r}, which trains nothing itself; name {trained!r}"
    keys = {*recipe, *source} - _OF_PREDICTION
    different = sorted(key for key in keys if recipe.get(key) != source.get(key))
    sizes = sorted(key for key in ("hidden", "depth", "registers") if _size(recipe, key) != _size(source, key))
    if different or sizes:
        yield (
            f"recipes.{name} takes the weights of {other!r} and differs from it in "
            f"{', '.join([*different, *(f'ucell.{key}' for key in sizes)])}; it may differ in how it predicts alone"
        )


def _named_recipes(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Recipes that a recipe names, by the key it names them at."""
    named = {key: recipe[key] for key in ("parent", "weights") if key in recipe}
    return named | ({"interpolate.recipe": recipe["interpolate"]["recipe"]} if "interpolate" in recipe else {})


def _size(recipe: Mapping[str, Any], key: str) -> Any:
    return recipe.get("ucell", {}).get(key)
