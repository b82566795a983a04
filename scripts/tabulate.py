"""The table of an experiment, tidy and for reading, from the metrics of its models."""

from pathlib import Path

from frugalseg.answers import gap, pivots
from frugalseg.answers.efficiency import add_costs
from frugalseg.answers.selection_costs import add_selection_costs, with_selection_costs
from frugalseg.answers.tables import read_published, tabulate
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.experiments import GAP_CLOSED, cost_fields, gaps, requests
from frugalseg.study.metrics import OF_IMAGES

record(snakemake.log[0])
name, experiment = snakemake.wildcards.experiment, snakemake.params.experiment
with_published = bool(snakemake.input.published) and "published" in experiment
published = read_published(snakemake.input.published, experiment["published"]) if with_published else None
files = dict(zip(requests(experiment), snakemake.input.metrics, strict=True))
table = tabulate(name, files, OF_IMAGES, published)
notes = []
if "gap" in experiment:
    groups = gaps(name, experiment)
    notes = gap.notes(table, groups, experiment["gap"]) if GAP_CLOSED in experiment["metrics"] else []
    table = gap.add_gap_closed(table, groups, experiment["gap"]["metric"])
if fields := cost_fields(experiment):
    table = add_costs(table, fields, snakemake.params.recipes)
layout = {**experiment["pivot"], "metrics": experiment["metrics"]}
readable = pivots.pivot(table, **layout, notes=notes)
if snakemake.params.selection:
    benchmarks = Path(snakemake.output.csv).parents[1] / "benchmarks"
    table = add_selection_costs(table, snakemake.params.selection, benchmarks)
    readable = with_selection_costs(readable, table, **layout)
table.to_csv(snakemake.output.csv, index=False)

text = f"# {experiment['title']}\n\n{experiment['caption']}\n\n{pivots.to_markdown(readable)}"
write_page(text, snakemake.output.markdown, snakemake.output.page)
caption = f"{experiment['title']}. {experiment['caption']}"
Path(snakemake.output.tex).write_text(pivots.to_latex(readable, caption, f"tab:{name}"), encoding="utf-8")
