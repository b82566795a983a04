"""Optimisers, schedules and augmentations, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from frugalseg.reporting.formats import plain, words_for
from frugalseg.reporting.references import References
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import COMMON_DIAMETERS

_SCHEDULES = {
    "cellpose": "which rises over the first ten epochs and is halved at intervals at the end of long runs",
    "constant": "which stays the same",
    "warmup": "which rises over the first 12 % of the steps and falls to a fifth after 70 % of them",
    "poly": "which falls as (1 − step / steps)^0.9",
}


def optimisation(block: Mapping[str, Any], each: str, references: References) -> str:
    """How the recipe of a block of config steps, as a sentence goes on that begins with what it trains.

    Parameters
    ----------
    block : mapping
    each : str
        What the steps are counted for, e.g. " a stage".
    references : References
    """
    recipe = Recipe.of(block)
    optimiser = words_for(recipe.optimiser, _OPTIMISERS, "optimiser")(recipe, references)
    return (
        f"by {optimiser} for {_length(recipe, each)} in batches of {recipe.batch}, with a learning rate of "
        f"{plain(recipe.lr)}, {words_for(recipe.schedule, _SCHEDULES, 'schedule')}."
    )


def augmentation(block: Mapping[str, Any]) -> str:
    """What is drawn for every patch, in one sentence."""
    recipe = Recipe.of(block)
    changes = words_for(recipe.augmentation, _AUGMENTATIONS, "augmentation")(recipe)
    diameter = COMMON_DIAMETERS[recipe.augmentation]
    brought = f"brought to a mean cell diameter of {diameter:g} pixels, " if recipe.rescale else ""
    return f"Patches were {brought}{changes}, shifted, and cropped to {recipe.crop} × {recipe.crop} pixels, at random."


def _length(recipe: Recipe, each: str) -> str:
    if recipe.compute is not None:
        return f"{plain(recipe.compute)} · 10^12 operations{each}, forward and backward,"
    return f"{recipe.steps:,} steps{each}" if recipe.steps is not None else f"{recipe.epochs:,} epochs{each}"


def _sgd(recipe: Recipe, references: References) -> str:
    momentum = f"{'Nesterov momentum' if recipe.nesterov else 'momentum'} {recipe.momentum:g}"
    return f"stochastic gradient descent ({momentum}, {_decay_and_clip(recipe)})"


def _adamw(recipe: Recipe, references: References) -> str:
    first, second = recipe.betas
    return f"AdamW {references.cite('adamw')} with β1 = {first:g}, β2 = {second:g}, {_decay_and_clip(recipe)},"


def _decay_and_clip(recipe: Recipe) -> str:
    clipped = f", gradients clipped at a norm of {recipe.gradient_clip:g}" if recipe.gradient_clip is not None else ""
    return f"weight decay {plain(recipe.weight_decay)}{clipped}"


def _affine(recipe: Recipe) -> str:
    spread = recipe.scales
    return f"flipped, rotated by any angle, scaled by a factor between {1 - spread / 2:g} and {1 + spread / 2:g}"


def _stretch(recipe: Recipe) -> str:
    return "flipped, transposed, scaled by 2^(0.6 n) and stretched by 2^(0.2 m) with n and m normal"


_OPTIMISERS: dict[str, Callable[[Recipe, References], str]] = {"sgd": _sgd, "adamw": _adamw}
_AUGMENTATIONS: dict[str, Callable[[Recipe], str]] = {"cellpose": _affine, "ucell": _stretch}
