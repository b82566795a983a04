"""Our speed beside the peers', on the same inputs, interleaved in one run: ``make bench``."""

from __future__ import annotations

import argparse
import csv
import datetime
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cases import Case, cases
from frugalseg.reporting.versions import versions

COLUMNS = ("work", "ours_seconds", "peer", "peer_seconds", "ratio", "agreement")


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Median seconds of both sides, taking turns, after one run of each that is not counted."""
    agreement = case.agreement(case.ours(), case.theirs())
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds(case.ours))
        theirs.append(seconds(case.theirs))
    mine, peer = statistics.median(ours), statistics.median(theirs)
    values = (case.work, round(mine, 5), case.peer, round(peer, 5), round(peer / mine, 2), agreement)
    return dict(zip(COLUMNS, values, strict=True))


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Time every case, print the table and keep it in benchmarks/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of PyTorch and numba")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for case in cases():
        rows.append(measure(case, options.repeats))
        print(
            "{work}: {ours_seconds} s, {peer}: {peer_seconds} s, {ratio}x; {agreement}".format(**rows[-1]), flush=True
        )
    path = Path(__file__).parent / "results" / f"{datetime.date.today().isoformat()}.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        machine = {**versions(), "threads": options.threads, "repeats": options.repeats}
        file.writelines(f"# {name}: {value}\n" for name, value in machine.items())
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    print(f"kept in {path}")


if __name__ == "__main__":
    main()
