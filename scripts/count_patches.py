"""How many images and patches there are and how many each model used, from what was checked, the tables and the models."""

import pandas as pd

from frugalseg.reporting.counts import count_datasets, count_models, describe_images, to_markdown
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record

record(snakemake.log[0])
tables = dict(zip(snakemake.params.datasets, snakemake.input.patches, strict=True))
datasets = count_datasets(tables, snakemake.params.min_cells)
models = count_models(snakemake.input.descriptions)
pd.concat([datasets, models]).to_csv(snakemake.output.csv, index=False)
images = describe_images(snakemake.input.checks, snakemake.input.ceilings)
text = to_markdown(datasets, models, images, snakemake.params.min_cells)
write_page(text, snakemake.output.markdown, snakemake.output.page)
