"""Checks of the selectors of a config that its schema cannot make: options of other methods, and models that are asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from frugalseg.chains import ASKING_METHODS, IMAGE_SELECTORS, ChainError
from frugalseg.study.lineage import selectors_of

# Options, by the method that they mean something to.
_OPTIONS = {
    **{"gain": "dq", "sample": "dq", "clusters": "typicality"},
    **{"recipe": "uncertainty", "chain": "uncertainty", "seed": "uncertainty"},
}


def selector_problems(
    name: str, config: Mapping[str, Any], nearest: Callable[[str, Iterable[str]], str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a selector, and the key it stands at.

    Parameters
    ----------
    name : str
        Of the selector.
    config : mapping
        A config that its schema has accepted, completed with defaults.
    nearest : callable
        Makes the clause that offers a known name for an unknown one, `frugalseg.study.load.nearest`.
    """
    selector, where = config["selectors"][name], f"selectors.{name}"
    surplus = [key for key, method in _OPTIONS.items() if key in selector and selector["method"] != method]
    if surplus:
        yield surplus[0], f"{where}.{surplus[0]} means nothing to the method {selector['method']!r}"
    if (selector["method"] in IMAGE_SELECTORS) != (name in IMAGE_SELECTORS):
        reserved = ", ".join(sorted(IMAGE_SELECTORS))
        yield "method", f"{where}: the method {reserved!r} goes by the name {reserved!r} and no other"
    if selector["method"] in ASKING_METHODS:
        yield from _asking_problems(name, config, nearest)


def _asking_problems(
    name: str, config: Mapping[str, Any], nearest: Callable[[str, Iterable[str]], str]
) -> Iterator[tuple[str, str]]:
    selector, where, recipes = config["selectors"][name], f"selectors.{name}", config["recipes"]
    missing = [key for key in ("recipe", "chain") if key not in selector]
    if missing:
        yield (
            "method",
            f"{where} lacks the key {missing[0]!r}: {selector['method']!r} asks a model, name its recipe and chain",
        )
        return
    if selector["recipe"] not in recipes:
        yield "recipe", f"{where}.recipe is {selector['recipe']!r}; {nearest(selector['recipe'], recipes)}"
    elif recipes[selector["recipe"]]["target"] == "foreground":
        yield (
            "recipe",
            f"{where}.recipe {selector['recipe']!r} learns foreground; choose one that learns the probability of a cell",
        )
    circle = _circle(name, config["selectors"])
    if circle:
        through = " -> ".join(circle)
        yield "chain", f"{where}.chain needs its own order ({through}); ask a model that was trained without it"


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
