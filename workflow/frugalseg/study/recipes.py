"""Recipes that are like others: only what differs is written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where a recipe names another that it is like; the first of them that is there counts.
_FOLLOWED = ("like", "weights", "interpolate.recipe")


class RecipeError(ValueError):
    """A recipe is to be like one that is not there, or like itself.

    ``recipe`` is its name, ``key`` the one at which it names ``other``.
    """

    def __init__(self, recipe: str, key: str, other: str) -> None:
        super().__init__(f"recipes.{recipe}.{key} is {other!r}")
        self.recipe = recipe
        self.key = key
        self.other = other


def resolve(recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Write out recipes that are like others.

    A recipe is like the one it names at ``like``, else at ``weights`` or ``interpolate.recipe``, whose models it uses:
    it has every key of that one, with its own laid over them as a study is laid over the default config. So a study
    that changes a recipe changes those that follow it too, and one that takes it away, by null, takes them away.

    Parameters
    ----------
    recipes : mapping
        The block ``recipes`` of a config, not yet checked; null takes a key away.

    Returns
    -------
    dict
        The same names; no recipe has the key ``like``.

    Raises
    ------
    RecipeError
        When a recipe is like one that is not there, or recipes are like each other in a circle.
    """
    return {name: _written_out(name, recipes, seen=()) for name in recipes}


def with_shared(own: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The recipes of a study and those that studies share; one that is like itself is like the shared one of its name."""
    merged = {**shared, **own}
    for name, recipe in own.items():
        if isinstance(recipe, Mapping) and recipe.get("like") == name and name in shared:
            merged[name] = _laid_over(shared[name], {key: value for key, value in recipe.items() if key != "like"})
    return merged


def named_recipes(value: Any) -> list[str]:
    """Names that stand at a key ``recipe``, anywhere in blocks of a config."""
    if isinstance(value, Mapping):
        own = [value["recipe"]] if isinstance(value.get("recipe"), str) else []
        return own + [name for item in value.values() for name in named_recipes(item)]
    return [name for item in value for name in named_recipes(item)] if isinstance(value, list) else []


def _written_out(name: str, recipes: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    recipe = recipes[name]
    named = _followed(recipe)
    if named is None:
        return recipe
    key, other = named
    if other not in recipes or other in (*seen, name):
        raise RecipeError(name, key, other)
    base = _written_out(other, recipes, (*seen, name))
    if base is None:
        return None
    merged = _laid_over(base, recipe)
    merged.pop("like", None)
    return merged


def _followed(recipe: Any) -> tuple[str, str] | None:
    """The key at which a recipe names the one that it is like, and the name."""
    for path in _FOLLOWED:
        value = recipe
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            return path, value
    return None


def _laid_over(base: Any, value: Any) -> Any:
    if not isinstance(base, Mapping) or not isinstance(value, Mapping):
        return value
    return {**base, **{key: _laid_over(base.get(key), item) for key, item in value.items()}}
