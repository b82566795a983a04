"""Features of a dataset's patches, from a masked autoencoder that sees the whole patch."""

from pathlib import Path

import torch

from frugalseg.data.stores import open_patches
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record
from frugalseg.selection.features import embed, save_features

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
patches = open_patches(Path(snakemake.input.patches[0]).parent)
features = embed(
    patches,
    snakemake.params.checkpoint,
    mask_ratio=snakemake.params.mask_ratio,
    pooling=snakemake.params.pooling,
    batch=snakemake.params.batch,
    device=claim_device(snakemake.resources.get("jobs_per_gpu", 1)),
)
save_features(snakemake.output.features, features, patches.table)
