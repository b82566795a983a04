"""How many more images: the answer, its table and its figure, from the metrics of the models of a learning curve."""

import numpy as np

from frugalseg.answers.answer_file import write_answer
from frugalseg.answers.learning_curve_answer import answer, to_table
from frugalseg.answers.learning_curve_data import read_curve
from frugalseg.answers.learning_curve_figure import draw_learning_curve
from frugalseg.answers.learning_curve_text import sentences, to_markdown
from frugalseg.reporting import style
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.experiments import curve_models

record(snakemake.log[0])
block, files = snakemake.params.block, snakemake.input
metrics = dict(zip(curve_models(block), files.metrics, strict=True))
measured = read_curve(block, metrics, files.coresets, files.patches, files.images, snakemake.params.bins)
found = answer(measured, block, np.random.default_rng(0))
to_table(found).to_csv(snakemake.output.csv, index=False)
text = to_markdown(found, block)
write_page(text, snakemake.output.markdown, snakemake.output.page)
words = sentences(found, block)
write_answer(snakemake.output.answer, snakemake.wildcards.curve, block["title"], words)
figure = draw_learning_curve(found, block, words[0])
style.save(figure, snakemake.output.png, snakemake.output.svg)
