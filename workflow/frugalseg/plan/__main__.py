"""What a study would do, before it does it: ``python -m frugalseg.plan CONFIG [THROUGHPUT]``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from frugalseg.plan import throughput
from frugalseg.plan.costs import Cost, costs
from frugalseg.plan.models import requested_models, with_parents
from frugalseg.runtime.device import choose_device
from frugalseg.runtime.files import write_json
from frugalseg.study.load import complete
from frugalseg.study.messages import read_yaml

_HEADER = f"{'':<20}{'models':>8}{'new':>8}{'done':>8}{'steps':>14}"


def load(path: Path) -> dict[str, Any]:
    """The completed config of a study; a `frugalseg.study.load.ConfigError` lists every problem found."""
    return complete(read_yaml(path), root=Path(), files=[path])


def speeds_of(config: Mapping[str, Any], given: Path | None) -> dict[str, Any]:
    """The throughput of a study: as given in a file, else as measured before, and what is missing measured now and kept."""
    if given is not None:
        return throughput.read(given, config)
    file = throughput.file_of(config)
    device = choose_device()
    known = throughput.read(file, config) if file.exists() else {"recipes": {}, "gpu": device.type == "cuda"}
    models = with_parents([model for names in requested_models(config).values() for model in names], config)
    missing = list(dict.fromkeys(recipe for recipe, _, _ in models if recipe not in known["recipes"]))
    # What a job of the cluster measured on its GPU is not mixed with a login node's processor.
    if not missing or known["gpu"] != (device.type == "cuda"):
        return known
    torch.set_num_threads(known.get("threads", 1))
    measured = throughput.measure(config, missing, device, _say)
    measured["recipes"] = known["recipes"] | measured["recipes"]
    write_json(measured, file)
    return measured


def table(parts: Mapping[str, Cost], speeds: Mapping[str, Any]) -> str:
    """The costs of a study as lines of text, a sum below them and notes that say what was counted."""
    unit = "GPU-hours" if speeds["gpu"] else "CPU-hours"
    # A GPU is taken by one job; a processor's cores by the threads of the job.
    weight = 1 if speeds["gpu"] else speeds.get("threads", 1)
    total = sum(parts.values(), Cost())
    energy = total.joules > 0
    lines = [f"{_HEADER}{unit:>13}{'disk':>11}{'kWh' if energy else '':>11}".rstrip()]
    for name, cost in {**parts, "in all": total}.items():
        models = f"{cost.models:>8,}" if cost.models and cost is not total else f"{'':>8}"
        counted = f"{len(cost.new):>8,}{cost.done:>8,}{cost.steps:>14,}" if cost.models else f"{'':>30}"
        hours = f"{cost.seconds * weight / 3600:>12,.2f}{' ' if cost.known else '+'}"
        kilowatt_hours = f"{cost.joules / 3.6e6:>10.2f}" if energy else ""
        lines.append(f"{name:<20}{models}{counted}{hours}{size(cost.stored):>11} {kilowatt_hours}".rstrip())
    return "\n".join([*lines, "", *_notes(total, speeds)])


def size(count: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 999.5:
            break
        count, unit = count / 1000, larger
    return f"{count:.0f} {unit}" if unit in ("B", "kB", "MB") else f"{count:.1f} {unit}"


def main(arguments: list[str]) -> int:
    """Print the plan of a study; 1 and the problems where its config or its throughput is wrong."""
    if not 1 <= len(arguments) <= 2:
        print("use: python -m frugalseg.plan CONFIG [THROUGHPUT]", file=sys.stderr)
        return 2
    try:
        config = load(Path(arguments[0]))
        speeds = speeds_of(config, Path(arguments[1]) if len(arguments) > 1 else None)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(costs(config, speeds, remaining=True), speeds))
    return 0


def _notes(total: Cost, speeds: Mapping[str, Any]) -> list[str]:
    notes = [
        "new: models that no line above has counted, so that each counts once; done: those of them that are there.",
        f"Hours from the throughput of {speeds['device']}, {_threads(speeds)}, jobs that take seconds left out.",
        "Disk holds patches, features and models; whole images come on top, and predictions are not kept.",
    ]
    estimated = [name for name, speed in speeds["recipes"].items() if speed.get("estimated")]
    if estimated:
        shown = ", ".join(estimated[:4]) + (f" and {len(estimated) - 4} more" if len(estimated) > 4 else "")
        notes.append(f"Not measured, but by operations from smaller recipes, within a factor of two or so: {shown}.")
    heaviest = max((speed.get("bytes", 0) for speed in speeds["recipes"].values()), default=0)
    if heaviest:
        notes.append(f"While a model trains, its running state takes up to another {size(2 * heaviest)}.")
    if not total.known:
        notes.append(
            "+ and what cannot be counted yet: patches that are not cut (say 'patches' in the dataset's file), test "
            "images\n  that are not prepared, recipes without a throughput."
        )
    return notes


def _threads(speeds: Mapping[str, Any]) -> str:
    count = speeds.get("threads", 1)
    return f"{count} thread{'s' if count > 1 else ''} a job"


def _say(text: str) -> None:
    print(f"measuring {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
