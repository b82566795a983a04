"""What every table and figure of a study was made of, gathered from the descriptions of its models."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from frugalseg.plan.models import Model, folder_of, requested_models, with_parents
from frugalseg.study.kinds import asked_of

_USED_BY_ALL = ("patches", "features", "bins", "selectors")


def record_of(
    kind: str, name: str, config: Mapping[str, Any], hashes: Mapping[str, str], made_on: Mapping[str, Any]
) -> dict:
    """Provenance of a file of ``tables`` or ``figures``, in JSON types, from its study and the SHA-256 of every checkpoint.

    It has the config keys used; every model with its chain, recipe, seed and hash; of the models together the versions,
    revisions and devices (more than one where they differ), wall seconds, and joules by counter where the devices told them;
    and what the process that writes tables runs on (`frugalseg.runtime.provenance.surroundings`).
    """
    models = models_of(kind, name, config)
    described = [description_of(model, config) for model in models]
    return {
        "kind": kind,
        "name": name,
        "study": config["study"],
        "config": _keys_used(kind, name, models, config),
        "models": [
            {**dict(zip(("recipe", "chain", "seed"), model, strict=True)), "sha256": hashes[_weights(model, config)]}
            for model in models
        ],
        "trained_on": {
            key: _distinct(description.get(key) for description in described)
            for key in ("versions", "revision", "device", "threads", "precision")
        },
        "seconds": round(sum(description["seconds"] for description in described), 3),
        "joules": _joules(described),
        "tabulated_on": dict(made_on),
    }


def models_of(kind: str, name: str, config: Mapping[str, Any]) -> list[Model]:
    """The models behind a table or a figure, parents first."""
    requested = requested_models(config)
    if name in requested:
        return with_parents(requested[name], config)
    # The other figures show patches and their features; the other tables stand for the whole study.
    return [] if kind == "figures" else models_of_study(config)


def models_of_study(config: Mapping[str, Any]) -> list[Model]:
    """Every model of a study, parents of fine-tuned ones among them."""
    return with_parents([model for names in requested_models(config).values() for model in names], config)


def files_of_models(config: Mapping[str, Any]) -> list[str]:
    """Checkpoint and description of every model of a study."""
    folders = [folder_of(model, "models", config) for model in models_of_study(config)]
    return [str(folder / file) for folder in folders for file in ("model.pt", "model.json")]


def description_of(model: Model, config: Mapping[str, Any]) -> dict[str, Any]:
    """What lies beside a model, see `frugalseg.runtime.provenance.describe`."""
    return json.loads((folder_of(model, "models", config) / "model.json").read_text(encoding="utf-8"))


def _keys_used(kind: str, name: str, models: Iterable[Model], config: Mapping[str, Any]) -> dict[str, Any]:
    block = asked_of(config).get(name, config["figures"].get(name) if kind == "figures" else None)
    recipes = dict.fromkeys(recipe for recipe, _, _ in models)
    return {
        **({"block": block} if block else {}),
        "recipes": {recipe: config["recipes"][recipe] for recipe in recipes},
        "datasets": config["datasets"],
        **{key: config[key] for key in _USED_BY_ALL},
    }


def _weights(model: Model, config: Mapping[str, Any]) -> str:
    return str(folder_of(model, "models", config) / "model.pt")


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Values in the order of their first appearance, each once."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def _joules(described: Iterable[Mapping[str, Any]]) -> dict[str, float] | None:
    """Joules by counter over all models; None where one of them does not know."""
    known = [description.get("joules") for description in described]
    total: Counter[str] = Counter()
    for joules in known if all(known) else ():
        total.update(joules)
    return dict(total) or None
