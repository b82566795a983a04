"""The figure of an experiment, from its table."""

from frugalseg.answers.experiment import read
from frugalseg.answers.experiment_figure import draw
from frugalseg.reporting import style
from frugalseg.runtime.logs import record

record(snakemake.log[0])
experiment = snakemake.params.experiment
figure = draw(read(snakemake.input[0]), **experiment["figure"], gap=experiment.get("gap"))
style.save(figure, snakemake.output.png, snakemake.output.svg)
