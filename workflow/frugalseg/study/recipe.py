"""Recipes: how a stage is trained, and recipes that are like others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import create_model, model_validator

from frugalseg.runtime.literals import literals, members
from frugalseg.study.keys import Keys, from_options, key, number, some, whole
from frugalseg.study.messages import KeyPath, Problem, nearest, shape_problems, variant_problems

LENGTHS = ("steps", "epochs", "compute")
# Where a recipe names another that it is like; the first of them that is there counts.
_FOLLOWED = ("like", "weights", "interpolate.recipe")
# What two recipes may differ in though one predicts with the weights of the other, or with weights made of them.
_OF_PREDICTION = {"weights", "interpolate", "masks", "ucell", "batch", "precision", "save_every", "validate_every"}


class Lora(Keys):
    """Fine-tune by low-rank adapters: a change of some weights that is the product of two thin matrices, and nothing
    else."""

    rank: whole(ge=1) = key("Rank of the change of every weight.", 16)
    alpha: number(gt=0) = key("The change is scaled by alpha / rank.", 1)
    layers: some(str) = key(
        "Parts of the names of the layers that are adapted; mlp are the feed-forward networks of ucell.", ["mlp"]
    )


class Interpolate(Keys):
    """Models between a parent and its child, both of another recipe, which this one is otherwise the same as: it trains
    nothing. Weights and statistics of norms are (1 - alpha) of the parent's and alpha of the child's. A first stage, which
    has no parent, is that of the other recipe."""

    recipe: str = key("Recipe whose fine-tuned model is the child, and whose chain before it ends in the parent.")
    alpha: number(ge=0, le=1) = key("0 is the parent, 1 the child.")


class Masks(Keys):
    """How label images are made of what the network predicts; what is not given is as Cellpose has it. Of a foreground network
    logit_threshold alone counts."""

    steps: whole(ge=0) | Literal["auto"] | None = key(
        "Steps that pixels follow the flows; 200 where it is not given, 500 with unit_flows. auto: as many as the longest "
        "piece of foreground is long, 200 at least.",
        None,
    )
    flow_threshold: number(ge=0) | None = key(
        "Largest error of a cell's flows; 0 keeps all cells, 0.4 where it is not given.", None
    )
    logit_threshold: number() | None = key("Logit above which pixels are cell; 0 where it is not given.", None)
    min_size: whole(ge=0) | None = key("Smallest cell in pixels; 15 where it is not given.", None)
    largest: number(gt=0, le=1) | None = key("Largest cell, as a share of its image; 0.4 where it is not given.", None)


class Training(Keys):
    """How a stage is trained: the keys of a recipe that the training loop reads."""

    target: Literal["flows", "unit_flows", "foreground"] = key(
        "What the network learns: flows and cell probability as Cellpose does, unit_flows and cell probability as UCell does, "
        "or foreground against background as nnU-Net does.",
        "flows",
    )
    steps: whole(ge=1) | None = key("Optimiser steps of a stage; or give epochs or compute.", None)
    epochs: whole(ge=1) | None = key("Passes over the patches of a stage; or give steps or compute.", None)
    compute: number(gt=0) | None = key(
        "10^12 floating point operations that the training of a stage may take, forward and backward; or give steps or epochs. "
        "The steps follow from the network, its crop and its batch, so that networks can be compared at equal compute.",
        None,
    )
    batch: whole(ge=1) = key("Patches a step.", 8)
    crop: whole(ge=16) = key("Side of the augmented crop that the network sees, in pixels.", 224)
    optimiser: Literal["sgd", "adamw"] = key("The optimiser.", "sgd")
    lr: number(gt=0) = key("Learning rate, the highest of the schedule.", 0.1)
    momentum: number(ge=0, lt=1) = key("Momentum of SGD.", 0.9)
    weight_decay: number(ge=0) = key("Weight decay of the optimiser.", 0.0001)
    nesterov: bool = key("Nesterov's momentum, as nnU-Net takes it.", False)
    betas: some(number(ge=0, lt=1), 2, 2) = key(
        "adamw only. Decay of the running means of gradients and of their squares.", [0.9, 0.95]
    )
    gradient_clip: number(gt=0) | None = key(
        "Longest gradient of a step (L2 norm over all weights); nnU-Net's is 12.", None
    )
    average: number(gt=0, lt=1) | None = key(
        "Keep a running mean of the weights with this decay instead of the last weights; UCell's is 0.999, and 0.95 in "
        "fine-tuning.",
        None,
    )
    lora: Lora | None = key("Fine-tune by low-rank adapters.", None)
    keep: dict[str, Any] | None = key(
        "What fine-tuning does to keep what the parent has learned; nothing without. A first stage has nothing to keep.",
        None,
    )
    schedule: Literal["cellpose", "constant", "warmup", "poly"] = key(
        "cellpose: up over 10 epochs, flat, halved at the end of long runs; constant: lr at every step; warmup: for recipes in "
        "steps; poly: nnU-Net's, falling as (1 - step / steps)^0.9.",
        "cellpose",
    )
    augmentation: Literal["cellpose", "ucell"] = key(
        "cellpose: any angle, a uniform scale, flips. ucell: quarter turns and flips, a log-normal scale and a stretch.",
        "cellpose",
    )
    rescale: bool = key(
        "Bring every patch to a mean cell diameter of 30 pixels, 35 with the augmentation ucell.", False
    )
    scale_range: number(ge=0, lt=2) | None = key(
        "Width s of the random scale [1 - s/2, 1 + s/2]; 0.5 with rescale and 1.0 without where it is not given.", None
    )
    precision: Literal["auto", "float32", "bfloat16"] = key(
        "Arithmetic of the network; auto is bfloat16 where the device gains. Weights and losses are float32.", "auto"
    )
    save_every: whole(ge=1) = key("Steps between saves of the running state.", 500)
    validate_every: whole(ge=1) = key("Steps between rows of log.csv.", 500)

    @model_validator(mode="after")
    def _goes_together(self) -> Training:
        if sum(getattr(self, length) is not None for length in LENGTHS) != 1:
            raise ValueError(f"needs {' or '.join(map(repr, LENGTHS))}, and only one of them")
        if self.lora and self.keep:
            raise ValueError("has lora or keep, not both: adapters leave the parent's weights as they are")
        return self


class Recipe(Training):
    """How a stage is trained, by which network: the other half of a model's name."""

    arch: str = key(
        "The network, a file of frugalseg.models; unet-cap8 (or another cap) is a U-Net of at most 8 channels."
    )
    channels: whole(ge=1) = key("Channels the network takes; images with fewer get zeros for the rest.", 2)
    like: str | None = key(
        "Another recipe, whose keys this one has where it gives none of its own. weights and interpolate say the same of the "
        "recipe that they name.",
        None,
    )
    parent: str | None = key("Recipe that the parent chain was trained with; this one where it is not given.", None)
    parent_seed: whole(ge=0) | None = key(
        "Seed of the parent chain's model, one for all seeds of this recipe, which then differ by their draws alone; the "
        "run's own where it is not given.",
        None,
    )
    masks: Masks | None = key("How label images are made of what the network predicts.", None)
    weights: str | None = key(
        "Recipe whose models are taken as they are: this one trains nothing and may predict in another way.", None
    )
    interpolate: Interpolate | None = key("Models between a parent and its child; this recipe trains nothing.", None)


def trained_by(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without what is done after training: models need not be trained again where that changes."""
    return {name: value for name, value in recipe.items() if name != "masks"}


@cache
def networks() -> dict[str, type[Recipe]]:
    """Every network with the class of its recipes: the sizes that its own file declares are keys of it too."""
    return {name: _class_of(name, found) for name, found in members("models").items()}


@cache
def ways_of_keeping() -> dict[str, type[Keys]]:
    """Every way to keep what the parent has learned, with the class of its blocks."""
    first = key("The way of keeping, a file of frugalseg.training.keeping.")
    return {
        name: from_options(f"Keep{name.capitalize()}", found.get("OPTIONS", {}), method=(Literal[name], first))
        for name, found in members("training.keeping").items()
    }


def completed(name: str, block: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[Problem]]:
    """A recipe with its defaults, and what is wrong with it."""
    path, where = ("recipes", name), f"recipes.{name}"
    if "arch" not in block:
        return None, [(path, f"{where} lacks the key 'arch'")]
    family, _, variant = str(block["arch"]).partition("-")
    if family not in networks() or (variant and not re.fullmatch("cap[1-9][0-9]*", variant)):
        known = nearest(str(block["arch"]), [*networks(), "unet-cap8"])
        return None, [((*path, "arch"), f"{where}.arch is {block['arch']!r}; {known}")]
    strange = {
        at: other for other, sizes in _sizes().items() for at in sizes if at in block and at not in _sizes()[family]
    }
    shaped, found = shape_problems(
        networks()[family], {at: value for at, value in block.items() if at not in strange}, path
    )
    if shaped and "keep" in shaped:
        shaped["keep"], found = variant_problems(ways_of_keeping(), "method", block["keep"], (*path, "keep"))
    if "betas" in block and block.get("optimiser") != "adamw":
        found.append(((*path, "betas"), f"{where}.betas means nothing unless optimiser is 'adamw'; take it away"))
    for at, other in strange.items():
        found.append(((*path, at), f"{where}.{at} means nothing unless arch is {other!r}; take it away"))
    return (None if strange else shaped), found


@cache
def _sizes() -> dict[str, list[str]]:
    """Every network with the keys of a recipe that are its sizes."""
    return {
        name: [at for at in keys.model_fields if at not in Recipe.model_fields] for name, keys in networks().items()
    }


def _class_of(name: str, found: Mapping[str, Any]) -> type[Recipe]:
    title, options = f"RecipeOf{name.capitalize()}", found.get("OPTIONS", {})
    if "SIZES" not in found:
        return from_options(title, options, base=Recipe, needed=False)
    sizes = from_options(f"SizesOf{name.capitalize()}", options, needed=False)
    own = {found["SIZES"]: (sizes | None, key("Sizes of the network, and how it is applied.", None))}
    return create_model(title, __base__=Recipe, **own)


class RecipeError(ValueError):
    """A recipe, `recipe`, is to be like one, `other`, that is not there or is like itself; it names it at `key`."""

    def __init__(self, recipe: str, key: str, other: str) -> None:
        super().__init__(f"recipes.{recipe}.{key} is {other!r}")
        self.recipe, self.key, self.other = recipe, key, other


def with_shared(own: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """The recipes of a study and those that studies share; one that is like itself is like the shared one of its name."""
    merged = {**shared, **own}
    for name, recipe in own.items():
        if isinstance(recipe, Mapping) and recipe.get("like") == name and name in shared:
            merged[name] = laid_over(shared[name], {key: value for key, value in recipe.items() if key != "like"})
    return merged


def resolve(recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Write out recipes that are like others.

    A recipe is like the one it names at ``like``, else at ``weights`` or ``interpolate.recipe``, whose models it uses: it
    has every key of that one, with its own laid over them; a length of its own takes the place of any other. So a study
    that changes a recipe changes those that follow it too. A `RecipeError` says which recipe follows one that is not there,
    or goes in a circle.
    """
    return {name: _written_out(name, recipes, seen=()) for name in recipes}


def named_recipes(value: Any) -> list[str]:
    """Names that stand at a key ``recipe``, anywhere in blocks of a config."""
    if isinstance(value, Mapping):
        own = [value["recipe"]] if isinstance(value.get("recipe"), str) else []
        return own + [name for item in value.values() for name in named_recipes(item)]
    return [name for item in value for name in named_recipes(item)] if isinstance(value, list) else []


def used_recipes(names: list[str], recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Recipes by name, with those that they start from, in the order of all."""
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = None
            waiting += _named(recipes[name]).values()
    return {name: dict(recipe) for name, recipe in recipes.items() if name in found}


def laid_over(base: Any, value: Any) -> Any:
    """One value over another, mappings key by key."""
    if not isinstance(base, Mapping) or not isinstance(value, Mapping):
        return value
    return {**base, **{key: laid_over(base.get(key), item) for key, item in value.items()}}


def recipe_problems(name: str, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[KeyPath, str]]:
    """Keys of a recipe that need others, and recipes that it names: what is wrong, and where."""
    recipe, where = recipes[name], f"recipes.{name}"
    for at, other in _named(recipe).items():
        if other not in recipes:
            yield _path(name, at), f"{where}.{at} is {other!r}; {nearest(other, recipes)}"
    token = literals(f"models.{recipe['arch'].partition('-')[0]}").get("TOKEN", 1)
    if recipe["crop"] % token:
        yield (
            _path(name, "crop"),
            f"{where}.crop is {recipe['crop']}; {recipe['arch']} cuts it into tokens of {token} x {token} pixels: make it a "
            f"multiple of {token}",
        )
    yield from ((_path(name, "keep"), f"{where}.keep{text}") for text in _keep_messages(recipe))
    yield from _weights_problems(name, recipes)


def _written_out(name: str, recipes: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    recipe = recipes[name]
    named = _followed(recipe)
    if named is None:
        return recipe
    at, other = named
    if other not in recipes or other in (*seen, name):
        raise RecipeError(name, at, other)
    base = _written_out(other, recipes, (*seen, name))
    if isinstance(base, Mapping):
        base = {key: value for key, value in base.items() if key not in _replaced(base, recipe)}
    merged = laid_over(base, recipe)
    merged.pop("like", None)
    return merged


def _replaced(base: Mapping[str, Any], recipe: Mapping[str, Any]) -> set[str]:
    """Keys of a recipe that one which is like it does not take: another length, sizes of another network, options of another
    way of keeping."""
    ways = [block["keep"].get("method") for block in (base, recipe) if isinstance(block.get("keep"), Mapping)]
    lengths = set(LENGTHS) if set(LENGTHS) & recipe.keys() else set()
    family, other = (str(block.get("arch", "")).partition("-")[0] for block in (base, {**base, **recipe}))
    return (
        lengths
        | ({"keep"} if len(set(ways)) > 1 else set())
        | (set(_sizes().get(family, ())) - set(_sizes().get(other, ())))
    )


def _followed(recipe: Any) -> tuple[str, str] | None:
    """The key at which a recipe names the one that it is like, and the name."""
    for path in _FOLLOWED:
        value = recipe
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            return path, value
    return None


def _keep_messages(recipe: Mapping[str, Any]) -> Iterator[str]:
    family = recipe["arch"].partition("-")[0]
    if recipe.get("keep", {}).get("method") == "frozen" and not literals(f"models.{family}").get("ENCODER"):
        yield (
            f": the arch {recipe['arch']!r} has no encoder to be frozen; name its modules in ENCODER of "
            f"frugalseg.models.{family}, or choose another method"
        )


def _weights_problems(name: str, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with a recipe that trains nothing itself."""
    named = {at: other for at, other in _named(recipes[name]).items() if at != "parent"}
    if len(named) > 1:
        yield (
            _path(name, "interpolate"),
            f"recipes.{name} has weights and interpolate; each says where its models come from: take one away",
        )
    for at, other in named.items():
        if other in recipes:
            yield from ((_path(name, at), message) for message in _source_messages(name, at, other, recipes))


def _source_messages(name: str, at: str, other: str, recipes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What stands against a recipe's using the models of another, which it names at a key."""
    recipe, source = recipes[name], recipes[other]
    if "weights" in source or (at != "weights" and "interpolate" in source):
        trained = source.get("weights") or source["interpolate"]["recipe"]
        yield f"recipes.{name}.{at} is {other!r}, which trains nothing itself; name {trained!r}"
    keys = {*recipe, *source} - _OF_PREDICTION
    different = sorted(key for key in keys if recipe.get(key) != source.get(key))
    sizes = sorted(key for key in ("hidden", "depth", "registers") if _size(recipe, key) != _size(source, key))
    if different or sizes:
        yield (
            f"recipes.{name} takes the weights of {other!r} and differs from it in "
            f"{', '.join([*different, *(f'ucell.{key}' for key in sizes)])}; it may differ in how it predicts alone"
        )


def _named(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Recipes that a recipe names, by the key it names them at."""
    named = {at: recipe[at] for at in ("parent", "weights") if at in recipe}
    return named | ({"interpolate.recipe": recipe["interpolate"]["recipe"]} if "interpolate" in recipe else {})


def _path(name: str, at: str) -> KeyPath:
    return "recipes", name, *at.split(".")


def _size(recipe: Mapping[str, Any], key: str) -> Any:
    return recipe.get("ucell", {}).get(key)
