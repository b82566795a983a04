"""The recipes that a study trains by, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from frugalseg.plan.models import with_parents
from frugalseg.reporting.formats import listing, number, plural, words_for
from frugalseg.reporting.methods.networks import TARGETS, network, recursion, ucell_of
from frugalseg.reporting.methods.optimisation import augmentation, optimisation
from frugalseg.reporting.references import References
from frugalseg.study.experiments import expand, study_models, width_networks
from frugalseg.study.lineage import Model, parent_of
from frugalseg.study.transfers import untrained_recipes
from frugalseg.training.keep import Keep
from frugalseg.training.lora import Adapters


def training(config: Mapping[str, Any], references: References) -> str:
    """Networks, how each recipe trains them, and what is kept; recipes of width scans are told with the scans."""
    elsewhere = {name for block in config["widths"].values() if "training" in block for name in _proof_recipes(block)}
    # Networks before their first step are told with what they are compared to.
    elsewhere |= untrained_recipes(config).keys()
    models = [model for model in with_parents(study_models(config), config) if model[0] not in elsewhere]
    names = [
        name for name in dict.fromkeys(model[0] for model in models) if "interpolate" not in config["recipes"][name]
    ]
    sentences, told = [], {}
    for name in names:
        of_recipe = [model for model in models if model[0] == name]
        sentences += _learning(name, of_recipe, config["recipes"], references, named=len(names) > 1)
        anew = any(parent_of(model, config["recipes"]) is None for model in of_recipe)
        settings = _settings(config["recipes"][name], references)
        same = told.setdefault(settings, name)
        opening = "It was trained" if anew else "They were trained"
        sentences.append(f"{opening} {settings}" if same == name else f"{opening} as with the recipe *{same}*.")
    sentences += _interpolations(models, config["recipes"], references)
    sentences += _predictions(config)
    seeds = sorted({len(entry.seeds) for block in config["experiments"].values() for entry in expand(block)})
    if seeds:
        runs = "once" if seeds == [1] else f"with {listing(map(number, seeds), before_last=' or ')} seeds"
        sentences.append(f"Each model was trained {runs}.")
    if names:
        averaged = any("average" in config["recipes"][name] for name in names)
        kept = "The weights after the last step, or their running mean where there is one," if averaged else ""
        sentences.append(f"{kept or 'The weights after the last step'} were kept; nothing was chosen on test images.")
    return " ".join(sentences)


def _learning(
    name: str, models: list[Model], recipes: Mapping[str, Any], references: References, *, named: bool
) -> Iterator[str]:
    """What the models that a recipe trains are, and what they learn."""
    recipe = recipes[name]
    parents = [parent_of(model, recipes) for model in models]
    others = sorted({parent[0] for parent in parents if parent is not None and parent[0] != name})
    starts_anew = any(parent is None for parent in parents)
    if starts_anew:
        target = words_for(recipe["target"], TARGETS, "target")
        yield (
            f"{network(recipe, references)} was trained to predict {target}{f' (recipe *{name}*)' if named else ''}."
        )
        yield from filter(None, [recursion(recipe)])
    if others or not starts_anew or "lora" in recipe or "keep" in recipe:
        of = f" of {listing(f'*{other}*' for other in others)}" if others else ""
        yield f"With the recipe *{name}*, models{of} were fine-tuned {_tuned_part(recipe, references)}."


def _settings(recipe: Mapping[str, Any], references: References) -> str:
    """How a recipe trains, from the optimiser on."""
    sentences = [optimisation(recipe, " a stage", references)]
    if "average" in recipe:
        sentences.append(f"A running mean of the weights with a decay of {recipe['average']:g} was kept.")
    return " ".join([*sentences, augmentation(recipe)])


def _tuned_part(recipe: Mapping[str, Any], references: References) -> str:
    if "keep" in recipe:
        keep = Keep.of(recipe["keep"], recipe["arch"])
        return words_for(keep.method, _KEEPING, "way of keeping")(keep, references)
    if "lora" not in recipe:
        return "in all their weights"
    adapters = Adapters.of(recipe["lora"])
    layers = listing((f"*{part}*" for part in adapters.layers), before_last=" or ")
    return (
        f"by low-rank adapters alone (LoRA; {references.cite('lora').strip('()')}), of rank {adapters.rank} and α = "
        f"{adapters.alpha:g}, in the layers with {layers} in their names"
    )


def _l2sp(keep: Keep, references: References) -> str:
    return (
        f"with all weights pulled towards the parent's (L2-SP; {references.cite('l2sp').strip('()')}) with a strength of "
        f"{keep.strength:g}, by proximal steps, and the statistics of batch norms with them"
    )


def _ewc(keep: Keep, references: References) -> str:
    return (
        f"with elastic weight consolidation {references.cite('ewc')} of a strength of {keep.strength:g}, by proximal steps, the "
        f"Fisher information from {number(keep.patches)} patch{'' if keep.patches == 1 else 'es'} of the parent's last stage"
    )


def _lwf(keep: Keep, references: References) -> str:
    return (
        f"to repeat the parent's outputs on the new patches as well (learning without forgetting; "
        f"{references.cite('lwf').strip('()')}), with a weight of {keep.strength:g}"
    )


def _frozen(keep: Keep, references: References) -> str:
    return f"with a frozen encoder ({listing(f'*{part}*' for part in keep.parts)})"


_KEEPING: dict[str, Callable[[Keep, References], str]] = {"l2sp": _l2sp, "ewc": _ewc, "lwf": _lwf, "frozen": _frozen}


def _interpolations(models: list[Model], recipes: Mapping[str, Any], references: References) -> Iterator[str]:
    """Recipes whose models lie between those of another and their parents."""
    for name in dict.fromkeys(model[0] for model in models):
        if "interpolate" in recipes[name]:
            block = recipes[name]["interpolate"]
            yield (
                f"Models of the recipe *{name}* were not trained: their weights are {block['alpha']:g} times those of models of "
                f"*{block['recipe']}* plus {1 - block['alpha']:g} times those of their parents {references.cite('interpolation')}."
            )


def _predictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Recipes that take the models of another and predict in another way."""
    entries = [entry for block in config["experiments"].values() for entry in expand(block)]
    for name in dict.fromkeys(entry.recipe for entry in entries):
        recipe = config["recipes"][name]
        if "weights" in recipe and recipe["arch"] == "ucell":
            yield (
                f"With the recipe *{name}*, models of *{recipe['weights']}* predicted in "
                f"{plural(ucell_of(recipe).cycles, 'cycle')}."
            )


def _proof_recipes(block: Mapping[str, Any]) -> list[str]:
    return [f"{block['training']['recipe']}-{network}" for network in width_networks(block)]
