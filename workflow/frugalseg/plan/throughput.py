"""How fast a machine trains and evaluates the networks of a study and finds features: a minute of the real thing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from frugalseg.data.normalize import normalize, relabel
from frugalseg.data.stores import IMAGE_COLUMNS, Images, Patches, measure_cells
from frugalseg.data.synthetic import draw
from frugalseg.evaluation.evaluate import evaluate
from frugalseg.kernels.flows import labels_to_flows
from frugalseg.plan.models import operations
from frugalseg.pretraining.autoencoder import pretrain
from frugalseg.runtime.energy import Meter
from frugalseg.runtime.provenance import device_name
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run, autocast_type
from frugalseg.training.sampling import Source
from frugalseg.training.stage import ADAPTORS, build_network

if TYPE_CHECKING:
    from transformers import ViTMAEModel

_SMALLEST_IMAGE, _MOST_PATCHES, _MOST_STEPS = 64, 16, 200
# All recipes of a study are measured in about so long; what would take longer follows from a smaller one by operations.
_SECONDS = 30.0
# Steps of a recipe are timed for as long as this at most; a first step longer than that is not made twice.
_SECONDS_OF_STEPS, _LONG_STEP = 2.0, 2.0
# A step to compile, one to warm up, one that counts, and two evaluations take about so many steps.
_STEPS_TO_MEASURE = 4
_FEATURES_BATCH, _FEATURES_STEPS = 4, 3
# What the speed of a recipe does not depend on.
_NOT_OF_SPEED = {"steps", "epochs", "compute", "lr", "momentum", "weight_decay", "nesterov", "betas", "gradient_clip"}
_NOT_OF_SPEED |= {"schedule", "save_every", "validate_every", "parent", "parent_seed", "weights", "interpolate"}


def file_of(config: Mapping[str, Any]) -> Path:
    """File of a study's throughput."""
    return Path(f"results/{config['study']}/throughput.json")


def read(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The throughput in a file, without the recipes that the config has changed since.

    The JSON is as `measure` makes it, or written by hand: ``device``, ``gpu`` (true or false), ``threads`` and, by recipe,
    ``recipes: {cellpose: {seconds_per_step: 0.05}}``. A recipe without a ``key`` is taken at its word.
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
    """Measure how fast this machine trains by some recipes, evaluates and prepares; `say` is told what is being measured.

    JSON types: ``device``, ``gpu``, ``threads``; ``seconds_per_job``, what it takes to start one; ``seconds_per_cut``, to
    make the target flows of a patch; ``features``, see `measure_features`; and of every recipe ``seconds_per_step``,
    ``seconds_per_megapixel`` of evaluation, ``bytes`` of a checkpoint, ``joules_per_step`` by counter where the device tells
    it, ``estimated`` (true) where they follow from another recipe or a smaller batch by operations, and ``key``, a hash of
    what they depend on.
    """
    say("how long a job takes to start")
    per_job = _timed(_start_job)
    blocks = {key_of(config["recipes"][name]): config["recipes"][name] for name in recipes}
    most = max((block["batch"] for block in blocks.values()), default=1)
    patches, cut = _random_patches(config["patches"]["size"], most)
    speeds = _measure_recipes(blocks, patches, device, say)
    say("features")
    return {
        "device": device_name(device),
        "gpu": device.type == "cuda",
        "threads": torch.get_num_threads(),
        "seconds_per_job": per_job,
        "seconds_per_cut": cut,
        "features": measure_features(config["features"], patches, device),
        "recipes": {name: speeds[key_of(config["recipes"][name])] for name in recipes},
    }


def key_of(recipe: Mapping[str, Any]) -> str:
    """Hash of what the speed of a recipe depends on: its network, its batch and crop, its arithmetic."""
    parts = {name: value for name, value in sorted(recipe.items()) if name not in _NOT_OF_SPEED}
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _measure_recipes(
    blocks: Mapping[str, Mapping[str, Any]], patches: Patches, device: torch.device, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Speeds by key, the recipes of least work first; those that there is no time for follow from others of their network."""
    work = {key: operations(block) for key, block in blocks.items()}
    end, found = time.perf_counter() + _SECONDS, {}
    for number, (key, block) in enumerate(sorted(blocks.items(), key=lambda item: work[item[0]].step), start=1):
        share = (end - time.perf_counter()) / (len(blocks) - number + 1)
        last = next(reversed(found), None)
        expected = (
            found[last]["seconds_per_step"] * work[key].step / work[last].step * _STEPS_TO_MEASURE if last else 0.0
        )
        alike = [other for other in found if _network(blocks[other]) == _network(block)]
        if expected > share and alike:
            found[key] = _scaled(
                found[alike[-1]], work[key].step / work[alike[-1]].step, work[key].pixel / work[alike[-1]].pixel
            )
        else:
            say(f"{block['arch']} ({number} of {len(blocks)})")
            batch = block["batch"] if expected <= share else 1
            measured = _measure_recipe({**block, "batch": batch}, patches, min(share, _SECONDS_OF_STEPS), device)
            found[key] = measured if batch == block["batch"] else _scaled(measured, block["batch"], 1)
        found[key] |= {"key": key, "bytes": work[key].stored}
    return found


def _network(block: Mapping[str, Any]) -> tuple[str, str]:
    return block["arch"].partition("-")[0], block["precision"]


def _scaled(speeds: Mapping[str, Any], step: float, pixel: float) -> dict[str, Any]:
    """Speeds of a recipe from those of another, by the ratios of operations of a step and of a pixel of evaluation."""
    joules = {name: used * step for name, used in speeds.get("joules_per_step", {}).items()}
    return {
        "seconds_per_step": speeds["seconds_per_step"] * step,
        "seconds_per_megapixel": speeds["seconds_per_megapixel"] * pixel,
        "estimated": True,
        **({"joules_per_step": joules} if joules else {}),
    }


def _start_job() -> None:
    subprocess.run([sys.executable, "-c", "import frugalseg.training.stage"], check=True)


def _measure_recipe(block: Mapping[str, Any], patches: Patches, budget: float, device: torch.device) -> dict[str, Any]:
    network = build_network(block, torch.Generator().manual_seed(0))
    sources = [Source("random", patches, np.arange(len(patches)))]
    recipe = Recipe.of({**block, "epochs": None, "compute": None, "steps": _MOST_STEPS})
    # One patch is enough to compile kernels.
    Run(network, sources, recipe.with_changes(batch=1), 0, 0, [], device, sources).advance()
    run = Run(network, sources, recipe, 0, 0, [], device, sources)
    seconds, steps, joules = _advance(run, 0.0, device)
    if seconds < _LONG_STEP:
        seconds, steps, joules = _advance(run, budget, device)
    speeds = {
        "seconds_per_step": seconds / steps,
        "seconds_per_megapixel": _measure_evaluation(network, block, patches, device),
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

    first = _timed(score)
    return (
        (first if first > _LONG_STEP else _timed(score)) / (images.table["height"] * images.table["width"]).sum() * 1e6
    )


def measure_features(settings: Mapping[str, Any], patches: Patches, device: torch.device) -> dict[str, float]:
    """Seconds that features take on this machine: ``seconds_per_patch``, ``dimension`` of a feature vector, and
    ``seconds_of_pretraining`` an autoencoder, 0 with a checkpoint. Of one that is not here yet ViT-MAE-base is assumed."""
    encoder, pretraining = _encoder(settings, patches, device)
    encoder = encoder.to(device).eval()
    height, width = encoder.embeddings.image_size
    with torch.inference_mode():
        pixels = torch.zeros(_FEATURES_BATCH, 3, height, width, device=device)
        encoder(pixels[:1]).last_hidden_state.sum().item()
        start = time.perf_counter()
        encoder(pixels).last_hidden_state.sum().item()
        seconds = time.perf_counter() - start
    return {
        "seconds_per_patch": seconds / _FEATURES_BATCH,
        "dimension": encoder.config.hidden_size,
        "seconds_of_pretraining": pretraining,
    }


def _encoder(settings: Mapping[str, Any], patches: Patches, device: torch.device) -> tuple[ViTMAEModel, float]:
    """The encoder of a study with random weights that sees every token, and the seconds of its pre-training."""
    if "checkpoint" not in settings:
        return _pretrained(settings["pretraining"], patches, device)
    from transformers import ViTMAEConfig, ViTMAEModel

    described = Path(settings["checkpoint"]) / "config.json"
    config = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    return ViTMAEModel(ViTMAEConfig(**{**config, "mask_ratio": float(settings["mask_ratio"])})), 0.0


def _pretrained(block: Mapping[str, Any], patches: Patches, device: torch.device) -> tuple[ViTMAEModel, float]:
    def seconds_of(steps: int) -> tuple[ViTMAEModel, float]:
        start = time.perf_counter()
        model = pretrain([patches], seed=0, device=device, **{**block, "steps": steps})
        return model.network.vit, time.perf_counter() - start

    seconds_of(1)  # imports the library and fills caches
    _, once = seconds_of(1)
    encoder, several = seconds_of(1 + _FEATURES_STEPS)
    encoder.config.mask_ratio = 0.0
    return encoder, once + max(several - once, 0.0) / _FEATURES_STEPS * (block["steps"] - 1)


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
