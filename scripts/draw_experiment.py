"""The figure of an experiment, from its table."""

from frugalseg.logs import record
from frugalseg.reporting import figures, style, tables

record(snakemake.log[0])
figure = figures.draw(tables.read(snakemake.input[0]), **snakemake.params.experiment["figure"])
style.save(figure, snakemake.output.png, snakemake.output.svg)
