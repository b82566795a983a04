"""What each part of a study costs: hours and disk from the numbers of steps, patches and pixels, and the throughput."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalseg.plan.models import (
    SEGMENTATIONS,
    Model,
    featured_datasets,
    folder_of,
    is_trained,
    megapixels_of_tests,
    patch_counts,
    requested_models,
    steps_of,
    with_parents,
)
from frugalseg.study.figures import changed_models
from frugalseg.study.kinds import VERDICTS, scored_on
from frugalseg.study.lineage import trained_as

PATCHES, FEATURES = "patches", "features"
# A pixel of a patch store: label and two components of flow, and its channels, 2 bytes each.
_BYTES_OF_TARGETS, _BYTES_OF_CHANNEL = 6, 2
_BYTES_OF_FLOAT = 4


@dataclass(frozen=True)
class Cost:
    """What a part of a study costs: its models, parents among them; those of them that no earlier part has counted (`new`), and
    how many of these are there already (`done`), which nothing below counts; optimiser steps; seconds of jobs that train, that
    evaluate, and that prepare data and features; bytes kept on disk; joules of the steps, 0 where they are not known; and
    whether all of it is known.
    """

    models: int = 0
    new: tuple[Model, ...] = ()
    done: int = 0
    steps: int = 0
    train: float = 0.0
    evaluate: float = 0.0
    prepare: float = 0.0
    stored: float = 0.0
    joules: float = 0.0
    known: bool = True

    @property
    def seconds(self) -> float:
        """Seconds of all jobs together."""
        return self.train + self.evaluate + self.prepare

    def __add__(self, other: Cost) -> Cost:
        sums = {key: getattr(self, key) + getattr(other, key) for key in vars(self)}
        return Cost(**sums | {"known": self.known and other.known})


def costs(config: Mapping[str, Any], speeds: Mapping[str, Any], *, remaining: bool) -> dict[str, Cost]:
    """Cost of the patches, of the features and of every answer, by name; segmentations and claims where they need more.

    A model counts in the first part that needs it. `speeds` are those of `frugalseg.plan.throughput.measure`; `remaining`
    leaves out what is there already. Jobs that take seconds are left out: orders, scans of untrained networks, tables.
    """
    seen: dict[Model, None] = {}
    evaluated: dict[Model, None] = {}
    parts: dict[str, Cost] = {}
    counts, megapixels, tests = patch_counts(config), megapixels_of_tests(config), _tests(config)
    for name, requested in requested_models(config).items():
        wanted = with_parents(requested, config)
        new = tuple(model for model in wanted if model not in seen)
        seen |= dict.fromkeys(new)
        done = {model for model in new if remaining and is_trained(model, config)}
        cost = Cost(models=len(wanted), new=new, done=len(done))
        for model in new:
            cost += Cost() if model in done else _training(model, config, speeds, counts)
        scored = dict.fromkeys(_scored_for_segmentations(config) if name == SEGMENTATIONS else requested)
        for model in scored:
            if model not in evaluated and not (remaining and _is_evaluated(model, config, tests.get(model, []))):
                cost += _evaluation(model, tests.get(model, []), speeds, megapixels)
        evaluated |= dict.fromkeys(scored)
        if cost.new or cost.seconds or name not in (SEGMENTATIONS, VERDICTS):
            parts[name] = cost
    return {
        PATCHES: _patches(config, speeds, counts, remaining),
        FEATURES: _features(featured_datasets(seen, config), config, speeds, counts, remaining),
        **parts,
    }


def _tests(config: Mapping[str, Any]) -> dict[Model, list[str]]:
    """Datasets that every model is scored on, under the recipe that makes it."""
    found: dict[Model, dict[str, None]] = {}
    for model, datasets in scored_on(config).items():
        found.setdefault(trained_as(model, config["recipes"]), {}).update(dict.fromkeys(datasets))
    return {model: list(datasets) for model, datasets in found.items()}


def _scored_for_segmentations(config: Mapping[str, Any]) -> list[Model]:
    """The figure of segmentations needs models, but metrics only of those that choose its images."""
    return [trained_as(model, config["recipes"]) for model in changed_models(config)]


def _training(model: Model, config: Mapping[str, Any], speeds: Mapping[str, Any], counts: Mapping[str, int]) -> Cost:
    steps = steps_of(model, config, counts)
    speed = speeds["recipes"].get(model[0], {})
    if steps == 0:
        return Cost(stored=speed.get("bytes", 0), known="bytes" in speed)
    if steps is None or "seconds_per_step" not in speed:
        return Cost(steps=steps or 0, stored=speed.get("bytes", 0), known=False)
    return Cost(
        steps=steps,
        train=steps * speed["seconds_per_step"] + speeds.get("seconds_per_job", 0.0),
        stored=speed.get("bytes", 0),
        joules=steps * sum(speed.get("joules_per_step", {}).values()),
        known="bytes" in speed,
    )


def _evaluation(model: Model, tests: Sequence[str], speeds: Mapping[str, Any], megapixels: Mapping[str, float]) -> Cost:
    speed = speeds["recipes"].get(model[0], {})
    if "seconds_per_megapixel" not in speed:
        return Cost(known=False)
    pixels = sum(megapixels.get(test, 0.0) for test in tests)
    return Cost(
        evaluate=pixels * speed["seconds_per_megapixel"] + speeds.get("seconds_per_job", 0.0),
        known=all(test in megapixels for test in tests),
    )


def _is_evaluated(model: Model, config: Mapping[str, Any], tests: Sequence[str]) -> bool:
    folder = folder_of(model, "metrics", config)
    return is_trained(model, config) and all((folder / f"{test}.csv").exists() for test in tests)


def _patches(config: Mapping[str, Any], speeds: Mapping[str, Any], counts: Mapping[str, int], remaining: bool) -> Cost:
    """Target flows and stores of the training patches, and of the few that are watched."""
    cost = Cost()
    for name, block in config["datasets"].items():
        if remaining and Path(f"results/{config['study']}/patches/{name}/train/patches.csv").exists():
            continue
        known = name in counts and "seconds_per_cut" in speeds
        patches = counts.get(name, 0) + config["patches"]["validation"]
        channels = 1 if block["channels"] == "grey" else len(block["channels"])
        pixel = _BYTES_OF_TARGETS + _BYTES_OF_CHANNEL * channels
        cost += Cost(
            prepare=patches * speeds.get("seconds_per_cut", 0.0),
            stored=patches * config["patches"]["size"] ** 2 * pixel,
            known=known,
        )
    return cost


def _features(
    datasets: Iterable[str],
    config: Mapping[str, Any],
    speeds: Mapping[str, Any],
    counts: Mapping[str, int],
    remaining: bool,
) -> Cost:
    """Features of the datasets whose patches are compared by them, and the autoencoders where they are our own."""
    results = Path(f"results/{config['study']}")
    waiting = [name for name in datasets if not (remaining and (results / f"features/{name}.npy").exists())]
    if not waiting:
        return Cost()
    if "features" not in speeds:
        return Cost(known=False)
    speed = speeds["features"]
    patches = sum(counts.get(name, 0) for name in waiting)
    untrained = [name for name in waiting if not (remaining and (results / f"mae/{name}/model.safetensors").exists())]
    jobs = len(waiting) * speeds.get("seconds_per_job", 0.0)
    return Cost(
        prepare=patches * speed["seconds_per_patch"] + jobs + len(untrained) * speed["seconds_of_pretraining"],
        stored=patches * speed["dimension"] * _BYTES_OF_FLOAT,
        known=all(name in counts for name in waiting),
    )
