"""Verdicts on the study's claims: the answer, its table and its figure, from the metrics of the models they name."""

from pathlib import Path

from frugalseg.answers import VERDICTS
from frugalseg.claims import claim_requests
from frugalseg.logs import record
from frugalseg.reporting import style
from frugalseg.reporting.answer_file import write_answer
from frugalseg.reporting.page import to_page
from frugalseg.reporting.verdicts import judge_claims, to_table
from frugalseg.reporting.verdicts_figure import draw_verdicts
from frugalseg.reporting.verdicts_text import QUESTION, sentences, to_markdown

record(snakemake.log[0])
claims, files = snakemake.params.claims, snakemake.input
metrics = dict(zip(claim_requests(claims), files.metrics, strict=True))
judged = judge_claims(claims, metrics, files.published or None)
to_table(judged).to_csv(snakemake.output.csv, index=False)
text = to_markdown(judged)
Path(snakemake.output.markdown).write_text(text, encoding="utf-8")
Path(snakemake.output.page).write_text(to_page(text), encoding="utf-8")
write_answer(snakemake.output.answer, VERDICTS, QUESTION, sentences(judged))
style.save(draw_verdicts(judged), snakemake.output.png, snakemake.output.svg)
