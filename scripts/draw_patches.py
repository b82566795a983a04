"""What selectors choose, side by side, from their orders and the patches."""

from pathlib import Path

from frugalseg.answers.looks.patches import draw_patches
from frugalseg.data.stores import open_patches
from frugalseg.reporting import style
from frugalseg.runtime.logs import record
from frugalseg.selection.coresets import load, take

record(snakemake.log[0])
block = snakemake.params.figure
title = f"{{}}, {block['rate']:g} %".format
picks = {
    title(selector): take(load(path), selector, block["rate"], block["bins"])
    for selector, path in zip(block["selectors"], snakemake.input.coresets, strict=True)
}
figure = draw_patches(open_patches(Path(snakemake.input.patches).parent).images, picks)
style.save(figure, snakemake.output.png, snakemake.output.svg)
