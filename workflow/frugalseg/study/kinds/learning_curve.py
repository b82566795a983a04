"""Learning curves: a dataset at a growing number of annotated images, and how many more are worth it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from frugalseg.chains import IMAGE_SELECTORS
from frugalseg.study.keys import Seeds, Titled, key, number, some, whole
from frugalseg.study.kinds.checks import scored_problems
from frugalseg.study.kinds.kind import Kind
from frugalseg.study.lineage import Model, Score
from frugalseg.study.messages import Problem
from frugalseg.study.metric_keys import Metric
from frugalseg.study.paths import coreset_of


class LearningCurve(Titled):
    """A dataset at a growing number of annotated images, and how many more are worth it."""

    kind: Literal["learning_curve"] = key("The score over the number of images, and what more of them would bring.")
    dataset: str = key("Dataset that is learnt from.")
    selector: str = key("Selector whose subsets grow: few takes whole images, as one annotates them.")
    numbers: some(number(gt=0), least=2, unique=True) = key(
        "Images, where the selector is few, else rates in percent, below 100; all of the dataset comes last by itself. Five or "
        "more, each about twice the one before, tell most."
    )
    test: str = key("Dataset whose test images are scored.")
    recipe: str = key("How the models are trained.")
    seeds: Seeds = key(
        "Seeds of the runs, one model each at every number; with three or more the intervals are of use."
    )
    metric: Metric = key("What is scored, from 0 to 1.", "ap")
    margin: number(gt=0, lt=1) = key("Gain of the metric that is not worth twice the data.", 0.01)
    draws: whole(ge=200) = key("Curves that are drawn and fitted for the intervals.", 2000)


def curve_chains(block: Mapping[str, Any]) -> list[str]:
    """Chains of a learning curve, from the fewest data to all of them."""
    dataset, selector = block["dataset"], block["selector"]
    return [*(f"{dataset}@{selector}{number:g}" for number in sorted(block["numbers"])), dataset]


def curve_models(block: Mapping[str, Any]) -> list[Model]:
    """Every (recipe, chain, seed) of a learning curve, chain by chain."""
    return [(block["recipe"], chain, seed) for chain in curve_chains(block) for seed in block["seeds"]]


def _scores(block: Mapping[str, Any], study: Mapping[str, Any]) -> list[Score]:
    return [(model, block["test"]) for model in curve_models(block)]


def _files(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> dict[str, list[str]]:
    dataset = block["dataset"]
    orders = (coreset_of(dataset, block["selector"], seed, study["selectors"]) for seed in block["seeds"])
    return {
        "coresets": list(orders),
        "patches": [f"<results>/patches/{dataset}/train/patches.csv"],
        "images": [f"<results>/images/{dataset}/train/images.csv"],
    }


def _problems(name: str, block: Mapping[str, Any], study: Mapping[str, Any]) -> Iterator[Problem]:
    yield from scored_problems(name, block, study)
    if block["selector"] not in IMAGE_SELECTORS and max(block["numbers"]) >= 100:
        yield (
            ("questions", name, "numbers"),
            f"questions.{name}.numbers has {max(block['numbers'])}; all of the dataset is there anyhow: take it away",
        )


KIND = Kind(
    keys=LearningCurve,
    answer="learning_curve",
    scores=_scores,
    problems=_problems,
    chains=lambda block: (("numbers", chain) for chain in curve_chains(block)),
    files=_files,
    settings=lambda block, study: {"bins": study["bins"]},
    knows_seeds=True,
)
