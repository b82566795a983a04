"""What the study ran on, from the installed packages, the processor and the GPUs of this machine."""

from frugalseg.reporting.page import write_page
from frugalseg.reporting.versions import to_markdown, versions
from frugalseg.runtime.logs import record

record(snakemake.log[0])
text = to_markdown(versions())
write_page(text, snakemake.output.markdown, snakemake.output.page)
