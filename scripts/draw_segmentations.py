"""Outlines of the truth and of models over test images, from the models and the images, and metrics that choose these."""

from pathlib import Path

from frugalseg.answers.looks.segmentations import draw_segmentations
from frugalseg.data.stores import open_images, read_table
from frugalseg.evaluation.samples import evenly_spaced, most_changed, segment_samples
from frugalseg.reporting import style
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.logs import record
from frugalseg.training.run import autocast_type
from frugalseg.training.stage import load_network

record(snakemake.log[0])
block, recipe, files = snakemake.params.figure, snakemake.params.recipe, snakemake.input
changed, count = block.get("changed"), block["images"]
tests = {test: open_images(Path(path).parent) for test, path in zip(block["tests"], files.images, strict=True)}
if changed:
    before, after = (dict(zip(tests, map(read_table, paths), strict=True)) for paths in (files.before, files.after))
    chosen = {test: most_changed(before[test], after[test], changed["metric"], count) for test in tests}
else:
    chosen = {test: evenly_spaced(len(images), count) for test, images in tests.items()}
models = {chain: load_network(recipe, weights) for chain, weights in zip(block["chains"], files.weights, strict=True)}
device = claim_device(snakemake.resources.get("jobs_per_gpu", 1))
samples = segment_samples(
    models,
    tests,
    chosen,
    target=recipe["target"],
    masks=recipe.get("masks"),
    device=device,
    batch_size=recipe["batch"],
    dtype=autocast_type(recipe["precision"], device),
)
figure = draw_segmentations(samples.images, samples.truth, samples.predictions, changed=changed)
style.save(figure, snakemake.output.png, snakemake.output.svg)
