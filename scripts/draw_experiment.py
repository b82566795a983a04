"""The figure of an experiment, from its table."""

from frugalseg.logs import record
from frugalseg.reporting import figures, style, tables

record(snakemake.log[0])
experiment = snakemake.params.experiment
figure = figures.draw(tables.read(snakemake.input[0]), **experiment["figure"], gap=experiment.get("gap"))
style.save(figure, snakemake.output.png, snakemake.output.svg)
