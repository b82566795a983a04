"""Our speed beside the peers', on the same inputs, taking turns in one run: ``make bench``.

Prints a table and keeps it in benchmarks/results, with what was measured on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import case
import inputs
from measure import set_threads
from report import describe, write_csv, write_text
from roofline import measure_machine
from scaling import scaling_rows, scaling_table
from table import roofline_table, rows_of, speed_table

RESULTS = Path(__file__).parent / "results"
NOTES = """Seconds are medians; ratios are medians of peer's time / our time over timings taken one after the other, with
their range and number. Memory is the peak of a call beyond its inputs, in a process of its own."""
ROOFLINE_NOTES = """Operations and bytes are those of the plain algorithm: what must move between memory and processor at
least once; of networks, the inputs and outputs of every operation, in the type ours computes in. The roof is the
shortest time for them at the speeds of a stream copy and a matrix product on this machine, measured in this run.
Above 100 % work was avoided, or the data stayed in the caches."""


def main() -> None:
    """Measure all cases, print the tables and keep them."""
    options = _options()
    set_threads(options.threads)
    if not inputs.has_real_images():
        print(f"no real images in {inputs.REAL_DATA}: their rows are left out; set FRUGALSEG_REAL_DATA")
    machine = measure_machine()
    description = describe(machine, options.threads, options.repeats)
    rows = []
    for module, chosen in case.load(options.only, options.long):
        print(f"measuring {chosen.name}", flush=True)
        rows.extend(rows_of(module, chosen, machine, options.repeats, options.threads))
    header = "".join(f"- {name}: {value}\n" for name, value in description.items())
    if rows:
        text = f"{NOTES}\n\n{speed_table(rows)}\n{ROOFLINE_NOTES}\n\n{roofline_table(rows)}"
        print(text)
        if options.keep:
            write_csv(RESULTS / f"{options.keep}.csv", description, rows)
            write_text(RESULTS / f"{options.keep}.md", f"# Speed\n\n{header}\n{text}")
    if options.scaling:
        rows = list(scaling_rows(options.repeats, options.threads))
        print(scaling_table(rows))
        write_csv(RESULTS / "scaling.csv", description, rows)
        write_text(RESULTS / "scaling.md", f"# Scaling\n\n{header}\n{scaling_table(rows)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="regular expression: cases with it in their names")
    parser.add_argument("--keep", default="", help="name under which the table is kept in benchmarks/results")
    parser.add_argument("--long", action="store_true", help="also 128,458 patches, minutes each")
    parser.add_argument("--scaling", action="store_true", help="also time and memory over sizes")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each side")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of all libraries")
    return parser.parse_args()


if __name__ == "__main__":
    main()
