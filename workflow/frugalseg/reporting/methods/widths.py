"""Width scans, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugalseg.reporting.formats import listing, number, plural
from frugalseg.reporting.methods.networks import peer
from frugalseg.reporting.methods.optimisation import optimisation
from frugalseg.reporting.references import References


def widths(config: Mapping[str, Any], references: References) -> str:
    """How the width of a network was chosen, and how the choice was proved; empty where there is no scan."""
    # Scans that differ in their dataset alone are told together.
    alike: list[tuple[dict[str, Any], list[str]]] = []
    for block in config["widths"].values():
        settings = {
            key: value for key, value in block.items() if key not in ("title", "caption", "dataset", "published")
        }
        datasets = next((names for known, names in alike if known == settings), None)
        if datasets is None:
            alike.append((settings, [block["dataset"]]))
        else:
            datasets.append(block["dataset"])
    return " ".join(_width(settings, datasets, config, references) for settings, datasets in alike)


def _width(block: Mapping[str, Any], datasets: list[str], config: Mapping[str, Any], references: References) -> str:
    caps = sorted(block["caps"], reverse=True)
    named = listing(f"*{name}*" for name in datasets)
    sentences = [
        f"The width of a network for {named} was chosen without training as XTinyU-Net does "
        f"{references.cite('xtinyunet')}: U-Nets of nnU-Net's plan {references.cite('nnunet')} for {block['crop']} × "
        f"{block['crop']} pixels, their widths capped at {listing(map(str, caps))} channels, were scored untrained in "
        f"{plural(len(block['seeds']), 'initialisation')} on {plural(block['images'], 'unlabelled crop')} by "
        f"{_scores(block['scores'])}, and uncertainty was estimated from {block['draws']:,} bootstrap draws."
    ]
    if "training" in block:
        training = block["training"]
        recipe = config["recipes"][training["recipe"]]
        trained = sorted(training.get("caps", block["caps"]), reverse=True)
        peers = [peer(name, references) for name in training["peers"]]
        beside = f", beside {listing(peers)}," if peers else ""
        sentences.append(
            f"For comparison the networks capped at {listing(map(str, trained))}{beside} were trained in "
            f"{plural(len(training['seeds']), 'run')} each to tell foreground from background. "
            f"They were trained {optimisation(recipe, '', references)}"
            f" A loss of up to {training['margin']:g} in Dice against the widest network was counted as none."
        )
    return " ".join(sentences)


def _scores(scores: list[str]) -> str:
    named = {"sensitivity": "input sensitivity (the norm of the gradient of the output with respect to the input)"}
    others = [score for score in scores if score != "sensitivity"]
    own = [named[score] for score in scores if score in named]
    rivals = [f"{number(len(others))} rival score{'' if len(others) == 1 else 's'}"] if others else []
    return listing([*own, *rivals])
