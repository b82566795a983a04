"""A model: the last stage of its chain, from its parent's weights and the subsets of its sources."""

from pathlib import Path

import torch

from frugalseg.runtime.device import claim_devices
from frugalseg.runtime.logs import record
from frugalseg.training.distributed import launch
from frugalseg.training.stage import StageFiles, train_stage

# The processes of several GPUs import this file too.
if __name__ == "__main__":
    record(snakemake.log[0])
    torch.set_num_threads(snakemake.threads)
    files = StageFiles(
        patches=[Path(path).parent for path in snakemake.input.patches],
        coresets=[Path(path) for path in snakemake.input.coresets],
        validation=[Path(path).parent for path in snakemake.input.validation],
        parent=Path(snakemake.input.parent) if snakemake.input.parent else None,
        parent_patches=[Path(path).parent for path in snakemake.input.parent_patches],
        parent_coresets=[Path(path) for path in snakemake.input.parent_coresets],
    )
    launch(
        train_stage,
        claim_devices(snakemake.resources.get("gpu", 1), snakemake.resources.get("jobs_per_gpu", 1)),
        snakemake.log[0],
        snakemake.wildcards.chain,
        snakemake.wildcards.recipe,
        int(snakemake.wildcards.seed),
        files,
        config=snakemake.params.config,
        weights=snakemake.output.weights,
        log=snakemake.output.curve,
        description=snakemake.output.description,
        state_folder=snakemake.params.state,
        adapters=snakemake.output.get("adapters"),
    )
