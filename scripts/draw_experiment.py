"""The figure of an experiment, from its table."""

from frugalseg.answers import figures, tables
from frugalseg.reporting import style
from frugalseg.runtime.logs import record

record(snakemake.log[0])
experiment = snakemake.params.experiment
figure = figures.draw(tables.read(snakemake.input[0]), **experiment["figure"], gap=experiment.get("gap"))
style.save(figure, snakemake.output.png, snakemake.output.svg)
