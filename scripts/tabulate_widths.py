"""Choices, accuracy and verdict of a width scan, from its scores and the metrics of the trained networks."""

from pathlib import Path

from frugalseg.answers.widths import analyse, read_published
from frugalseg.answers.widths_text import to_latex, to_markdown
from frugalseg.data.stores import read_table
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.experiments import width_models

record(snakemake.log[0])
block = snakemake.params.block
metrics = dict(zip(width_models(block), snakemake.input.metrics, strict=True))
found = analyse(read_table(snakemake.input.scores), read_table(snakemake.input.networks), block, metrics)
found.choices.to_csv(snakemake.output.choices, index=False)
found.accuracy.to_csv(snakemake.output.accuracy, index=False)
found.networks.to_csv(snakemake.output.csv, index=False)
published = read_published(snakemake.input.published, block["published"]["dataset"]) if "published" in block else None
text = to_markdown(block, found.sentences, found.choices, found.networks, published)
write_page(text, snakemake.output.markdown, snakemake.output.page)
label = f"tab:{snakemake.wildcards.scan}"
text = to_latex(block, found.choices, found.networks, published, label)
Path(snakemake.output.tex).write_text(text, encoding="utf-8")
