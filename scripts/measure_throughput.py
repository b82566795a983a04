"""How fast this machine trains and evaluates the networks of the study, from a minute of training on random patches."""

import sys
from pathlib import Path

import torch

from frugalseg.plan.throughput import measure
from frugalseg.runtime.device import claim_device
from frugalseg.runtime.files import write_json
from frugalseg.runtime.logs import record

record(snakemake.log[0])
torch.set_num_threads(snakemake.threads)
recipes = list(snakemake.params.recipes)
speeds = measure(
    snakemake.config,
    recipes,
    claim_device(snakemake.resources.get("jobs_per_gpu", 1)),
    lambda text: print(text, file=sys.stderr),
)
write_json(speeds, Path(snakemake.output[0]))
