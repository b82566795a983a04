"""What is forgotten along chains and what transfers: the answer, its table and its figure, from the models' metrics."""

from frugalseg.answers.answer import Asked
from frugalseg.answers.answer_file import write
from frugalseg.answers.transfer import answer
from frugalseg.runtime.logs import record
from frugalseg.study.transfers import transfer_requests

record(snakemake.log[0])
name, block, recipes = snakemake.wildcards.transfer, snakemake.params.block, snakemake.params.recipes
metrics = dict(zip(transfer_requests(block, recipes), snakemake.input.metrics, strict=True))
write(answer(Asked(name, block, metrics, settings={"recipes": recipes})), name, snakemake.output)
