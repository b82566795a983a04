"""The order in which a selector takes the patches of a dataset, from their features or at random."""

from pathlib import Path

import numpy as np
import torch

from frugalseg.data.stores import read_table
from frugalseg.runtime.logs import record
from frugalseg.selection import coresets, select

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
options = dict(snakemake.params.selector)
method = options.pop("method")
if method == "dq":
    options["bins"] = snakemake.params.bins
features = snakemake.input.get("features")
selection = select(
    method,
    None if features is None else torch.from_numpy(np.load(features)),
    int(snakemake.wildcards.get("seed", 0)),
    patches=read_table(snakemake.input.patches),
    **options,
)
coresets.check_images(selection, snakemake.params.get("images", 0), snakemake.wildcards.dataset)
coresets.save(Path(snakemake.output[0]), selection)
