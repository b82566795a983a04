"""The answer to a question: its table, page, words and figure, from the scores of its models."""

from importlib import import_module
from pathlib import Path

from frugalseg.answers.answer import Asked
from frugalseg.answers.answer_file import write
from frugalseg.runtime.logs import record

record(snakemake.log[0])
asked, files = snakemake.params.asked, snakemake.input
scores = {kind: dict(zip(asked[kind], map(Path, files[kind]), strict=True)) for kind in ("metrics", "tuning")}
others = {name: list(map(Path, named)) for name, named in files.items() if name not in scores}
found = import_module(f"frugalseg.answers.{asked['by']}").answer(
    Asked(snakemake.wildcards.question, asked["block"], **scores, files=others, settings=asked["settings"])
)
write(found, snakemake.wildcards.question, snakemake.output)
