"""What the study's tables, figures and models were made of: a record beside each, and all of it for machines."""

from pathlib import Path

from frugalseg.reporting.crate import describe_study
from frugalseg.reporting.records import files_of_models, record_of
from frugalseg.runtime.device import choose_device
from frugalseg.runtime.files import write_json
from frugalseg.runtime.logs import record
from frugalseg.runtime.provenance import sha256_of, surroundings

record(snakemake.log[0])
config, records = snakemake.config, snakemake.output.records
made = [snakemake.input.page, *snakemake.input.tables, *snakemake.input.figures, *files_of_models(config)]
hashes = {path: sha256_of(Path(path)) for path in made}
here = surroundings(choose_device())
for path in records:
    write_json(record_of(Path(path).parent.name, Path(path).stem, config, hashes, here), path)
hashes |= {path: sha256_of(Path(path)) for path in records}
write_json(describe_study(config, hashes), snakemake.output.crate)
