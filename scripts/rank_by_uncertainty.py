"""The order in which a selector takes the patches of a dataset that a model is uncertain of."""

from pathlib import Path

import torch

from frugalseg.data.stores import open_patches
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.evaluation.uncertainty import uncertainties
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record
from frugalseg.selection import coresets, select
from frugalseg.training.run import autocast_type
from frugalseg.training.stage import load_network

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device, recipe = claim_device(snakemake.resources.get("jobs_per_gpu", 1)), snakemake.params.recipe
model = load_network(recipe, snakemake.input.weights)
uncertain = uncertainties(
    model,
    open_patches(Path(snakemake.input.patches[0]).parent),
    device=device,
    batch_size=recipe["batch"],
    rescale=prediction_scale(model),
    dtype=autocast_type(recipe["precision"], device),
)
selection = select(snakemake.params.selector["method"], torch.from_numpy(uncertain)[:, None], seed=0)
coresets.save(Path(snakemake.output[0]), selection)
