"""A model between a parent and its child, from their weights."""

from frugalseg.runtime.logs import record
from frugalseg.training.untrained import interpolate_stage

record(snakemake.log[0])
interpolate_stage(
    snakemake.wildcards.chain,
    snakemake.wildcards.recipe,
    int(snakemake.wildcards.seed),
    snakemake.input.parent,
    snakemake.input.child,
    config=snakemake.params.config,
    weights=snakemake.output.weights,
    log=snakemake.output.curve,
    description=snakemake.output.description,
)
