"""The study's first page, from its answers, its tables and its figures."""

from pathlib import Path

from frugalseg.answers.answer_file import read_answer
from frugalseg.reporting.front_page import front_page
from frugalseg.reporting.inline_images import inline
from frugalseg.runtime.logs import record

record(snakemake.log[0])
files = snakemake.input
answers = {answer["name"]: answer for answer in map(read_answer, files.answers)}
tables = {Path(path).stem: Path(path).read_text(encoding="utf-8") for path in files.tables}
figures = {Path(png).stem: inline(png, svg) for png, svg in zip(files.png, files.svg, strict=True)}
template = Path(files.template).read_text(encoding="utf-8")
page = front_page(snakemake.config, answers, tables, figures, template)
Path(snakemake.output[0]).write_text(page, encoding="utf-8")
