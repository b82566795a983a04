"""What the jobs of a study took, from the benchmark files that Snakemake writes beside its results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple


class Benchmark(NamedTuple):
    """Wall time of a job, and its largest memory: NaN of a job that ended before it was looked at."""

    seconds: float
    mebibytes: float


def read_benchmark(path: Path) -> Benchmark | None:
    """What a job took when it last ran, also in an earlier run of the study; None where it left no record."""
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    memory = record.get("max_rss")
    return Benchmark(float(record["s"]), float(memory) if isinstance(memory, int | float) else math.nan)
