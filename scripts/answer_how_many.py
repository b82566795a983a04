"""How many more images: the answer, its table and its figure, from the metrics of the models of a learning curve."""

from frugalseg.answers.answer import Asked
from frugalseg.answers.answer_file import write
from frugalseg.answers.learning_curve import answer
from frugalseg.runtime.logs import record
from frugalseg.study.experiments import curve_models

record(snakemake.log[0])
name, block, files = snakemake.wildcards.curve, snakemake.params.block, snakemake.input
scores = [(model, block["test"]) for model in curve_models(block)]
others = {"coresets": files.coresets, "patches": [files.patches], "images": [files.images]}
settings = {"bins": snakemake.params.bins}
asked = Asked(name, block, dict(zip(scores, files.metrics, strict=True)), files=others, settings=settings)
write(answer(asked), name, snakemake.output)
