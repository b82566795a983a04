"""What seeds do to the scores on a test set, of every model of the study that has several."""

from itertools import groupby
from pathlib import Path

from frugalseg.answers.seeds import summarise_seeds
from frugalseg.runtime.logs import record

record(snakemake.log[0])
runs = zip(map(tuple, snakemake.params.models), map(Path, snakemake.input), strict=True)
files = {key: [path for _, path in group] for key, group in groupby(runs, key=lambda run: run[0][:2])}
summarise_seeds(files).to_csv(snakemake.output[0], index=False)
