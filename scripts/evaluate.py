"""Metrics of every test image of every dataset, from a model and the images."""

from pathlib import Path

import torch

from frugalseg.data.stores import open_images
from frugalseg.device import claim_device
from frugalseg.evaluation.evaluate import evaluate
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.logs import record
from frugalseg.training.run import autocast_type
from frugalseg.training.stage import load_network

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = claim_device(snakemake.resources.get("jobs_per_gpu", 1))
model = load_network(snakemake.params.recipe, snakemake.input.weights)
precision = autocast_type(snakemake.params.recipe["precision"], device)
for images, output in zip(snakemake.input.images, snakemake.output, strict=True):
    scores = evaluate(
        model,
        open_images(Path(images).parent),
        target=snakemake.params.recipe["target"],
        device=device,
        batch_size=snakemake.params.recipe["batch"],
        rescale=prediction_scale(model),
        dtype=precision,
    )
    scores.to_csv(output, index=False)
