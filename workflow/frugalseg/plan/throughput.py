"""How fast a machine trains and evaluates the networks of a study: a minute of the real thing on random patches."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from frugalseg.data.normalize import normalize, relabel
from frugalseg.data.stores import IMAGE_COLUMNS, Images, Patches, measure_cells
from frugalseg.data.synthetic import draw
from frugalseg.evaluation.evaluate import evaluate
from frugalseg.kernels.flows import labels_to_flows
from frugalseg.plan.features import measure_features
from frugalseg.runtime.energy import Meter
from frugalseg.runtime.provenance import device_name
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run, autocast_type
from frugalseg.training.sampling import Source
from frugalseg.training.stage import ADAPTORS, build_network

_SMALLEST_IMAGE = 64
_MOST_PATCHES = 16
_MOST_STEPS = 200
# Steps are timed for as long as this, divided among the recipes of a study, or at least once.
_SECONDS_OF_STEPS = 20.0
_LONG_STEP = 4.0

_SPEEDS_OF_NETWORK = (
    *("arch", "target", "channels", "widths", "ucell", "lora", "keep", "optimiser", "average"),
    *("batch", "crop", "precision", "augmentation", "rescale", "scale_range"),
)


def file_of(config: Mapping[str, Any]) -> Path:
    """File of a study's throughput, ``results/{study}/throughput.json``."""
    return Path(f"results/{config['study']}/throughput.json")


def read(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The throughput in a file, without the recipes that the config has changed since.

    Parameters
    ----------
    path : Path
        JSON as `measure` makes it, or written by hand: ``device``, ``gpu`` (true or false), ``threads`` and, by
        recipe, ``recipes: {cellpose: {seconds_per_step: 0.05}}``. A recipe without a ``key`` is taken at its word.
    config : mapping
        A completed config.

    Raises
    ------
    ValueError
        When it is no such file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        recipes = {
            name: speeds
            for name, speeds in content["recipes"].items()
            if name in config["recipes"] and speeds.get("key") in (None, key_of(config["recipes"][name]))
        }
        return {**content, "recipes": recipes, "device": content["device"], "gpu": content["gpu"]}
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is no file of a throughput ({error!r}): delete it and measure again") from error


def measure(
    config: Mapping[str, Any], recipes: list[str], device: torch.device, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure how fast this machine trains, evaluates and prepares what a study asks for.

    Parameters
    ----------
    config : mapping
        A completed config.
    recipes : list of str
        Those to measure.
    device : torch.device
        Where to compute; on a processor, with as many threads as torch is set to.
    say : callable
        Told what is being measured, before it is.

    Returns
    -------
    dict
        JSON types: ``device``, ``gpu``, ``threads``; ``seconds_per_job``, what it takes to start one;
        ``seconds_per_cut``, to make the target flows of a patch; ``features``, see
        `frugalseg.plan.features.measure_features`; and of every recipe ``seconds_per_step``,
        ``seconds_per_megapixel`` of evaluation, ``bytes`` of a checkpoint, ``joules_per_step`` by counter where the
        device tells it, and ``key``, a hash of what they depend on.
    """
    say("how long a job takes to start")
    per_job = _timed(_start_job)
    patches, cut = _random_patches(
        config["patches"]["size"], max((config["recipes"][name]["batch"] for name in recipes), default=1)
    )
    budget = _SECONDS_OF_STEPS / max(1, len(recipes))
    speeds = {}
    for number, name in enumerate(recipes, start=1):
        say(f"{name} ({number} of {len(recipes)})")
        speeds[name] = _measure_recipe(config["recipes"][name], patches, budget, device)
    say("features")
    return {
        "device": device_name(device),
        "gpu": device.type == "cuda",
        "threads": torch.get_num_threads(),
        "seconds_per_job": per_job,
        "seconds_per_cut": cut,
        "features": measure_features(config["features"], patches, device),
        "recipes": speeds,
    }


def key_of(recipe: Mapping[str, Any]) -> str:
    """Hash of what the speed of a recipe depends on: its network, its batch and crop, its arithmetic."""
    parts = [recipe.get(name) for name in _SPEEDS_OF_NETWORK]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _start_job() -> None:
    subprocess.run([sys.executable, "-c", "import frugalseg.training.stage"], check=True)


def _measure_recipe(block: Mapping[str, Any], patches: Patches, budget: float, device: torch.device) -> dict[str, Any]:
    network = build_network(block, torch.Generator().manual_seed(0))
    stored = sum(tensor.nbytes for tensor in network.state_dict().values())
    sources = [Source("random", patches, np.arange(len(patches)))]
    recipe = Recipe.of({**block, "epochs": None, "compute": None, "steps": _MOST_STEPS})
    # One patch is enough to compile kernels.
    Run(network, sources, replace(recipe, batch=1), 0, 0, [], device, sources).advance()
    run = Run(network, sources, recipe, 0, 0, [], device, sources)
    seconds, steps, joules = _advance(run, 0.0, device)
    # A short first step warms up the device; a long one is not made twice.
    if seconds < _LONG_STEP:
        seconds, steps, joules = _advance(run, budget, device)
    speeds = {
        "key": key_of(block),
        "seconds_per_step": seconds / steps,
        "seconds_per_megapixel": _measure_evaluation(network, block, patches, device),
        "bytes": stored,
    }
    return speeds | ({"joules_per_step": {name: used / steps for name, used in joules.items()}} if joules else {})


def _advance(run: Run, budget: float, device: torch.device) -> tuple[float, int, dict[str, float] | None]:
    """Make steps for some seconds, at least one: seconds, steps and joules that they took."""
    before = run.step
    with Meter(device) as meter:
        start = time.perf_counter()
        while run.step == before or (time.perf_counter() - start < budget and run.step < run.steps):
            run.advance()
            # Wait for what a GPU still does.
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
    return seconds, run.step - before, meter.joules


def _measure_evaluation(network: nn.Module, block: Mapping[str, Any], patches: Patches, device: torch.device) -> float:
    """Seconds a megapixel for prediction, label images and metrics, of a network that has learned next to nothing."""
    model = ADAPTORS[block["target"]](network)
    images = _as_images(patches)
    options = {"device": device, "batch_size": block["batch"], "dtype": autocast_type(block["precision"], device)}

    def score() -> None:
        evaluate(model, images, target=block["target"], **options)

    score()
    return _timed(score) / (images.table["height"] * images.table["width"]).sum() * 1e6


def _random_patches(size: int, batch: int) -> tuple[Patches, float]:
    """Patches drawn by the synthetic microscope, as many as a batch or a few, and the seconds that cutting one takes."""
    side = max(size, _SMALLEST_IMAGE)
    drawn = list(draw("cyto", min(batch, _MOST_PATCHES), side, seed=0, split="plan"))
    pixels = [np.atleast_3d(image)[:size, :size].mean(axis=2)[None] for _, image, _ in drawn]
    images = np.stack([normalize(image) for image in pixels]).astype(np.float16)
    labels = np.stack([relabel(label[:size, :size]) for _, _, label in drawn])
    labels_to_flows(torch.from_numpy(labels[:1]))
    start = time.perf_counter()
    flows = labels_to_flows(torch.from_numpy(labels)).numpy().astype(np.float16)
    seconds = (time.perf_counter() - start) / len(labels)
    cells, diameters = zip(*(measure_cells(label) for label in labels), strict=True)
    names = [name for name, _, _ in drawn]
    table = pd.DataFrame({"patch": range(len(names)), "image": names, "y": 0, "x": 0, "cells": cells})
    return Patches(images, labels.astype(np.uint16), flows, table.assign(diameter=diameters)), seconds


def _as_images(patches: Patches) -> Images:
    """The first patches of a store as whole images: two of them, since evaluation works on one while predicting another."""
    count, (height, width) = min(2, len(patches)), patches.labels.shape[1:]
    rows = patches.table.head(count)
    table = rows.assign(channels=1, height=height, width=width)[IMAGE_COLUMNS]
    return Images(table, patches.images[:count].ravel(), patches.labels[:count].astype(np.int32).ravel())


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
