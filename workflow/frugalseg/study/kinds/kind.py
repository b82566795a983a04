"""What every kind of question says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from frugalseg.study.keys import Keys
from frugalseg.study.lineage import Score
from frugalseg.study.messages import Problem

Block = Mapping[str, Any]
Study = Mapping[str, Any]


def nothing(*_: Any) -> dict[str, Any]:
    """What a kind needs that needs no more."""
    return {}


@dataclass(frozen=True)
class Kind:
    """A kind of question. Functions take a completed block, and the completed study where it is needed.

    Attributes
    ----------
    keys : type
        The class of its blocks.
    answer : str
        Module of `frugalseg.answers` that answers it.
    scores : callable
        (block, study) -> every model with the dataset whose test images it is scored on.
    problems : callable
        (name, block, study) -> what is wrong with a block that its class has accepted, below ``questions.{name}``.
    chains : callable
        block -> key, chain: every chain that it names, in words that may be wrong still.
    tuning : callable
        As `scores`, on training images that are kept aside to choose by.
    files : callable
        (name, block, study) -> what else is read, by name; ``<results>`` stands for the study's folder.
    settings : callable
        (block, study) -> what is needed of the study beside the block.
    recipes : callable
        (block, recipes) -> recipes that it makes from others.
    rule : callable
        block -> the rule that writes its answer.
    in_words : bool
        Whether its answer has sentences for the first page.
    knows_seeds : bool
        Whether its answer reads what the models of the study say of seeds.
    """

    keys: type[Keys]
    answer: str
    scores: Callable[[Block, Study], Iterable[Score]]
    problems: Callable[[str, Block, Study], Iterable[Problem]]
    chains: Callable[[Block], Iterable[tuple[str, str]]]
    tuning: Callable[[Block, Study], Iterable[Score]] = nothing
    files: Callable[[str, Block, Study], dict[str, list[str]]] = nothing
    settings: Callable[[Block, Study], dict[str, Any]] = nothing
    recipes: Callable[[Block, Mapping[str, Any]], dict[str, dict[str, Any]]] = nothing
    rule: Callable[[Block], str] = lambda block: "answer"
    in_words: bool = True
    knows_seeds: bool = False
