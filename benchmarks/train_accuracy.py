"""Does speed cost accuracy? The same training on real images in float32 and in the fast path: ``make bench`` leaves it
out, for it takes ten minutes.

    python benchmarks/train_accuracy.py --threads 2

A chain of both real datasets is trained from the same weights on the same batches in both precisions, several seeds
each, and tested on the test images of both. Prints Dice of every model and the mean differences, and keeps them in
benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from frugalseg.data.patches import cut
from frugalseg.data.prepare import prepare
from frugalseg.data.stores import open_images, open_patches
from frugalseg.evaluation.evaluate import evaluate
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.reporting.versions import versions
from frugalseg.study.load import complete
from frugalseg.training.loop import train
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import autocast_type
from frugalseg.training.sampling import Source
from frugalseg.training.stage import build_network
from inputs import REAL_DATA
from measure import set_threads
from report import markdown, write_csv, write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
STUDY = ROOT / "config/studies/real.yaml"
DATASETS, RECIPE = ("fluo", "histo"), "small"
REFERENCE, FAST = "float32", "auto"
LARGEST_DIFFERENCE = 0.01
CPU = torch.device("cpu")

Row = dict[str, Any]


def main() -> None:
    """Train and test every model, print the tables and keep them."""
    options = _options()
    set_threads(options.threads)
    if autocast_type(FAST, CPU) is None:
        raise SystemExit("this processor has no bfloat16 instructions: the fast path is the reference itself")
    config = complete(yaml.safe_load(STUDY.read_text(encoding="utf-8")), ROOT, [STUDY])
    recipe = config["recipes"][RECIPE] | {"steps": options.steps, "lr": options.lr}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in DATASETS:
            _prepare(config, name, Path(folder))
        for seed in range(options.seeds):
            for precision in (REFERENCE, FAST):
                rows.extend(_rows(config, recipe | {"precision": precision}, seed, Path(folder)))
                print(*rows[-len(DATASETS) :], sep="\n", flush=True)
    text = f"{markdown(rows)}\n{markdown(_differences(rows))}"
    print(text)
    description = {
        "date": datetime.date.today().isoformat(),
        **versions(),
        "threads": str(options.threads),
        "chain": "+".join(DATASETS),
        "recipe": str({key: recipe[key] for key in ("widths", "steps", "batch", "crop", "lr", "schedule")}),
    }
    write_csv(RESULTS / "train_accuracy.csv", description, rows)
    header = "".join(f"- {name}: {value}\n" for name, value in description.items())
    write_text(
        RESULTS / "train_accuracy.md", f"# Accuracy of training in float32 and in the fast path\n\n{header}\n{text}"
    )


def _prepare(config: Mapping[str, Any], name: str, folder: Path) -> None:
    """Image stores of a dataset and its training patches, as the study makes them."""
    prepare(config["datasets"][name], name, REAL_DATA, folder / name / "images", folder / name / "test")
    patches = config["patches"]
    cut(
        open_images(folder / name / "images"),
        folder / name / "patches",
        size=patches["size"],
        stride=patches["stride"],
        border=patches["border"],
    )


def _rows(config: Mapping[str, Any], recipe: Mapping[str, Any], seed: int, folder: Path) -> Iterator[Row]:
    """Train one model; scores on every test set."""
    network = build_network(recipe, torch.Generator().manual_seed(seed))
    result = train(
        network,
        [
            Source(name, patches, np.arange(len(patches)))
            for name in DATASETS
            for patches in [open_patches(folder / name / "patches")]
        ],
        Recipe.of(recipe),
        seed=seed,
        weights=folder / "model.pt",
        log=folder / "log.csv",
        state_folder=folder / "state",
        min_cells=config["patches"]["min_cells"],
        description=f"{recipe['precision']}, seed {seed}",
    )
    for name in DATASETS:
        scores = evaluate(
            network,
            open_images(folder / name / "test"),
            device=CPU,
            batch_size=recipe["batch"],
            rescale=prediction_scale(network),
            dtype=autocast_type(recipe["precision"], CPU),
        )
        yield {
            "precision": recipe["precision"],
            "seed": seed,
            "test": name,
            "images": len(scores),
            "dice": round(scores["dice"].mean(), 4),
            "pq": round(scores["pq"].mean(), 4),
            "loss": round(result.loss, 4),
            "steps_per_second": round(result.steps / result.seconds, 2),
        }


def _differences(rows: Sequence[Row]) -> Iterator[Row]:
    """Mean Dice over seeds on every test set in both precisions, and how far they are apart."""
    for name in DATASETS:
        dice = {
            precision: [row["dice"] for row in rows if (row["precision"], row["test"]) == (precision, name)]
            for precision in (REFERENCE, FAST)
        }
        means = {precision: statistics.mean(values) for precision, values in dice.items()}
        difference = means[FAST] - means[REFERENCE]
        yield {
            "test": name,
            "float32": f"{means[REFERENCE]:.4f} ({min(dice[REFERENCE]):.4f} to {max(dice[REFERENCE]):.4f})",
            "fast": f"{means[FAST]:.4f} ({min(dice[FAST]):.4f} to {max(dice[FAST]):.4f})",
            "fast - float32": f"{difference:+.4f}",
            f"within {LARGEST_DIFFERENCE}": "yes" if abs(difference) <= LARGEST_DIFFERENCE else "no",
        }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="models of each precision")
    parser.add_argument("--steps", type=int, default=1500, help="optimiser steps of a model")
    parser.add_argument("--lr", type=float, default=0.1, help="learning rate")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of all libraries")
    return parser.parse_args()


if __name__ == "__main__":
    main()
