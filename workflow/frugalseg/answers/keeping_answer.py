"""How to keep the old: which candidate each arm takes, what it keeps and learns, and the one model to take."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from frugalseg.answers.keeping_data import MeasuredWay
from frugalseg.statistics.intervals import Estimate, crossed_mean
from frugalseg.statistics.pareto import pareto_front
from frugalseg.study.arms import Candidate


@dataclass(frozen=True)
class Tuned:
    """Mean scores over seeds and tuning images.

    Attributes
    ----------
    source, target : float
        On either dataset.
    mean : float
        Of both, weighed as the config says: what everything is chosen by.
    """

    source: float
    target: float
    mean: float


@dataclass(frozen=True)
class Way:
    """The start or a candidate, with everything that is said of it.

    Attributes
    ----------
    candidate : Candidate
    trained : bool
        Whether a training was spent on it; none is on an interpolation between models.
    tuned : Tuned
    source, target : Estimate
        Mean scores on the test images of either dataset.
    kept, gained : Estimate
        The same less those of the start, paired by seed and image.
    to_reference : Estimate
        The score on the target less that of the first arm's candidate.
    """

    candidate: Candidate
    trained: bool
    tuned: Tuned
    source: Estimate
    target: Estimate
    kept: Estimate
    gained: Estimate
    to_reference: Estimate


@dataclass(frozen=True)
class Arm:
    """An arm's candidates, the one that tuning images choose, and the model to take: that one or the start."""

    name: str
    ways: tuple[Way, ...]
    chosen: Way
    take: Way

    @property
    def trainings(self) -> int:
        """Candidates that were trained."""
        return sum(way.trained for way in self.ways)


@dataclass(frozen=True)
class Answer:
    """What is said of a block of ``keeping``.

    Attributes
    ----------
    start : Way
    arms : tuple of Arm
        The first is the reference.
    recommended : Way or None
        The start or the candidate, of any arm, that is best on the tuning images; None where all models score 0 on them.
    front : tuple of Way
        Of the start and the chosen candidates those on the Pareto front of the test images, from the least kept on.
    seeds : int
    tuning_images, test_images : tuple of int
        Of the source and of the target.
    """

    start: Way
    arms: tuple[Arm, ...]
    recommended: Way | None
    front: tuple[Way, ...]
    seeds: int
    tuning_images: tuple[int, int]
    test_images: tuple[int, int]

    @property
    def ways(self) -> tuple[Way, ...]:
        """All candidates of all arms."""
        return tuple(way for arm in self.arms for way in arm.ways)


def answer(measured: Sequence[MeasuredWay], block: Mapping[str, Any], untrained: Collection[str]) -> Answer:
    """Work out what arms keep and learn, and choose among them.

    Parameters
    ----------
    measured : sequence of MeasuredWay
        The start, then all candidates.
    block : mapping
        The block of ``keeping`` in the config; its ``source_weight`` is used.
    untrained : collection of str
        Recipes that train nothing: they interpolate between models, or take the weights of others.

    Returns
    -------
    Answer
        Every choice is the largest weighed mean on the tuning images, the first of equal ones, the start before all: test
        images choose nothing.
    """
    tuned = [_tuned(way, block["source_weight"]) for way in measured]
    start = measured[0]
    by_arm: dict[str, list[int]] = {}
    for number, way in enumerate(measured[1:], 1):
        by_arm.setdefault(way.candidate.arm, []).append(number)

    def best(numbers: Sequence[int]) -> int:
        return max(numbers, key=lambda number: tuned[number].mean)

    reference = measured[best(next(iter(by_arm.values())))]
    ways = [
        _way(way, scores, start, reference, trained=way.candidate.recipe not in untrained)
        for way, scores in zip(measured, tuned, strict=True)
    ]
    arms = tuple(
        Arm(name, tuple(ways[n] for n in numbers), ways[best(numbers)], ways[best([0, *numbers])])
        for name, numbers in by_arm.items()
    )
    return Answer(
        start=ways[0],
        arms=arms,
        recommended=ways[best(range(len(ways)))] if any(way.source or way.target for way in tuned) else None,
        front=_front([ways[0], *(arm.chosen for arm in arms)]),
        seeds=len(start.test.source),
        tuning_images=(start.tuning.source.shape[1], start.tuning.target.shape[1]),
        test_images=(start.test.source.shape[1], start.test.target.shape[1]),
    )


def to_table(found: Answer) -> pd.DataFrame:
    """Everything measured and chosen as one tidy table.

    Returns
    -------
    pd.DataFrame
        A row for the start and one a candidate. ``trained``: whether a training was spent on it; ``candidates`` and
        ``trainings``: the budget of its arm. ``tuning`` is the weighed mean of ``tuning_source`` and ``tuning_target``.
        ``chosen``: the best of its arm by that; ``beats_start``: better by that than the start, which otherwise is the model
        to take; ``recommended``: the one to take of all. ``source`` and ``target``: means on test images;
        ``source_difference`` and ``target_difference`` are to the start, ``target_to_reference`` to the first arm. All with
        the ends of their intervals. ``front``: on the Pareto front of the start and the chosen; empty of others.
    """
    rows = [_row(found.start, found)]
    for arm in found.arms:
        budget = {"candidates": len(arm.ways), "trainings": arm.trainings}
        rows += [_row(way, found) | budget | {"chosen": way is arm.chosen} for way in arm.ways]
    columns = ["arm", "label", "recipe", "chain", "trained", "candidates", "trainings"]
    table = pd.DataFrame(rows).astype({"candidates": "Int64", "trainings": "Int64", "chosen": "boolean"})
    return table[columns + [column for column in table.columns if column not in columns]]


def _tuned(way: MeasuredWay, source_weight: float) -> Tuned:
    source, target = float(way.tuning.source.mean()), float(way.tuning.target.mean())
    return Tuned(source, target, source_weight * source + (1 - source_weight) * target)


def _way(way: MeasuredWay, tuned: Tuned, start: MeasuredWay, reference: MeasuredWay, *, trained: bool) -> Way:
    # All models of a seed go on from the same start: pairing by seed too takes out what they have in common.
    return Way(
        candidate=way.candidate,
        trained=trained,
        tuned=tuned,
        source=crossed_mean(way.test.source),
        target=crossed_mean(way.test.target),
        kept=crossed_mean(way.test.source - start.test.source),
        gained=crossed_mean(way.test.target - start.test.target),
        to_reference=crossed_mean(way.test.target - reference.test.target),
    )


def _front(ways: Sequence[Way]) -> tuple[Way, ...]:
    """Those that no other beats, from the least kept on; the first of equal ones first."""
    on_it = pareto_front([(way.source.value, way.target.value) for way in ways])
    kept = [way for way, on in zip(ways, on_it, strict=True) if on]
    return tuple(sorted(kept, key=lambda way: way.source.value))


def _row(way: Way, found: Answer) -> dict[str, Any]:
    compared = way is found.start or any(way is arm.chosen for arm in found.arms)
    return {
        "arm": way.candidate.arm,
        "label": way.candidate.label,
        "recipe": way.candidate.recipe,
        "chain": way.candidate.chain,
        "trained": way.trained,
        "tuning_source": way.tuned.source,
        "tuning_target": way.tuned.target,
        "tuning": way.tuned.mean,
        "beats_start": way.tuned.mean > found.start.tuned.mean,
        "recommended": way is found.recommended,
        **_ends("source", way.source),
        **_ends("target", way.target),
        **_ends("source_difference", way.kept),
        **_ends("target_difference", way.gained),
        **_ends("target_to_reference", way.to_reference),
        "front": any(way is other for other in found.front) if compared else None,
    }


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
