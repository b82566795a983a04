"""Verdicts on the study's claims: the answer, its table and its figure, from the metrics of the models they name."""

from frugalseg.answers.answer import Asked
from frugalseg.answers.answer_file import write
from frugalseg.answers.claim import answer
from frugalseg.runtime.logs import record
from frugalseg.study.answers import VERDICTS
from frugalseg.study.claims import claim_requests

record(snakemake.log[0])
claims, files = snakemake.params.claims, snakemake.input
scores = [(measured[:3], measured[3]) for measured in claim_requests(claims)]
metrics, published = dict(zip(scores, files.metrics, strict=True)), {"published": list(files.published)}
write(answer(Asked(VERDICTS, claims, metrics, files=published)), VERDICTS, snakemake.output)
