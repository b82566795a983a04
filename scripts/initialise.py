"""A network before its first step, from the patches that its training would see."""

from pathlib import Path

import torch

from frugalseg.runtime.logs import record
from frugalseg.training.stage import StageFiles
from frugalseg.training.untrained import start_stage

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
start_stage(
    snakemake.wildcards.chain,
    snakemake.wildcards.recipe,
    int(snakemake.wildcards.seed),
    StageFiles(
        patches=[Path(path).parent for path in snakemake.input.patches],
        coresets=[Path(path) for path in snakemake.input.coresets],
        validation=[],
        parent=None,
    ),
    config=snakemake.params.config,
    weights=snakemake.output.weights,
    log=snakemake.output.curve,
    description=snakemake.output.description,
)
