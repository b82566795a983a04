"""Checks of the blocks of ``keeping`` that a config's schema cannot make: equal budgets, one start, images to choose by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from frugalseg.chains import ChainError
from frugalseg.study.arms import Candidate, candidates_of, start_of
from frugalseg.study.lineage import Model, parent_of, trained_as


def keeping_problems(
    name: str, block: Mapping[str, Any], config: Mapping[str, Any], nearest: Callable[[str, Iterable[str]], str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with a block of ``keeping``, and the keys below it at which it stands.

    Parameters
    ----------
    name : str
        Of the block.
    block : mapping
        That the schema has accepted.
    config : mapping
        The config, completed with defaults.
    nearest : callable
        Makes the clause that offers a known name for an unknown one, `frugalseg.study.load.nearest`.
    """
    where = f"keeping.{name}"
    if not config["tuning"]:
        yield (), f"{where} chooses by tuning images, and none are kept; give the config's 'tuning', 20 for example"
    for key in ("source", "target"):
        if block[key] not in config["datasets"]:
            yield (
                (key,),
                f"{where}.{key} is the unknown dataset {block[key]!r}; {nearest(block[key], config['datasets'])}",
            )
    if block["source"] == block["target"]:
        yield ("target",), f"{where}: source and target are both {block['source']!r}; there is nothing to keep"
    if block["metric"] == "hd95":
        yield ("metric",), f"{where}.metric is 'hd95'; choose a score from 0 to 1, of which larger is better"
    yield from _budget_problems(where, block)
    yield from _recipe_problems(where, block, config["recipes"], nearest)


def _budget_problems(where: str, block: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Arms that are tried more often than others, or the same model twice in one of them."""
    counts = {arm: len(items) for arm, items in block["arms"].items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{arm!r} {count}" for arm, count in counts.items())
        yield (
            ("arms",),
            f"{where}.arms: an arm that may try more often finds more; give all arms the same number of candidates (now: "
            f"{listed})",
        )
    seen: set[tuple[str, str, str]] = set()
    for candidate in candidates_of(block):
        model = (candidate.arm, candidate.recipe, candidate.chain)
        if model in seen:
            yield (
                ("arms", candidate.arm),
                f"{where}.arms: the arm {candidate.arm!r} has {candidate.chain!r} by the recipe {candidate.recipe!r} twice",
            )
        seen.add(model)


def _recipe_problems(
    where: str, block: Mapping[str, Any], recipes: Mapping[str, Any], nearest: Callable[[str, Iterable[str]], str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for candidate in (start_of(block), *candidates_of(block)):
        path = ("arms", candidate.arm) if candidate.arm in block["arms"] else ("recipe",)
        if candidate.recipe not in recipes:
            yield (
                path,
                f"{where}: {candidate.title} names the unknown recipe {candidate.recipe!r}; "
                f"{nearest(candidate.recipe, recipes)}",
            )
        elif recipes[candidate.recipe].get("target") == "foreground":
            yield (
                path,
                f"{where}: the recipe {candidate.recipe!r} of {candidate.title} learns foreground; choose one that "
                "finds cells",
            )
        else:
            yield from ((path, f"{where}: {text}") for text in _start_problems(candidate, block, recipes))


def _start_problems(candidate: Candidate, block: Mapping[str, Any], recipes: Mapping[str, Any]) -> Iterator[str]:
    """A candidate that is fine-tuned from something else than the start, so that before and after tell nothing."""
    try:
        for seed in block["seeds"]:
            start = trained_as((block["recipe"], block["start"], seed), recipes)
            lineage = _lineage((candidate.recipe, candidate.chain, seed), recipes)
            if len(lineage) > 1 and start not in lineage:
                recipe, chain, of_seed = next((model for model in lineage if model[1] == start[1]), lineage[1])
                yield (
                    f"{candidate.title} is fine-tuned from {chain!r} by the recipe {recipe!r} with seed {of_seed}, and not from "
                    f"the start, {start[1]!r} by {start[0]!r} with seed {seed}; 'parent: {start[0]}' in its recipe says whose "
                    "models it goes on from"
                )
                return
    except (ChainError, KeyError):
        # The checks of chains and of recipes tell it.
        return


def _lineage(model: Model, recipes: Mapping[str, Any]) -> list[Model]:
    """A model, the one it is fine-tuned from, and so on down to a first stage."""
    lineage = [trained_as(model, recipes)]
    while (parent := parent_of(lineage[-1], recipes)) is not None:
        lineage.append(parent)
    return lineage
