"""How many patches there are and how many each model used, from the patch tables and the models' descriptions."""

from pathlib import Path

import pandas as pd
from frugalseg.logs import record
from frugalseg.reporting.counts import count_datasets, count_models, to_markdown

record(snakemake.log[0])
tables = dict(zip(snakemake.params.datasets, snakemake.input.patches, strict=True))
datasets = count_datasets(tables, snakemake.params.min_cells)
models = count_models(snakemake.input.descriptions)
pd.concat([datasets, models]).to_csv(snakemake.output.csv, index=False)
Path(snakemake.output.markdown).write_text(to_markdown(datasets, models, snakemake.params.min_cells), encoding="utf-8")
