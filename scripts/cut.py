"""Patches with labels and target flows, cut from whole images."""

from pathlib import Path

from frugalseg.data.aside import training_rows
from frugalseg.data.patches import cut
from frugalseg.data.stores import open_images
from frugalseg.runtime.logs import record

record(snakemake.log[0])
settings = snakemake.params.patches
validation = snakemake.wildcards.split == "validation"
images = open_images(Path(snakemake.input[0]).parent)
cut(
    images if validation else images.take(training_rows(len(images), snakemake.params.aside)),
    Path(snakemake.output[0]).parent,
    size=settings["size"],
    stride=settings["size"] if validation else settings["stride"],
    border=settings["border"],
    most=settings["validation"] if validation else None,
)
