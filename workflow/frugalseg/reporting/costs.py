"""What a study was planned to take, beside what it took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from frugalseg.plan.costs import FEATURES, PATCHES, Cost, costs
from frugalseg.plan.models import Model, folder_of
from frugalseg.reporting.tables import to_markdown as to_table
from frugalseg.runtime.benchmarks import read_benchmark

COLUMNS = ["part", "models", "steps", "planned_s", "measured_s"]
COLUMNS += ["training_planned_s", "training_measured_s", "complete"]


def compare(config: Mapping[str, Any], speeds: Mapping[str, Any]) -> pd.DataFrame:
    """Planned and measured wall seconds of every part of a finished study, all its jobs together, as `COLUMNS`.

    `speeds` are the throughput that the plan was made from. A model counts in the first part that needs it. ``complete`` is
    false where something was not planned, or a job left no benchmark.
    """
    rows = []
    for name, cost in costs(config, speeds, remaining=False).items():
        if name != PATCHES and (cost.models or cost.seconds):
            planned = {"planned_s": cost.seconds, "training_planned_s": cost.train, "complete": cost.known}
            rows.append(
                {"part": name, "models": len(cost.new), "steps": cost.steps, **planned, **_measured(name, cost, config)}
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(table: pd.DataFrame, speeds: Mapping[str, Any]) -> str:
    """The comparison as a page."""
    total = table.sum(numeric_only=True).to_dict() | {"part": "in all", "complete": bool(table["complete"].all())}
    rows = pd.DataFrame([*table.to_dict("records"), total])
    shown = pd.DataFrame(
        {
            "Part": rows["part"],
            "Models": rows["models"].map("{:.0f}".format),
            "Steps": rows["steps"].map("{:,.0f}".format),
            "Planned": rows["planned_s"].map(_clock) + np.where(rows["complete"], "", " +"),
            "Measured": rows["measured_s"].map(_clock),
            "Measured / planned": rows.apply(_ratio, axis=1),
            "Training planned": rows["training_planned_s"].map(_clock),
            "Training measured": rows["training_measured_s"].map(_clock),
        }
    )
    text = (
        "# Planned and measured times\n\n"
        f"The plan takes its speeds from a minute of training on {speeds['device']}, by `make plan` or by the first job of the "
        "study. Times are wall times of all jobs together, without jobs that take seconds. Each model counts in the first part "
        f"that needs it.\n\n{to_table(shown)}\n"
    )
    if not table["complete"].all():
        text += "\n`+`: something could not be planned, or left no record of its time.\n"
    return text


def _measured(name: str, cost: Cost, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the jobs of a part took, as far as they left it: training in the models' descriptions and benchmarks."""
    results = Path(f"results/{config['study']}")
    if name == FEATURES:
        files = [*results.glob("benchmarks/embed/*.jsonl"), *results.glob("benchmarks/pretrain_autoencoder/*.jsonl")]
        return {"measured_s": sum(map(_benchmark, files))}
    training = [_training(model, config) for model in cost.new]
    evaluation = [_evaluation(model, config) for model in cost.new]
    told = [seconds for seconds in training if seconds is not None]
    return {
        "measured_s": sum(told) + sum(evaluation),
        "training_measured_s": sum(told),
        "complete": cost.known and len(told) == len(training),
    }


def _training(model: Model, config: Mapping[str, Any]) -> float | None:
    """Seconds of training a model: of its last job, or of all of them where it was killed and went on."""
    description = folder_of(model, "models", config) / "model.json"
    if not description.exists():
        return None
    seconds = json.loads(description.read_text(encoding="utf-8"))["seconds"]
    return max(seconds, _benchmark(_beside(folder_of(model, "benchmarks/train", config))))


def _evaluation(model: Model, config: Mapping[str, Any]) -> float:
    folder = folder_of(model, "benchmarks/evaluate", config)
    files: Iterable[Path] = [_beside(folder), *folder.parent.glob(f"{folder.name}-*.jsonl")]
    return sum(map(_benchmark, files))


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + ".jsonl")


def _benchmark(file: Path) -> float:
    """Wall seconds of a job from its benchmark, 0 where there is none."""
    benchmark = read_benchmark(file)
    return benchmark.seconds if benchmark else 0.0


def _ratio(row: pd.Series) -> str:
    return f"{row['measured_s'] / row['planned_s']:.2f}" if row["planned_s"] and row["complete"] else ""


def _clock(seconds: float) -> str:
    return "" if pd.isna(seconds) else str(timedelta(seconds=round(seconds)))
