"""Metrics of every test image of every dataset, and of the images kept aside, from a model and the images."""

from pathlib import Path

import torch

from frugalseg.data.aside import tuning_rows
from frugalseg.data.stores import open_images
from frugalseg.evaluation.evaluate import evaluate
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record
from frugalseg.training.run import autocast_type
from frugalseg.training.stage import load_network

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
device = claim_device(snakemake.resources.get("jobs_per_gpu", 1))
model = load_network(snakemake.params.recipe, snakemake.input.weights)
precision = autocast_type(snakemake.params.recipe["precision"], device)
files = [*snakemake.input.test, *snakemake.input.tuning]
for number, (file, output) in enumerate(zip(files, snakemake.output, strict=True)):
    images = open_images(Path(file).parent)
    if number >= len(snakemake.input.test):
        images = images.take(tuning_rows(len(images), snakemake.params.aside))
    scores = evaluate(
        model,
        images,
        target=snakemake.params.recipe["target"],
        masks=snakemake.params.recipe.get("masks"),
        device=device,
        batch_size=snakemake.params.recipe["batch"],
        rescale=prediction_scale(model),
        dtype=precision,
    )
    scores.to_csv(output, index=False)
