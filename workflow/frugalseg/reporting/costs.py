"""What a study was planned to take, beside what it took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from frugalseg.plan.costs import FEATURES, PATCHES, Cost, costs
from frugalseg.plan.models import Model, folder_of
from frugalseg.reporting.benchmarks import read_benchmark

COLUMNS = [
    "part",
    "models",
    "steps",
    "planned_s",
    "measured_s",
    "training_planned_s",
    "training_measured_s",
    "complete",
]


def compare(config: Mapping[str, Any], speeds: Mapping[str, Any]) -> pd.DataFrame:
    """Planned and measured wall time of every part of a finished study.

    Parameters
    ----------
    config : mapping
        Its completed config.
    speeds : mapping
        The throughput that the plan was made from.

    Returns
    -------
    pandas.DataFrame
        With the columns of `COLUMNS`, times in seconds of all jobs of the part together. A model counts in the first
        part that needs it. ``complete`` is false where something was not planned, or a job left no benchmark.
    """
    rows = [
        {
            "part": name,
            "models": len(cost.new),
            "steps": cost.steps,
            "planned_s": cost.seconds,
            "measured_s": None,
            "training_planned_s": cost.train,
            "training_measured_s": None,
            "complete": cost.known,
        }
        | _measured(name, cost, config)
        for name, cost in costs(config, speeds, remaining=False).items()
        if name != PATCHES and (cost.models or cost.seconds)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def to_markdown(table: pd.DataFrame, speeds: Mapping[str, Any]) -> str:
    """The comparison as a Markdown text."""
    total = table.sum(numeric_only=True).to_dict() | {"part": "in all", "complete": bool(table["complete"].all())}
    lines = [
        "# Planned and measured times",
        "",
        f"The plan takes its speeds from a minute of training on {speeds['device']}, by `make plan` or by the first job "
        "of the study. Times are wall times of all jobs together, those that take seconds left out; each model counts in "
        "the first part that needs it.",
        "",
        "| Part | Models | Steps | Planned | Measured | Measured / planned | Training planned | Training measured |",
        "| :-- | --: | --: | --: | --: | --: | --: | --: |",
        *(_line(row) for row in [*table.to_dict("records"), total]),
    ]
    if not table["complete"].all():
        lines += ["", "`+`: and what could not be planned, or left no record of its time."]
    return "\n".join(lines) + "\n"


def _measured(name: str, cost: Cost, config: Mapping[str, Any]) -> dict[str, Any]:
    """What the jobs of a part took, as far as they left it: training in the models' descriptions and benchmarks."""
    results = Path(f"results/{config['study']}")
    if name == FEATURES:
        files = [*results.glob("benchmarks/embed/*.jsonl"), *results.glob("benchmarks/pretrain_autoencoder.jsonl")]
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


def _line(row: Mapping[str, Any]) -> str:
    planned, measured = row["planned_s"], row["measured_s"]
    ratio = f"{measured / planned:.2f}" if planned and row["complete"] else ""
    mark = "" if row["complete"] else " +"
    cells = [
        row["part"],
        f"{row['models']:.0f}",
        f"{row['steps']:,.0f}",
        _clock(planned) + mark,
        _clock(measured),
        ratio,
    ]
    cells += [_clock(row[f"training_{kind}_s"]) for kind in ("planned", "measured")]
    return "| " + " | ".join(cells) + " |"


def _clock(seconds: float) -> str:
    return "" if pd.isna(seconds) else str(timedelta(seconds=round(seconds)))
