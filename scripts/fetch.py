"""One file of a dataset, in place: downloaded, verified and unpacked, or found there."""

import json
from pathlib import Path

from frugalseg.data.downloads.description import Download
from frugalseg.data.downloads.fetch import fetch
from frugalseg.runtime.logs import record

record(snakemake.log[0])
download = Download.of(
    snakemake.wildcards.description,
    snakemake.wildcards.file,
    snakemake.params.download,
    Path(snakemake.params.root),
)
receipt = fetch(download, lock=Path(snakemake.scriptdir).parent / "config/datasets.lock.yaml")
receipt["revision"] = snakemake.params.revision
Path(snakemake.output[0]).write_text(json.dumps(receipt, indent=2) + "\n", encoding="utf-8")
