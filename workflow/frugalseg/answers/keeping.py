"""How to keep the old while learning the new: what every arm keeps and learns, and the one model to take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from frugalseg.answers.answer import Answer, Asked, Score
from frugalseg.answers.keeping_figure import draw_trade_off
from frugalseg.answers.scores import read_scores
from frugalseg.answers.seeds import Seeds
from frugalseg.chains import Source, parse
from frugalseg.reporting import prose
from frugalseg.reporting.formats import with_ends
from frugalseg.statistics.intervals import Estimate, crossed_mean, crossed_mean_of_sets, paired_difference
from frugalseg.statistics.pareto import pareto_front
from frugalseg.statistics.seed_variance import fit_prior
from frugalseg.study.kinds.keeping import Candidate, candidates_of, start_of
from frugalseg.study.metrics import metric_of

# Level of an interval of one standard error.
_ONE_ERROR = 0.683


@dataclass(frozen=True)
class Scores:
    """(seeds, images) of one candidate on the dataset to keep, and on the one to learn."""

    source: NDArray[np.float64]
    target: NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredWay:
    """The start or a candidate, with its scores on the images that choose and on those that do not."""

    candidate: Candidate
    tuning: Scores
    test: Scores


@dataclass(frozen=True)
class Tuned:
    """Means over seeds and tuning images; `mean` weighs both as the config says, and everything is chosen by it."""

    source: float
    target: float
    mean: float


@dataclass(frozen=True, order=True)
class Cost:
    """What a way takes beyond the start: patches that it trains on, and percent of the old ones to keep for it."""

    trained_on: float
    old: float


@dataclass(frozen=True)
class Way:
    """The start or a candidate, with everything that is said of it.

    `source` and `target` are means on test images; `kept` and `gained` the same less those of the start, paired by seed and
    image; `to_reference` is the score on the target less that of the first arm's choice. `trained`: a training was spent.
    `behind` is how far it lies behind the best on tuning images, `near` whether that is within one standard error.
    """

    candidate: Candidate
    trained: bool
    tuned: Tuned
    source: Estimate
    target: Estimate
    kept: Estimate
    gained: Estimate
    to_reference: Estimate
    behind: Estimate
    near: bool
    cost: Cost


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
class Found:
    """What is said of a keeping question; the first arm is the reference.

    `best` is the best way of all on tuning images, `group` the choices within one standard error of it, the best first;
    `recommended` is the cheapest of these, None where all models score 0 on tuning images. `front` are the choices that no
    other beats on test images, from the least kept on. `replicated` models of the study say how much seeds vary there, 0 where
    too few do. Numbers of images are those of the source and of the target.
    """

    start: Way
    arms: tuple[Arm, ...]
    best: Way
    group: tuple[Way, ...]
    recommended: Way | None
    front: tuple[Way, ...]
    seeds: int
    replicated: int
    tuning_images: tuple[int, int]
    test_images: tuple[int, int]

    @property
    def ways(self) -> tuple[Way, ...]:
        """All candidates of all arms."""
        return tuple(way for arm in self.arms for way in arm.ways)

    @property
    def choices(self) -> tuple[Way, ...]:
        """The start and what every arm chose."""
        return (self.start, *(arm.chosen for arm in self.arms))


def answer(asked: Asked) -> Answer:
    """Which of all ways to learn the target to take; of the settings ``recipes`` is used."""
    block = asked.block
    known = tuple(asked.seeds_on(block[dataset], block["metric"]) for dataset in ("source", "target"))
    found = decide(read_ways(block, asked.metrics, asked.tuning), block, asked.settings["recipes"], known)
    said = sentences(found, block)
    figure = draw_trade_off(found, block, said[0])
    return Answer(to_table(found), to_markdown(found, block), block["title"], said, figure)


def read_ways(
    block: Mapping[str, Any], metrics: Mapping[Score, str | Path], tuning: Mapping[Score, str | Path]
) -> list[MeasuredWay]:
    """Read the scores of the start, then of all candidates in the order of the config."""
    ways, seeds = [start_of(block), *candidates_of(block)], block["seeds"]

    def read(files: Mapping[Score, str | Path], dataset: str) -> NDArray[np.float64]:
        paths = [files[(way.recipe, way.chain, seed), dataset] for way in ways for seed in seeds]
        return read_scores(paths, block["metric"]).reshape(len(ways), len(seeds), -1)

    tunings, tests = (
        map(Scores, read(files, block["source"]), read(files, block["target"])) for files in (tuning, metrics)
    )
    return [MeasuredWay(*measured) for measured in zip(ways, tunings, tests, strict=True)]


def decide(
    measured: Sequence[MeasuredWay],
    block: Mapping[str, Any],
    recipes: Mapping[str, Mapping[str, Any]],
    known: tuple[Seeds, Seeds] = (Seeds(), Seeds()),
) -> Found:
    """Work out what arms keep and learn, and choose among them.

    An arm chooses the largest weighed mean on tuning images, the first of equal ones, the start before all: test images
    choose nothing. Of the choices within one standard error of the best (Breiman et al. 1984) the cheapest is recommended.
    `known` is what the study knows of seeds on the test images of the source and of the target.
    """
    tuned = [_tuned(way, block["source_weight"]) for way in measured]
    by_arm: dict[str, list[int]] = {}
    for number, way in enumerate(measured[1:], 1):
        by_arm.setdefault(way.candidate.arm, []).append(number)

    def best(numbers: Iterable[int]) -> int:
        return max(numbers, key=lambda number: tuned[number].mean)

    first = best(range(len(measured)))
    behind = _behind(measured, first, block["source_weight"])
    reference = measured[best(next(iter(by_arm.values())))]
    ways = [
        Way(
            candidate=way.candidate,
            trained=not {"interpolate", "weights"} & recipes.get(way.candidate.recipe, {}).keys(),
            tuned=scores,
            behind=interval,
            near=near,
            cost=cost(way.candidate, block, recipes),
            **_on_tests(way, measured[0], reference, known),
        )
        for way, scores, (interval, near) in zip(measured, tuned, behind, strict=True)
    ]
    arms = tuple(
        Arm(name, tuple(ways[n] for n in numbers), ways[best(numbers)], ways[best([0, *numbers])])
        for name, numbers in by_arm.items()
    )
    choices = [ways[0], *(arm.chosen for arm in arms)]
    group = sorted((way for way in choices if way.near), key=lambda way: -way.tuned.mean)
    return Found(
        start=ways[0],
        arms=arms,
        best=ways[first],
        group=tuple(group),
        recommended=min(group, key=lambda way: way.cost) if any(way.source or way.target for way in tuned) else None,
        front=_front(choices),
        seeds=len(measured[0].test.source),
        replicated=min(seeds.models for seeds in known) if all(seeds.prior for seeds in known) else 0,
        tuning_images=(measured[0].tuning.source.shape[1], measured[0].tuning.target.shape[1]),
        test_images=(measured[0].test.source.shape[1], measured[0].test.target.shape[1]),
    )


def to_table(found: Found) -> pd.DataFrame:
    """Everything measured and chosen, tidy: a row for the start and one a candidate.

    ``candidates`` and ``trainings`` are the budget of its arm. ``tuning`` is the weighed mean of ``tuning_source`` and
    ``tuning_target``. ``chosen``: the best of its arm by that; ``beats_start``: better by that than the start. Differences
    are to the start, ``target_to_reference`` to the first arm. ``behind``: the best less this, on tuning images; ``near``:
    within one standard error. ``front`` is empty of what no arm chose.
    """
    rows = [_row(found.start, found)]
    for arm in found.arms:
        budget = {"candidates": len(arm.ways), "trainings": arm.trainings}
        rows += [_row(way, found) | budget | {"chosen": way is arm.chosen} for way in arm.ways]
    columns = ["arm", "label", "recipe", "chain", "trained", "candidates", "trainings"]
    table = pd.DataFrame(rows).astype({"candidates": "Int64", "trainings": "Int64", "chosen": "boolean"})
    return table[columns + [column for column in table.columns if column not in columns]]


def sentences(found: Found, block: Mapping[str, Any]) -> list[str]:
    """The answer in words: the model to take, what the first arm does, the Pareto front, then what speaks against it."""
    return prose.sentences("keeping", **_values(found, block))


def to_markdown(found: Found, block: Mapping[str, Any]) -> str:
    """The page: the answer, then the arms, then for each of them whether it is better than the start."""
    said = sentences(found, block)
    return prose.page("keeping", question=block["title"], caption=block["caption"], said=said, **_values(found, block))


def _values(found: Found, block: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is filled with."""
    taken, first = found.recommended, found.arms[0]
    values = {
        "found": found,
        "block": block,
        "start": found.start,
        "first": first,
        "source": block["source"],
        "target": block["target"],
        "metric": metric_of(block["metric"]).name,
        "front": [way.candidate.arm for way in found.front],
        "beaten": len(found.choices) - len(found.front),
        "worse": [arm.name for arm in found.arms if arm.take is found.start],
        "rows": [(found.start, None), *((arm.chosen, arm) for arm in found.arms)],
    }
    if taken is None:
        return values
    weight = block["source_weight"]

    def mean(way: Way) -> float:
        return weight * way.source.value + (1 - weight) * way.target.value

    others = [way for way in found.choices if way is not found.best and way.candidate.arm != found.best.candidate.arm]
    best = max((taken, found.start, *found.ways), key=mean)
    old = [_old(way.candidate, block) if way is not found.start else [] for way in found.group]
    return values | {
        "beside": found.start if taken is first.chosen else first.chosen,
        "second": max(others, key=lambda way: way.tuned.mean),
        "group": [way.candidate.title for way in found.group if way is not found.best],
        "open": [way.candidate.title for way in found.choices if not way.near and way.behind.low <= 0],
        "all_see_old": all(old),
        "none_sees_old": not any(old),
        "selectors": sorted({source.subset.selector for sources in old for source in sources if source.subset}),
        "best_on_tests": best,
        "better_by": mean(best) - mean(taken) if best is not taken else 0,
    }


def _tuned(way: MeasuredWay, source_weight: float) -> Tuned:
    source, target = float(way.tuning.source.mean()), float(way.tuning.target.mean())
    return Tuned(source, target, source_weight * source + (1 - source_weight) * target)


def _behind(measured: Sequence[MeasuredWay], best: int, source_weight: float) -> list[tuple[Estimate, bool]]:
    """How far each lies behind the best by the weighed mean on tuning images, and whether within one standard error.

    How much seeds vary is taken from all ways together, where there are enough. One image shows no spread: then nothing but the
    best is near.
    """
    means = [_tuned(way, source_weight).mean for way in measured]
    if min(scores.shape[1] for way in measured for scores in (way.tuning.source, way.tuning.target)) < 2:
        return [(Estimate(means[best] - mean, np.nan, np.nan), mean >= means[best]) for mean in means]
    scores = [[way.tuning.source for way in measured], [way.tuning.target for way in measured]]
    weights = [2 * source_weight, 2 * (1 - source_weight)]
    used = [(values, weight, fit_prior(values)) for values, weight in zip(scores, weights, strict=True) if weight]
    share = len(used) / 2
    priors = [prior for _, _, prior in used]
    found = []
    for number in range(len(measured)):
        differences = [share * weight * (values[best] - values[number]) for values, weight, _ in used]
        known = None
        if all(priors) and number != best:
            known = [
                prior.expected_sum([values[best], values[number]], [share * weight, -share * weight])
                for values, weight, prior in used
            ]
        behind, near = (crossed_mean_of_sets(differences, prior=known, level=level) for level in (0.95, _ONE_ERROR))
        found.append((behind, near.low <= 0))
    return found


def _on_tests(
    way: MeasuredWay, start: MeasuredWay, reference: MeasuredWay, known: tuple[Seeds, Seeds]
) -> dict[str, Estimate]:
    # All models of a seed go on from the same start: pairing by seed too takes out what they have in common.
    source, target = (seeds.prior for seeds in known)
    return {
        "source": crossed_mean(way.test.source, prior=source),
        "target": crossed_mean(way.test.target, prior=target),
        "kept": paired_difference(way.test.source, start.test.source, prior=source),
        "gained": paired_difference(way.test.target, start.test.target, prior=target),
        "to_reference": paired_difference(way.test.target, reference.test.target, prior=target),
    }


def cost(way: Candidate, block: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]) -> Cost:
    """What a way takes: the patches of its last stage, of an interpolation those of the model that it goes towards."""
    if way == start_of(block):
        return Cost(0, 0)
    recipe = recipes.get(way.recipe, {})
    trained = recipes.get(recipe.get("weights") or recipe.get("interpolate", {}).get("recipe"), recipe)
    old = sum(float(source.subset.number) if source.subset else 100.0 for source in _old(way, block))
    return Cost(trained.get("steps", 0) * trained.get("batch", 1), old)


def _old(way: Candidate, block: Mapping[str, Any]) -> list[Source]:
    """What the last stage trains on beside the target."""
    return [source for source in parse(way.chain).sources if source.dataset != block["target"]]


def _front(ways: Sequence[Way]) -> tuple[Way, ...]:
    """Those that no other beats, from the least kept on; the first of equal ones first."""
    on_it = pareto_front([(way.source.value, way.target.value) for way in ways])
    kept = [way for way, on in zip(ways, on_it, strict=True) if on]
    return tuple(sorted(kept, key=lambda way: way.source.value))


def _row(way: Way, found: Found) -> dict[str, Any]:
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
        **with_ends("behind", way.behind),
        "near": way.near,
        "recommended": way is found.recommended,
        **with_ends("source", way.source),
        **with_ends("target", way.target),
        **with_ends("source_difference", way.kept),
        **with_ends("target_difference", way.gained),
        **with_ends("target_to_reference", way.to_reference),
        "front": way in found.front if way in found.choices else None,
    }
