"""Verdicts on the study's claims: the answer, its table and its figure, from the metrics of the models they name."""

from frugalseg.answers.answer_file import write_answer
from frugalseg.answers.verdicts import judge_claims, to_table
from frugalseg.answers.verdicts_figure import draw_verdicts
from frugalseg.answers.verdicts_text import QUESTION, sentences, to_markdown
from frugalseg.reporting import style
from frugalseg.reporting.page import write_page
from frugalseg.runtime.logs import record
from frugalseg.study.answers import VERDICTS
from frugalseg.study.claims import claim_requests

record(snakemake.log[0])
claims, files = snakemake.params.claims, snakemake.input
metrics = dict(zip(claim_requests(claims), files.metrics, strict=True))
judged = judge_claims(claims, metrics, files.published or None)
to_table(judged).to_csv(snakemake.output.csv, index=False)
text = to_markdown(judged)
write_page(text, snakemake.output.markdown, snakemake.output.page)
write_answer(snakemake.output.answer, VERDICTS, QUESTION, sentences(judged))
style.save(draw_verdicts(judged), snakemake.output.png, snakemake.output.svg)
