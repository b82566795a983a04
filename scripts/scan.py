"""Scores of untrained networks at every width, and what each network costs, from a dataset's training images."""

from pathlib import Path

import torch

from frugalseg.data.stores import open_images
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record
from frugalseg.widths.scan import scan_dataset

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
scores, networks = scan_dataset(
    open_images(Path(snakemake.input.images[0]).parent),
    archs=snakemake.params.archs,
    device=claim_device(snakemake.resources.get("jobs_per_gpu", 1)),
    **snakemake.params.block,
)
scores.to_csv(snakemake.output.scores, index=False)
networks.to_csv(snakemake.output.networks, index=False)
