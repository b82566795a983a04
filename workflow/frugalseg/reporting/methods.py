"""The methods of a study in words, from its config, as they could stand in a paper: facts for `templates/methods.md.jinja`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from frugalseg.chains import ASKING_METHODS, IMAGE_SELECTORS, SEEDED_METHODS, parse
from frugalseg.models.cost import parameters
from frugalseg.plan.models import with_parents
from frugalseg.reporting import prose
from frugalseg.reporting.formats import value_text
from frugalseg.runtime.literals import literals, members
from frugalseg.runtime.provenance import package_versions
from frugalseg.study.kinds import of_kind, study_models, tuning_datasets
from frugalseg.study.kinds.experiment import cost_fields, expand
from frugalseg.study.kinds.widths import width_recipes
from frugalseg.study.lineage import Model, parent_of
from frugalseg.training.recipe import Recipe
from frugalseg.training.stage import build_network

_SAID_BY = {
    "target": "training.losses",
    "optimiser": "training.optimiser",
    "schedule": "training.schedules",
    "augmentation": "training.run",
}
"""Modules with the words for several names; selectors, networks and ways of keeping have a module each, in `_SAID_IN`."""
_SAID_IN = {"selector": "selection", "network": "models", "way of keeping": "training.keeping"}
_CITED = re.compile(r"(?<!\w)@(?P<key>[a-z0-9]+(?:-[a-z0-9]+)*)")


def to_markdown(config: Mapping[str, Any]) -> str:
    """The methods section of a completed config: paragraphs, then the references that they cite.

    A ValueError says for which network, target, optimiser, schedule, augmentation, selector or way of keeping there are no words.
    """
    of_datasets = {name: _papers_of(name, block) for name, block in config["datasets"].items()}
    known = papers() | {key: paper for cited in of_datasets.values() for key, paper in cited.items()}
    experiments = of_kind(config, "experiment").values()
    text = prose.page(
        "methods.md",
        **{key: config[key] for key in ("datasets", "patches", "features", "bins", "tuning")},
        cited_datasets={name: f" [@{'; @'.join(cited)}]" if cited else "" for name, cited in of_datasets.items()},
        tuned_on=tuning_datasets(config),
        keeping=of_kind(config, "keeping"),
        transfers=of_kind(config, "transfer"),
        claims=of_kind(config, "claim"),
        **_coresets(config),
        **_training(config),
        **_transfer(config),
        scans=_scans(config),
        counts_operations=any("gigaflops" in cost_fields(block) for block in experiments),
        versions=package_versions(),
    )
    return _with_references(text, known)


@cache
def papers() -> dict[str, str]:
    """Everything that can be cited, by key: ``kcenter`` -> ``"Sener & Savarese 2018, Active learning ..."``."""
    known = yaml.safe_load((Path(__file__).parent / "templates/papers.yaml").read_text(encoding="utf-8"))
    for room in (*_SAID_IN.values(), "training"):
        for module in members(room).values():
            known |= module.get("CITES", {})
    return known


def _papers_of(name: str, block: Mapping[str, Any]) -> dict[str, str]:
    """The papers of a dataset by keys of their own."""
    cited = filter(None, block.get("citation", "").split(";"))
    return {f"dataset-{name}-{number}": " ".join(paper.split()) for number, paper in enumerate(cited)}


def _with_references(text: str, known: Mapping[str, str]) -> str:
    """Author and year in place of every ``@key``, and at the end what was cited."""
    cited = {match["key"]: known[match["key"]] for match in _CITED.finditer(text)}
    # A title may end in a bracket of its own.
    text = re.sub(r"\) \[(@[^]]*)\]", r"; \1)", text)
    text = re.sub(r"\[(@[^]]*)\]", r"(\1)", text)
    text = _CITED.sub(lambda match: _short(cited[match["key"]]), text)
    listed = "\n".join(f"- {paper}" for paper in sorted(set(cited.values())))
    return f"{text}\n## References\n\n{listed}\n"


def _short(paper: str) -> str:
    """``Kumar et al. 2020`` of ``Kumar et al. 2020, A multi-organ ...``."""
    year = re.match(r".*?\b\d{4}\b", paper)
    return year[0] if year else paper


def _said(kind: str, name: str) -> dict[str, Any]:
    """What is said of a selector, a target and so on: ``METHODS`` is a template, beside it are the constants of its module."""
    if kind in _SAID_IN:
        known, place = members(_SAID_IN[kind]), f"write METHODS in frugalseg.{_SAID_IN[kind]}.{name}"
    else:
        module = literals(_SAID_BY[kind])
        known = {each: module | {"METHODS": words} for each, words in module["METHODS"].items()}
        place = f"add them to METHODS of frugalseg.{_SAID_BY[kind]}"
    if name not in known:
        raise ValueError(f"the methods section has no words for the {kind} {name!r}: {place}")
    return known[name]


def _coresets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The selectors that chains name, with what they take."""
    chains = dict.fromkeys(chain for _, chain, _ in study_models(config))
    amounts: dict[str, set[float]] = {}
    for source in (source for chain in chains for stage in parse(chain).stages for source in stage.sources):
        if source.subset:
            amounts.setdefault(source.subset.selector, set()).add(float(source.subset.number))
    methods = {name: config["selectors"][name]["method"] for name in amounts}
    words: dict[str, str] = {}
    for name, method in methods.items():
        said = _said("selector", method)
        options = {key: option["default"] for key, option in said.get("OPTIONS", {}).items() if "default" in option}
        first = next(other for other in methods if methods[other] == method)
        template = said["METHODS"] if name == first else said.get("METHODS_AGAIN", said["METHODS"])
        facts = {**said, **options, **config["selectors"][name], "bins": config["bins"], "first": first}
        words[name] = prose.fragment(template, **facts, amounts=[int(amount) for amount in sorted(amounts[name])])
    return {
        "selectors": words,
        "compares_features": bool(set(methods.values()) - SEEDED_METHODS - ASKING_METHODS),
        "takes_rates": bool(methods.keys() - IMAGE_SELECTORS),
    }


def _training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Recipes, each once; those of width scans are told with the scans, and networks before their first step elsewhere."""
    recipes = config["recipes"]
    elsewhere = {name for block in of_kind(config, "widths").values() for name in width_recipes(block)}
    elsewhere |= {name for name, recipe in recipes.items() if recipe.get("steps") == 0}
    trained: dict[str, list[Model]] = {}
    for model in with_parents(study_models(config), config):
        if model[0] not in elsewhere:
            trained.setdefault(model[0], []).append(model)
    between = {name: recipes[name]["interpolate"] for name in trained if "interpolate" in recipes[name]}
    entries = [entry for block in of_kind(config, "experiment").values() for entry in expand(block)]
    borrowing = dict.fromkeys(entry.recipe for entry in entries if "weights" in recipes[entry.recipe])
    predictions = {name: _network(recipes[name], "METHODS_PREDICTION") for name in borrowing}
    told = literals("training.untrained")["METHODS"]
    return {
        "recipes": [_of_models(name, models, recipes) for name, models in trained.items() if name not in between],
        "interpolations": {name: prose.fragment(told, **block) for name, block in between.items()},
        "predictions": {
            name: {"of": recipes[name]["weights"], "words": words} for name, words in predictions.items() if words
        },
        "runs": sorted({len(entry.seeds) for entry in entries}),
    }


def _of_models(name: str, models: list[Model], recipes: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the models that a recipe trains."""
    recipe = recipes[name]
    parents = [parent_of(model, recipes) for model in models]
    others = sorted({parent[0] for parent in parents if parent is not None and parent[0] != name})
    facts = {"name": name, "parents": others, "anew": None in parents, "tuned": "", **_recipe(recipe)}
    if None in parents:
        facts["target_words"] = _said("target", recipe["target"])["METHODS"]
        facts["network"] = _network(recipe, "METHODS")
        facts["network_training"] = _network(recipe, "METHODS_TRAINING")
    if others or None not in parents or "lora" in recipe or "keep" in recipe:
        facts["tuned"] = _tuned_part(Recipe.of(recipe))
    return facts


def _recipe(block: Mapping[str, Any]) -> dict[str, Any]:
    """How a recipe steps and what it draws, with words where it names something."""
    recipe = Recipe.of(block)
    optimiser, augmentation = _said("optimiser", recipe.optimiser), _said("augmentation", recipe.augmentation)
    decay = prose.fragment(optimiser["METHODS_DECAY"], recipe=recipe)
    return {
        "settings": recipe,
        "optimiser": prose.fragment(optimiser["METHODS"], recipe=recipe, decay=decay),
        "schedule": _said("schedule", recipe.schedule)["METHODS"],
        "augmentation": prose.fragment(augmentation["METHODS"], scales=recipe.scales),
        "diameter": augmentation["COMMON_DIAMETERS"][recipe.augmentation],
    }


def _network(recipe: Mapping[str, Any], words: str) -> str:
    """What the network of a recipe says of itself, from its built form where it asks for this; empty if nothing."""
    template, facts = _said("network", recipe["arch"].partition("-")[0]).get(words, ""), dict(recipe)
    if "network." in template:
        with torch.device("meta"):
            built = build_network(recipe)
        facts |= {"network": built, "weights": value_text("parameters", parameters(built))}
    return prose.fragment(template, **facts)


def _tuned_part(recipe: Recipe) -> str:
    if recipe.keep:
        words = _said("way of keeping", recipe.keep.method)["METHODS"]
        return prose.fragment(words, parts=recipe.keep.parts, **recipe.keep.options)
    if recipe.lora:
        return prose.fragment(literals("training.lora")["METHODS"], **recipe.lora._asdict())
    return "in all their weights"


def _transfer(config: Mapping[str, Any]) -> dict[str, Any]:
    """What chains of several stages do, beside their recipes."""
    recipes = config["recipes"]
    tuned = [model for model in study_models(config) if parent_of(model, recipes) is not None]
    names = dict.fromkeys(recipe for recipe, _, _ in tuned)
    ways = {"lora", "keep", "interpolate"}
    otherwise = {name for name in names if ways & recipes[name].keys() or recipes[name].get("parent", name) != name}
    replays = []
    for chain in map(parse, dict.fromkeys(chain for _, chain, _ in tuned)):
        seen = {source.dataset for stage in chain.stages[:-1] for source in stage.sources}
        replays += [source for source in chain.sources if source.dataset in seen]
    subsets = [source.subset for source in replays if source.subset]
    rates = {float(subset.number) for subset in subsets if subset.selector not in IMAGE_SELECTORS}
    shares = {source.share for source in replays if source.share is not None}
    return {
        "tuned_recipes": bool(tuned),
        "tuned_alike": bool(names.keys() - otherwise),
        "tuned_otherwise": bool(otherwise),
        "parent_seeds": {name: recipes[name]["parent_seed"] for name in names if "parent_seed" in recipes[name]},
        "replays": bool(replays),
        "replay_rates": [f"{rate:g} %" for rate in sorted(rates)],
        "replays_by_number": any(source.share is None for source in replays),
        "replay_shares": [f"{share:g} %" for share in sorted(shares)],
        "transfer_chains": {chain for block in of_kind(config, "transfer").values() for chain in block["chains"]},
    }


def _scans(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Width scans with their proofs; those that differ in their dataset alone are told together."""
    alike: dict[str, dict[str, Any]] = {}
    for block in of_kind(config, "widths").values():
        own = ("title", "caption", "dataset", "published")
        scan = {"training": None} | {key: value for key, value in block.items() if key not in own}
        told = alike.setdefault(json.dumps(scan, sort_keys=True), {**scan, "datasets": []})
        told["datasets"].append(block["dataset"])
        if training := scan["training"]:
            told["recipe"] = _recipe(config["recipes"][training["recipe"]])
            told["trained_caps"] = training.get("caps", scan["caps"])
            told["peers"] = [_network({"arch": peer}, "METHODS") for peer in training["peers"]]
    return list(alike.values())
