"""The methods of the study in words, with citations, from its config."""

from frugalseg.reporting.methods import to_markdown
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record

record(snakemake.log[0])
text = to_markdown(snakemake.params.study)
write_page(text, snakemake.output.markdown, snakemake.output.page)
