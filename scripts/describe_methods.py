"""The methods of the study in words, with citations, from its config."""

from pathlib import Path

from frugalseg.reporting.methods import to_markdown
from frugalseg.reporting.page import to_page
from frugalseg.runtime.logs import record

record(snakemake.log[0])
text = to_markdown(snakemake.params.study)
Path(snakemake.output.markdown).write_text(text, encoding="utf-8")
Path(snakemake.output.page).write_text(to_page(text), encoding="utf-8")
