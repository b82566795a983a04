"""The table of an experiment, tidy and for reading, from the metrics of its models."""

from pathlib import Path

from frugalseg.evaluation.metrics import METRICS
from frugalseg.experiments import requests
from frugalseg.logs import record
from frugalseg.reporting import pivots
from frugalseg.reporting.page import to_page
from frugalseg.reporting.tables import read_published, tabulate

record(snakemake.log[0])
name, experiment = snakemake.wildcards.experiment, snakemake.params.experiment
with_published = bool(snakemake.input.published) and "published" in experiment
published = read_published(snakemake.input.published, experiment["published"]) if with_published else None
files = dict(zip(requests(experiment), snakemake.input.metrics, strict=True))
table = tabulate(name, files, METRICS, published)
table.to_csv(snakemake.output.csv, index=False)

readable = pivots.pivot(table, **experiment["pivot"], metrics=experiment["metrics"])
text = f"# {experiment['title']}\n\n{experiment['caption']}\n\n{pivots.to_markdown(readable)}"
Path(snakemake.output.markdown).write_text(text, encoding="utf-8")
Path(snakemake.output.page).write_text(to_page(text), encoding="utf-8")
caption = f"{experiment['title']}. {experiment['caption']}"
Path(snakemake.output.tex).write_text(pivots.to_latex(readable, caption, f"tab:{name}"), encoding="utf-8")
