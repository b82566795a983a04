"""Arms: ways to learn a target dataset from a start and to keep a source dataset, each with its candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

START = "the start"
"""What tables and figures call the model that is fine-tuned."""


@dataclass(frozen=True)
class Candidate:
    """One way to train, of which an arm has one or more; the start is one too.

    Attributes
    ----------
    arm : str
        Name of its arm; `START` of the start.
    label : str
        What tells it from the other candidates of its arm; empty where there is none and nothing is said.
    recipe, chain : str
        Its models, one a seed.
    """

    arm: str
    label: str
    recipe: str
    chain: str

    @property
    def title(self) -> str:
        """Arm and label as sentences name them: ``replay (5 %)``."""
        return f"{self.arm} ({self.label})" if self.label else self.arm


def start_of(block: Mapping[str, Any]) -> Candidate:
    """The model that all candidates of a block of ``keeping`` are fine-tuned from."""
    return Candidate(START, "", block["recipe"], block["start"])


def candidates_of(block: Mapping[str, Any]) -> list[Candidate]:
    """Candidates of all arms of a block of ``keeping``, arm by arm, in the order of the config.

    One without a label has its chain for one, and its recipe where it names one; the only candidate of its arm needs none.
    """
    return [_candidate(block, arm, item) for arm, items in block["arms"].items() for item in items]


def keeping_models(block: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Every (recipe, chain, seed) that a block of ``keeping`` scores, each once, the start's first."""
    ways = [start_of(block), *candidates_of(block)]
    return list(dict.fromkeys((way.recipe, way.chain, seed) for way in ways for seed in block["seeds"]))


def tuning_datasets(config: Mapping[str, Any]) -> list[str]:
    """Datasets of which training images are kept aside: those that a block of ``keeping`` chooses by, in its order."""
    blocks = config["keeping"].values()
    return list(dict.fromkeys(block[role] for block in blocks for role in ("source", "target")))


def keeping_requests(block: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, int], str]]:
    """Every model with each of the two datasets that it is scored on, in order."""
    for model in keeping_models(block):
        for dataset in (block["source"], block["target"]):
            yield model, dataset


def _candidate(block: Mapping[str, Any], arm: str, item: Mapping[str, str]) -> Candidate:
    named = f"{item['chain']}, {item['recipe']}" if "recipe" in item else item["chain"]
    label = item.get("label", named if len(block["arms"][arm]) > 1 else "")
    return Candidate(arm, label, item.get("recipe", block["recipe"]), item["chain"])
