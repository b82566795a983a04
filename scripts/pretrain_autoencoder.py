"""A small masked autoencoder, from the patches of a dataset."""

from pathlib import Path

import torch

from frugalseg.data.stores import open_patches
from frugalseg.pretraining.autoencoder import pretrain, save
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
model = pretrain(
    [open_patches(Path(snakemake.input[0]).parent)],
    seed=0,
    device=claim_device(snakemake.resources.get("jobs_per_gpu", 1)),
    **snakemake.params.pretraining,
)
save(model, Path(snakemake.output[0]).parent)
