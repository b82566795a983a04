"""What the study ran on, from the installed packages, the processor and the GPUs of this machine."""

from pathlib import Path

from frugalseg.reporting.page import to_page
from frugalseg.reporting.versions import to_markdown, versions
from frugalseg.runtime.logs import record

record(snakemake.log[0])
text = to_markdown(versions())
Path(snakemake.output.markdown).write_text(text, encoding="utf-8")
Path(snakemake.output.page).write_text(to_page(text), encoding="utf-8")
