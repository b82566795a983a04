"""How to keep the old: the answer, its table and its figure, from the scores of the start and of all candidates."""

from frugalseg.answers.answer_file import write_answer
from frugalseg.answers.keeping_answer import answer, to_table
from frugalseg.answers.keeping_data import read_ways
from frugalseg.answers.keeping_figure import draw_trade_off
from frugalseg.answers.keeping_text import sentences, to_markdown
from frugalseg.reporting import style
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.arms import keeping_requests

record(snakemake.log[0])
block, files = snakemake.params.block, snakemake.input
metrics, tuning = (dict(zip(keeping_requests(block), paths, strict=True)) for paths in (files.metrics, files.tuning))
found = answer(read_ways(block, metrics, tuning), block, snakemake.params.untrained)
to_table(found).to_csv(snakemake.output.csv, index=False)
text = to_markdown(found, block)
write_page(text, snakemake.output.markdown, snakemake.output.page)
words = sentences(found, block)
write_answer(snakemake.output.answer, snakemake.wildcards.keeping, block["title"], words)
style.save(draw_trade_off(found, block, words[0]), snakemake.output.png, snakemake.output.svg)
