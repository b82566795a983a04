"""The features in the plane, with the bins of the first selector and the picks of all, from features and orders."""

import numpy as np

from frugalseg.answers.looks.features import draw_features
from frugalseg.reporting import style
from frugalseg.runtime.logs import record
from frugalseg.selection.coresets import load, take

record(snakemake.log[0])
block = snakemake.params.figure
coresets = dict(zip(block["selectors"], map(load, snakemake.input.coresets), strict=True))
picks = {name: take(coreset, name, block["rate"], block["bins"]) for name, coreset in coresets.items()}
first = coresets[block["selectors"][0]]
bins = np.empty_like(first.bins)
bins[first.order] = first.bins
figure = draw_features(np.load(snakemake.input.features), bins, picks, seed=block["seed"])
style.save(figure, snakemake.output.png, snakemake.output.svg)
