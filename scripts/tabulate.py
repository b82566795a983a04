"""The table of an experiment, tidy and for reading, from the metrics of its models."""

from pathlib import Path

from frugalseg.answers.answer import Asked
from frugalseg.answers.experiment import answer
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.experiments import requests

record(snakemake.log[0])
name, block, output = snakemake.wildcards.experiment, snakemake.params.experiment, snakemake.output
asked_of = [((entry.recipe, entry.chain, seed), test) for entry, seed, test in requests(block)]
settings = {
    "recipes": snakemake.params.recipes,
    "selection": snakemake.params.selection,
    "benchmarks": Path(output.csv).parents[1] / "benchmarks",
}
files = {"published": [snakemake.input.published]} if snakemake.input.published else {}
metrics = dict(zip(asked_of, snakemake.input.metrics, strict=True))
made = answer(Asked(name, block, metrics, files=files, settings=settings))
made.table.to_csv(output.csv, index=False)
write_page(made.text, output.markdown, output.page)
Path(output.tex).write_text(made.tex, encoding="utf-8")
