"""Networks and what they learn, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from frugalseg.models.cost import parameters
from frugalseg.models.ucell import UCell
from frugalseg.reporting.formats import listing, number, plural, value_text, words_for
from frugalseg.reporting.references import References
from frugalseg.training.stage import build_network

NAMES = {"tinyunet": "TinyU-Net", "unext": "UNeXt", "cmunext": "CMUNeXt"}
"""Networks without sizes to choose; each is cited by its key."""

TARGETS = {
    "flows": "flows towards cell centres and the probability of a cell",
    "unit_flows": "unit flows towards cell centres, by half their squared error inside cells, and the probability of a cell, by "
    "a tenth of its cross-entropy",
    "foreground": "foreground against background",
}

_ROTARY = {1: "along the flattened grid of tokens", 2: "by row and column"}


def network(recipe: Mapping[str, Any], references: References) -> str:
    """The network of a recipe, as the subject of a sentence."""
    family = recipe["arch"].partition("-")[0]
    if family in NAMES:
        return peer(family, references)
    return words_for(family, _SIZED, "network")(recipe, references)


def peer(name: str, references: References) -> str:
    """A network of `NAMES`, cited."""
    return f"{NAMES[name]} {references.cite(name)}"


def recursion(recipe: Mapping[str, Any]) -> str:
    """Sentences about the cycles of a recursive network; empty for all others."""
    if recipe["arch"] != "ucell":
        return ""
    built = ucell_of(recipe)
    supervised, outer, inner = built.recursion
    backward = f", the last {number(inner)} of them with gradient" if outer > 1 else ""
    state = "the state carried from one to the next" if built.carry else "each from the initial state"
    sentences = [
        f"Every batch made {plural(supervised, 'supervised step')} of {plural(outer * inner, 'cycle')}{backward}"
        f"{f', {state}' if supervised > 1 else ''}; predictions took {plural(built.cycles, 'cycle')}."
    ]
    if built.halting:
        sentences.append(
            f"Images whose flow error fell below {built.halting:g} left their batch, half of them after every step."
        )
    return " ".join(sentences)


def ucell_of(recipe: Mapping[str, Any]) -> UCell:
    """The network of a recipe with the arch ``ucell``, without memory for its weights."""
    with torch.device("meta"):
        return build_network(recipe)


def _cpnet(recipe: Mapping[str, Any], references: References) -> str:
    widths = listing(map(str, recipe["widths"]))
    return f"The residual U-Net of Cellpose {references.cite('cellpose')} with {widths} channels"


def _unet(recipe: Mapping[str, Any], references: References) -> str:
    cap = recipe["arch"].partition("-cap")[2]
    capped = f", its widths capped at {plural(int(cap), 'channel')}," if cap else ""
    return f"The U-Net of nnU-Net's plan {references.cite('nnunet')}{capped}"


def _ucell(recipe: Mapping[str, Any], references: References) -> str:
    built = ucell_of(recipe)
    return (
        f"UCell {references.cite('ucell')}, {plural(len(built.transformer), 'transformer block')} of {built.hidden} channels "
        f"applied again and again to {'its' if len(built.transformer) == 1 else 'their'} own state, with "
        f"{plural(built.task_emb.registers, 'register')}, rotary positions {_ROTARY[built.rotary]} and "
        f"{value_text('parameters', parameters(built))} weights in all,"
    )


_SIZED: dict[str, Callable[[Mapping[str, Any], References], str]] = {"cpnet": _cpnet, "unet": _unet, "ucell": _ucell}
