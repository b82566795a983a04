"""How to keep the old: the answer, its table and its figure, from the scores of the start and of all candidates."""

from frugalseg.answers.answer import Asked
from frugalseg.answers.answer_file import write
from frugalseg.answers.keeping import answer
from frugalseg.runtime.logs import record
from frugalseg.study.arms import keeping_requests

record(snakemake.log[0])
name, block, files = snakemake.wildcards.keeping, snakemake.params.block, snakemake.input
metrics, tuning = (dict(zip(keeping_requests(block), paths, strict=True)) for paths in (files.metrics, files.tuning))
write(
    answer(Asked(name, block, metrics, tuning, settings={"recipes": snakemake.params.recipes})), name, snakemake.output
)
