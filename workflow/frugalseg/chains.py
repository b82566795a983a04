"""The chain grammar: the way a model was trained, written as its name.

    chain  = stage ("_to_" stage)*         stages in order, each fine-tunes the one before
    stage  = source ("+" source)*          trained jointly on the union
    source = dataset ["@" subset]          dataset: [a-z][a-z0-9]*
    subset = selector number ["x" share]   dq10 | random5 (percent) | few3 (images); share: percent of every batch

Numbers have one spelling (no leading or trailing zeros), so that one model has one name and
``str(parse(text)) == text`` for every text that parses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from frugalseg.runtime.literals import members

DATASET = r"[a-z][a-z0-9]*"
NUMBER = r"(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?"
SUBSET = rf"[a-z]+{NUMBER}(?:x{NUMBER})?"
SOURCE = rf"{DATASET}(?:@{SUBSET})?"
STAGE = rf"{SOURCE}(?:\+{SOURCE})*"
#: The whole grammar as one regular expression: the constraint of Snakemake's wildcard ``{chain}``.
CHAIN = rf"{STAGE}(?:_to_{STAGE})*"

_SELECTORS = members("selection")
#: Selectors whose number counts images; the number of every other selector is a rate in percent.
IMAGE_SELECTORS = frozenset(name for name, constants in _SELECTORS.items() if constants.get("COUNTS") == "images")
#: Selectors whose number names one of the subsets that the dataset's publishers list.
LISTED_SELECTORS = frozenset(name for name, constants in _SELECTORS.items() if constants.get("COUNTS") == "listed")
#: Methods of selection that depend on the run's seed and need no features; the others give one order for all runs.
SEEDED_METHODS = frozenset(name for name, constants in _SELECTORS.items() if constants["NEEDS"] == "seed")
#: Methods of selection that ask a model of the study, and need no features either.
ASKING_METHODS = frozenset(name for name, constants in _SELECTORS.items() if constants["NEEDS"] == "model")

_SOURCE_PARTS = re.compile(
    rf"(?P<dataset>{DATASET})(?:@(?P<selector>[a-z]+)(?P<number>{NUMBER})(?:x(?P<share>{NUMBER}))?)?"
)


class ChainError(ValueError):
    """A text that is not a chain; the message quotes the culprit."""


@dataclass(frozen=True)
class Subset:
    """A part of a dataset, e.g. ``dq5x25``.

    Attributes
    ----------
    selector : str
        Name of the selector that puts the patches in order.
    number : str
        The rate in percent of the patches, in (0, 100], or, for `IMAGE_SELECTORS`, the number of images.
    share : str or None
        Percent of every batch that this source fills, in (0, 100); None draws it in proportion to its patches.
    """

    selector: str
    number: str
    share: str | None = None

    def __str__(self) -> str:
        return f"{self.selector}{self.number}" + (f"x{self.share}" if self.share else "")


@dataclass(frozen=True)
class Source:
    """A dataset, or a subset of one, that a stage trains on."""

    dataset: str
    subset: Subset | None = None

    @property
    def share(self) -> float | None:
        """Percent of every batch reserved for this source, or None."""
        return float(self.subset.share) if self.subset and self.subset.share else None

    def __str__(self) -> str:
        return self.dataset + (f"@{self.subset}" if self.subset else "")


@dataclass(frozen=True)
class Stage:
    """Sources that are trained on jointly."""

    sources: tuple[Source, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.sources))


@dataclass(frozen=True)
class Chain:
    """A trained model by the way it was trained: stages in order, each fine-tuning the one before."""

    stages: tuple[Stage, ...]

    @property
    def parent(self) -> Chain | None:
        """The chain without its last stage, or None for a first stage."""
        return Chain(self.stages[:-1]) if len(self.stages) > 1 else None

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources of the last stage: what this model is trained on once its parent is there."""
        return self.stages[-1].sources

    def lineage(self) -> Iterator[Chain]:
        """This chain, its parent, the parent's parent, down to the first stage."""
        chain: Chain | None = self
        while chain is not None:
            yield chain
            chain = chain.parent

    def learned_at(self) -> dict[str, int]:
        """Dataset -> number, counted from 1, of the stage that is the first to be trained on it, in this order."""
        learned: dict[str, int] = {}
        for number, stage in enumerate(self.stages, 1):
            for source in stage.sources:
                learned.setdefault(source.dataset, number)
        return learned

    def __str__(self) -> str:
        return "_to_".join(map(str, self.stages))


def parse(text: str) -> Chain:
    """Read a chain from its name.

    Parameters
    ----------
    text : str
        For example ``"cyto_to_histo+cyto@dq5x25"``.

    Returns
    -------
    Chain
        With ``str(chain) == text``.

    Raises
    ------
    ChainError
        When the text does not follow the grammar, a rate is outside (0, 100], a number of images is not a
        positive integer, a stage names a dataset twice, or the shares of a stage leave no room for the rest.
    """
    return Chain(tuple(_parse_stage(stage, text) for stage in text.split("_to_")))


def _parse_stage(text: str, chain: str) -> Stage:
    sources = tuple(_parse_source(source, chain) for source in text.split("+"))
    datasets = [source.dataset for source in sources]
    for dataset in datasets:
        if datasets.count(dataset) > 1:
            raise ChainError(f"chain {chain!r}: the stage {text!r} names the dataset {dataset!r} twice")
    _check_shares(sources, text, chain)
    return Stage(sources)


def _parse_source(text: str, chain: str) -> Source:
    match = _SOURCE_PARTS.fullmatch(text)
    if not match:
        raise ChainError(
            f"chain {chain!r}: {text!r} is not a source; write a dataset (lower-case letters and digits) with, if you like, "
            "a subset such as @dq10, @random5, @few3 or @dq5x25 (no leading or trailing zeros in numbers)"
        )
    if match["selector"] is None:
        return Source(match["dataset"])
    subset = Subset(match["selector"], match["number"], match["share"])
    _check_number(subset, text, chain)
    return Source(match["dataset"], subset)


def _check_number(subset: Subset, source: str, chain: str) -> None:
    number = Fraction(subset.number)
    if subset.selector in IMAGE_SELECTORS:
        if number.denominator != 1 or number < 1:
            raise ChainError(
                f"chain {chain!r}: {source!r} asks for {subset.number} images; a whole number from 1 on is needed"
            )
    elif not 0 < number <= 100:
        raise ChainError(
            f"chain {chain!r}: {source!r} has the rate {subset.number}; a rate is a percentage in (0, 100]"
        )


def _check_shares(sources: tuple[Source, ...], stage: str, chain: str) -> None:
    shares = [source.share for source in sources if source.share is not None]
    for share in shares:
        if not 0 < share < 100:
            raise ChainError(
                f"chain {chain!r}: the stage {stage!r} has the share {share:g}; a share is a percentage in (0, 100)"
            )
    if len(shares) == len(sources) and shares and sum(shares) != 100:
        raise ChainError(
            f"chain {chain!r}: every source of {stage!r} has a share, but they add up to {sum(shares):g}, not 100"
        )
    if len(shares) < len(sources) and sum(shares) >= 100:
        raise ChainError(
            f"chain {chain!r}: the shares of {stage!r} add up to {sum(shares):g}; nothing is left for the other sources"
        )
