"""The methods of a study in words, from its config, as they could stand in a paper: facts for `templates/methods.md.jinja`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from frugalseg.chains import ASKING_METHODS, IMAGE_SELECTORS, SEEDED_METHODS, Source, parse
from frugalseg.plan.models import with_parents
from frugalseg.reporting import prose
from frugalseg.reporting.formats import value_text
from frugalseg.runtime.literals import literals, members
from frugalseg.runtime.provenance import package_versions
from frugalseg.study.kinds import of_kind, study_models, tuning_datasets
from frugalseg.study.kinds.experiment import cost_fields, expand
from frugalseg.study.kinds.widths import width_networks
from frugalseg.study.lineage import Model, parent_of
from frugalseg.training.recipe import Recipe

_SAID_IN = {
    "target": "training.losses",
    "optimiser": "training.optimiser",
    "schedule": "training.schedules",
    "augmentation": "training.run",
}
"""Module whose ``METHODS`` has the words, by what they are for; selectors and networks have a module each."""
_CITED = re.compile(r"(?<!\w)@(?P<key>[a-z0-9]+(?:-[a-z0-9]+)*)")
_SHORT = re.compile(r".*?\b\d{4}\b")


def to_markdown(config: Mapping[str, Any]) -> str:
    """The methods section of a completed config: paragraphs, then the references that they cite.

    Raises
    ------
    ValueError
        When there are no words for a network, target, optimiser, schedule, augmentation, selector or way of keeping.
    """
    of_datasets = {
        f"dataset-{name}-{number}": " ".join(paper.split())
        for name, block in config["datasets"].items()
        for number, paper in enumerate(block.get("citation", "").split(";"))
    }
    text = prose.page("methods.md", **_facts(config))
    return _with_references(text, papers() | of_datasets)


@cache
def papers() -> dict[str, str]:
    """Everything that can be cited, by key: ``kcenter`` -> ``"Sener & Savarese 2018, Active learning ..."``."""
    known = yaml.safe_load((Path(__file__).parent / "templates/papers.yaml").read_text(encoding="utf-8"))
    modules = [*members("selection").values(), *members("models").values(), *members("training").values()]
    modules += members("training.keeping").values()
    for module in modules:
        known |= module.get("CITES", {})
    return known


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
    year = _SHORT.match(paper)
    return year[0] if year else paper


def _facts(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: config[key] for key in ("datasets", "patches", "features", "bins", "tuning")},
        "keeping": of_kind(config, "keeping"),
        "transfers": of_kind(config, "transfer"),
        "claims": of_kind(config, "claim"),
        "cited_datasets": {name: _cited_dataset(name, block) for name, block in config["datasets"].items()},
        "tuned_on": tuning_datasets(config),
        **_coresets(config),
        **_training(config),
        **_transfer(config),
        "scans": _scans(config),
        "counts_operations": any("gigaflops" in cost_fields(block) for block in of_kind(config, "experiment").values()),
        "versions": package_versions(),
    }


def _cited_dataset(name: str, block: Mapping[str, Any]) -> str:
    if "citation" not in block:
        return ""
    keys = (f"@dataset-{name}-{number}" for number in range(len(block["citation"].split(";"))))
    return f" [{'; '.join(keys)}]"


def _words(kind: str, name: str) -> str:
    """What is to be said of a target, an optimiser and so on: a template."""
    known = literals(_SAID_IN[kind])["METHODS"]
    if name not in known:
        raise ValueError(
            f"the methods section has no words for the {kind} {name!r}: add them to METHODS of frugalseg.{_SAID_IN[kind]}"
        )
    return known[name]


def _member(room: str, kind: str, name: str) -> dict[str, Any]:
    """What a selector or a network says of itself."""
    known = members(room)
    if name not in known:
        raise ValueError(
            f"the methods section has no words for the {kind} {name!r}: write METHODS in frugalseg.{room}.{name}"
        )
    return known[name]


def _coresets(config: Mapping[str, Any]) -> dict[str, Any]:
    sources = _sources(chain for _, chain, _ in study_models(config))
    amounts: dict[str, set[float]] = {}
    for source in sources:
        if source.subset:
            amounts.setdefault(source.subset.selector, set()).add(float(source.subset.number))
    methods = {name: config["selectors"][name]["method"] for name in amounts}
    words: dict[str, str] = {}
    for name, method in methods.items():
        said = _member("selection", "selector", method)
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


def _sources(chains: Iterable[str]) -> list[Source]:
    return [source for chain in dict.fromkeys(chains) for stage in parse(chain).stages for source in stage.sources]


def _training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Recipes, each once; those of width scans are told with the scans, and networks before their first step elsewhere."""
    recipes = config["recipes"]
    elsewhere = {
        name for block in of_kind(config, "widths").values() if "training" in block for name in _proof_recipes(block)
    }
    elsewhere |= {name for name, recipe in recipes.items() if recipe.get("steps") == 0}
    models = [model for model in with_parents(study_models(config), config) if model[0] not in elsewhere]
    names = list(dict.fromkeys(recipe for recipe, _, _ in models))
    entries = [entry for block in of_kind(config, "experiment").values() for entry in expand(block)]
    return {
        "recipes": [
            _of_models(name, [model for model in models if model[0] == name], recipes)
            for name in names
            if "interpolate" not in recipes[name]
        ],
        "interpolations": {
            name: prose.fragment(literals("training.untrained")["METHODS"], **recipes[name]["interpolate"])
            for name in names
            if "interpolate" in recipes[name]
        },
        "predictions": {
            name: {"of": recipes[name]["weights"], "words": words}
            for name in dict.fromkeys(entry.recipe for entry in entries)
            if "weights" in recipes[name] and (words := _network(recipes[name], "METHODS_PREDICTION"))
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
        facts["target_words"] = _words("target", recipe["target"])
        facts["network"] = _network(recipe, "METHODS")
        facts["network_training"] = _network(recipe, "METHODS_TRAINING")
    if others or None not in parents or "lora" in recipe or "keep" in recipe:
        facts["tuned"] = _tuned_part(Recipe.of(recipe))
    return facts


def _recipe(block: Mapping[str, Any]) -> dict[str, Any]:
    """How a recipe steps and what it draws, with words where it names something."""
    recipe = Recipe.of(block)
    facts = {
        key: getattr(recipe, key) for key in ("compute", "steps", "epochs", "batch", "lr", "crop", "rescale", "average")
    }
    decay = prose.fragment(literals(_SAID_IN["optimiser"])["METHODS_DECAY"], recipe=recipe)
    return facts | {
        "optimiser_words": prose.fragment(_words("optimiser", recipe.optimiser), recipe=recipe, decay=decay),
        "schedule_words": _words("schedule", recipe.schedule),
        "augmentation_words": prose.fragment(_words("augmentation", recipe.augmentation), scales=recipe.scales),
        "diameter": literals(_SAID_IN["augmentation"])["COMMON_DIAMETERS"][recipe.augmentation],
    }


def _network(recipe: Mapping[str, Any], words: str) -> str:
    """What the network of a recipe says of itself; empty where it has nothing to say."""
    family = recipe["arch"].partition("-")[0]
    template = _member("models", "network", family).get(words, "")
    return prose.fragment(template, **{**recipe, **(_built(recipe) if "network." in template else {})})


def _built(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The network of a recipe, without memory for its weights, for words that ask it. This alone needs PyTorch."""
    import torch

    from frugalseg.models.cost import parameters
    from frugalseg.training.stage import build_network

    with torch.device("meta"):
        network = build_network(recipe)
    return {"network": network, "weights": value_text("parameters", parameters(network))}


def _tuned_part(recipe: Recipe) -> str:
    if recipe.keep:
        words = _member("training.keeping", "way of keeping", recipe.keep.method)["METHODS"]
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
    chains = [parse(chain) for chain in dict.fromkeys(chain for _, chain, _ in tuned)]
    replays = [source for chain in chains for source in chain.sources if _seen(source, chain)]
    rates = {float(source.subset.number) for source in replays if source.subset and _is_rate(source)}
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


def _seen(source: Source, chain: Any) -> bool:
    """Whether an earlier stage of a chain has seen the dataset of a source."""
    return any(source.dataset == earlier.dataset for stage in chain.stages[:-1] for earlier in stage.sources)


def _is_rate(source: Source) -> bool:
    return source.subset.selector not in IMAGE_SELECTORS


def _scans(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Width scans; those that differ in their dataset alone are told together."""
    alike: list[tuple[dict[str, Any], list[str]]] = []
    for block in of_kind(config, "widths").values():
        own = ("title", "caption", "dataset", "published")
        settings = {key: value for key, value in block.items() if key not in own}
        datasets = next((names for known, names in alike if known == settings), None)
        if datasets is None:
            alike.append((settings, [block["dataset"]]))
        else:
            datasets.append(block["dataset"])
    return [{**settings, **_proof(settings, config), "datasets": datasets} for settings, datasets in alike]


def _proof(scan: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    if "training" not in scan:
        return {"training": None}
    training = scan["training"]
    return {
        "recipe": _recipe(config["recipes"][training["recipe"]]),
        "trained_caps": training.get("caps", scan["caps"]),
        "peers": [_network({"arch": peer}, "METHODS") for peer in training["peers"]],
    }


def _proof_recipes(block: Mapping[str, Any]) -> list[str]:
    return [f"{block['training']['recipe']}-{network}" for network in width_networks(block)]
