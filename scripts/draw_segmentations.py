"""Outlines of the truth and of models over test images, from the models and the images."""

from pathlib import Path

from frugalseg.data.stores import open_images
from frugalseg.device import claim_device
from frugalseg.evaluation.samples import segment_samples
from frugalseg.logs import record
from frugalseg.reporting import style
from frugalseg.reporting.segmentations_figure import draw_segmentations
from frugalseg.training.stage import load_network

record(snakemake.log[0])
block = snakemake.params.figure
tests = {
    test: open_images(Path(path).parent) for test, path in zip(block["tests"], snakemake.input.images, strict=True)
}
models = {
    chain: load_network(snakemake.params.recipe, weights)
    for chain, weights in zip(block["chains"], snakemake.input.weights, strict=True)
}
samples = segment_samples(models, tests, block["images"], claim_device(snakemake.resources.get("jobs_per_gpu", 1)))
style.save(
    draw_segmentations(samples.images, samples.truth, samples.predictions), snakemake.output.png, snakemake.output.svg
)
