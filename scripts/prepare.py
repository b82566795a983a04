"""Checked and normalised images of a dataset, from its files or from the synthetic microscope."""

import json
from pathlib import Path

from frugalseg.data.prepare import prepare
from frugalseg.runtime.logs import record

record(snakemake.log[0])
report = prepare(
    snakemake.params.dataset,
    snakemake.wildcards.dataset,
    snakemake.params.data_root,
    Path(snakemake.output.train[0]).parent,
    Path(snakemake.output.test[0]).parent,
)
Path(snakemake.output.checks).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
