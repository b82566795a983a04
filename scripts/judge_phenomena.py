"""Whether the study's numbers bear its statements out, from the metrics of the models they name."""

from pathlib import Path

from frugalseg.logs import record
from frugalseg.reporting.page import to_page
from frugalseg.reporting.phenomena import judge, requests, to_markdown

record(snakemake.log[0])
phenomena = snakemake.params.phenomena
verdicts = judge(phenomena, dict(zip(requests(phenomena), dict.fromkeys(snakemake.input), strict=True)))
verdicts.to_csv(snakemake.output.csv, index=False)
text = to_markdown(verdicts)
Path(snakemake.output.markdown).write_text(text, encoding="utf-8")
Path(snakemake.output.page).write_text(to_page(text), encoding="utf-8")
