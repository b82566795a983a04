"""A small masked autoencoder, from the patches of all datasets of the study."""

from pathlib import Path

import torch

from frugalseg.data.stores import open_patches
from frugalseg.pretraining.autoencoder import pretrain, save
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
folders = dict.fromkeys(Path(path).parent for path in snakemake.input)
model = pretrain(
    [open_patches(folder) for folder in folders],
    seed=0,
    device=claim_device(snakemake.resources.get("jobs_per_gpu", 1)),
    **snakemake.params.pretraining,
)
save(model, Path(snakemake.output[0]).parent)
