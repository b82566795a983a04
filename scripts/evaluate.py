"""Metrics of every test image that a model is asked for, and of the images kept aside, from the model and the images."""

from pathlib import Path

import torch

from frugalseg.data.aside import tuning_rows
from frugalseg.data.stores import open_images
from frugalseg.evaluation.evaluate import evaluate, unscored
from frugalseg.evaluation.samples import prediction_scale
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record
from frugalseg.training.run import autocast_type
from frugalseg.training.stage import load_network


def score(inputs, outputs, aside=None):
    """Of training images, those that are kept aside; a file without a row where no question asks for a dataset."""
    folders = {Path(file).parents[1].name: Path(file).parent for file in inputs}
    for output in map(Path, outputs):
        if output.stem not in folders:
            unscored().to_csv(output, index=False)
            continue
        images = open_images(folders[output.stem])
        if aside is not None:
            images = images.take(tuning_rows(len(images), aside))
        scores = evaluate(
            model,
            images,
            target=recipe["target"],
            masks=recipe.get("masks"),
            device=device,
            batch_size=recipe["batch"],
            rescale=prediction_scale(model),
            dtype=autocast_type(recipe["precision"], device),
        )
        scores.to_csv(output, index=False)


record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
recipe, device = snakemake.params.recipe, claim_device(snakemake.resources.get("jobs_per_gpu", 1))
model = load_network(recipe, snakemake.input.weights)
score(snakemake.input.test, snakemake.output.test)
score(snakemake.input.tuning, snakemake.output.tuning, snakemake.params.aside)
