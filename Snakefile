# frugalseg: how little will do? The study at a glance.
#
#   fetch       addresses -> files of datasets and weights, verified
#   data        images -> checked images -> patches with target flows
#   coresets    patches -> features -> the order in which a selector takes them
#   training    a chain names a model: parent checkpoint + subsets -> model
#   evaluation  model -> metrics of every test image
#   widths      untrained networks of every width -> scores -> a choice, and its proof by training
#   answers     a question and the scores of its models -> table, figure and words
#   reporting   methods, costs, versions, and all of it on one page
#
# A question of the study is a target of its own: snakemake forgetting
import gc
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

min_version("9.0")

# Thousands of jobs are millions of objects that stay: Python's collector need not go through them again and again.
gc.set_threshold(1_000_000, 20, 100)


# Where this file lies, also where another workflow uses it as a module.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False))


# A study is whole: the demo is read where no other is given.
if "study" not in config:

    configfile: str(ROOT / "config/config.yaml")


try:
    completed = complete(config, root=ROOT, files=workflow.configfiles)
except ConfigError as error:
    raise WorkflowError(str(error)) from None
config.clear()
config.update(completed)


pathvars:
    results=f"results/{config['study']}",


report: "workflow/report/study.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/inputs/data.smk"
include: "workflow/rules/inputs/coresets.smk"
include: "workflow/rules/inputs/models.smk"
include: "workflow/rules/inputs/answers.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/coresets.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/widths.smk"
include: "workflow/rules/answers.smk"
include: "workflow/rules/reporting.smk"


wildcard_constraints:
    description=one_of(config["downloads"]),
    dataset=one_of(config["datasets"]),
    split="train|validation",
    recipe=one_of(config["recipes"]),
    chain=chains.CHAIN,
    seed="[0-9]+",


rule tables:
    input:
        collect("<results>/tables/{table}.md", table=[*TABLES, *METHODS]),


rule figures:
    input:
        collect("<results>/figures/{figure}.png", figure=FIGURES),


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        "<results>/answers.html",
        "<results>/ro-crate-metadata.json",


# Each question as a target: its table and, where it has one, its figure.
for name in ANSWERS:

    rule:
        name:
            name
        input:
            f"<results>/tables/{name}.md",
            f"<results>/figures/{name}.png" if name in FIGURES else [],
