"""Selectors: methods by the names of their modules, each with the options that its own file declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from frugalseg.chains import ASKING_METHODS, IMAGE_SELECTORS, ChainError
from frugalseg.runtime.literals import members
from frugalseg.study.keys import Keys, from_options, key
from frugalseg.study.lineage import selectors_of
from frugalseg.study.messages import Problem, nearest, variant_problems


@cache
def methods() -> dict[str, type[Keys]]:
    """Every method of selection with the class of its blocks."""
    return {name: _class_of(name, found.get("OPTIONS", {})) for name, found in members("selection").items()}


def by_themselves() -> dict[str, dict[str, str]]:
    """Selectors that need nothing said about them, each under the name of its method."""
    return {name: {"method": name} for name, kind in methods().items() if _needs_nothing(kind)}


def completed(name: str, block: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The block of a selector with its defaults, and what is wrong with it."""
    return variant_problems(methods(), "method", block, ("selectors", name))


def selector_problems(name: str, study: Mapping[str, Any]) -> Iterator[Problem]:
    """Names that are reserved, and models that cannot be asked."""
    selector, where = study["selectors"][name], f"selectors.{name}"
    if (selector["method"] in IMAGE_SELECTORS) != (name in IMAGE_SELECTORS):
        reserved = ", ".join(sorted(IMAGE_SELECTORS))
        yield (
            ("selectors", name, "method"),
            f"{where}: the method {reserved!r} goes by the name {reserved!r} and no other",
        )
    if selector["method"] not in ASKING_METHODS:
        return
    recipe, recipes = selector["recipe"], study["recipes"]
    if recipe not in recipes:
        yield ("selectors", name, "recipe"), f"{where}.recipe is {recipe!r}; {nearest(recipe, recipes)}"
    elif recipes[recipe]["target"] == "foreground":
        yield (
            ("selectors", name, "recipe"),
            f"{where}.recipe {recipe!r} learns foreground; choose one that learns the probability of a cell",
        )
    circle = _circle(name, study["selectors"])
    if circle:
        through = " -> ".join(circle)
        yield (
            ("selectors", name, "chain"),
            f"{where}.chain needs its own order ({through}); ask a model that was trained without it",
        )


def _class_of(method: str, options: Mapping[str, Mapping[str, Any]]) -> type[Keys]:
    first = (Literal[method], key("The selector, a file of frugalseg.selection."))
    return from_options(f"Selector{method.capitalize()}", options, method=first)


def _needs_nothing(kind: type[Keys]) -> bool:
    return not any(field.is_required() for name, field in kind.model_fields.items() if name != "method")


def _circle(name: str, selectors: Mapping[str, Any]) -> list[str]:
    """Selectors on the way from one back to itself, by the chains that they ask; empty where there is no way back."""
    ways, seen = [[name]], set()
    while ways:
        way = ways.pop()
        try:
            needed = selectors_of(selectors[way[-1]]["chain"])
        except (KeyError, ChainError):
            # It asks nothing, or the checks of chains tell what is wrong.
            continue
        if name in needed:
            return [*way, name]
        ways += [[*way, other] for other in needed if other not in seen]
        seen |= set(needed)
    return []
