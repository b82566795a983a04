"""Choices, accuracy and verdict of a width scan, from its scores and the metrics of the trained networks."""

from pathlib import Path

from frugalseg.answers.answer import Asked
from frugalseg.answers.widths import answer
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.experiments import width_models

record(snakemake.log[0])
name, block, output = snakemake.wildcards.scan, snakemake.params.block, snakemake.output
metrics = {
    (model, block["dataset"]): path for model, path in zip(width_models(block), snakemake.input.metrics, strict=True)
}
files = {key: [snakemake.input[key]] for key in ("scores", "networks", "published") if snakemake.input.get(key)}
found = answer(Asked(name, block, metrics, files=files))
for key, table in found.tables.items():
    table.to_csv(output[key], index=False)
found.table.to_csv(output.csv, index=False)
write_page(found.text, output.markdown, output.page)
Path(output.tex).write_text(found.tex, encoding="utf-8")
