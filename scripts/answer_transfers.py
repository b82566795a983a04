"""What is forgotten along chains and what transfers: the answer, its table and its figure, from the models' metrics."""

from frugalseg.answers.answer_file import write_answer
from frugalseg.answers.transfer_data import read_paths, to_table
from frugalseg.answers.transfer_figure import draw_transfer
from frugalseg.answers.transfer_text import sentences, to_markdown
from frugalseg.reporting import style
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.statistics.transfer import transfer

record(snakemake.log[0])
block = snakemake.params.block
metrics = dict(zip(snakemake.params.requests, snakemake.input.metrics, strict=True))
paths = read_paths(block, snakemake.params.rows, metrics)
found = {chain: transfer(path) for chain, path in paths.items()}
to_table(block, paths, found).to_csv(snakemake.output.csv, index=False)
words = sentences(block, paths, found)
text = to_markdown(block, paths, found, words)
write_page(text, snakemake.output.markdown, snakemake.output.page)
write_answer(snakemake.output.answer, snakemake.wildcards.transfer, block["title"], words)
figure = draw_transfer(block, paths, found, words[0])
style.save(figure, snakemake.output.png, snakemake.output.svg)
