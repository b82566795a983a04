"""What the study was planned to take beside what it took, from the throughput and the benchmarks of its jobs."""

import json
from pathlib import Path

from frugalseg.reporting.costs import compare, to_markdown
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record

record(snakemake.log[0])
speeds = json.loads(Path(snakemake.input.throughput).read_text(encoding="utf-8"))
table = compare(snakemake.config, speeds)
table.to_csv(snakemake.output.csv, index=False)
text = to_markdown(table, speeds)
write_page(text, snakemake.output.markdown, snakemake.output.page)
