"""Kinds of questions: names that are taken, a study of datasets alone, and a kind of one's own in a copy of the package."""

import os
import shutil
import subprocess
import sys

import pytest
from studies import demo

from frugalseg.study.kinds import asked_of, study_models
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

KIND = '''
"""Spreads: how far seeds of one model lie apart."""

from typing import Literal

from frugalseg.study.keys import Keys, Seeds, key
from frugalseg.study.metric_keys import Metric
from frugalseg.study.kinds.checks import scored_problems
from frugalseg.study.kinds.kind import Kind


class Spread(Keys):
    """How far seeds of one model lie apart."""

    kind: Literal["spread"] = key("How far seeds lie apart.")
    title: str = key("One line for the report.")
    caption: str = key("What to see.", "")
    chain: str = key("The model.")
    test: str = key("Dataset whose test images are scored.")
    recipe: str = key("How it is trained.")
    seeds: Seeds = key("Seeds of the runs.")
    metric: Metric = key("What is scored.", "pq")


KIND = Kind(
    keys=Spread,
    answer="spread",
    scores=lambda block, study: [((block["recipe"], block["chain"], seed), block["test"]) for seed in block["seeds"]],
    problems=scored_problems,
    chains=lambda block: [("chain", block["chain"])],
)
'''
ANSWER = """
import pandas as pd

from frugalseg.answers.answer import Answer, Asked


def answer(asked: Asked) -> Answer:
    return Answer(pd.DataFrame({"runs": [len(asked.metrics)]}), "# Spread", asked.block["title"], ["It is said."])
"""
TEMPLATE = """
kind: spread
required: [dataset]
parameters: {recipe: small, seeds: [0, 1]}
question: {title: "Seeds of {dataset}", chain: "{dataset}", test: "{dataset}", recipe: "{recipe}", seeds: "{seeds}"}
"""
STUDY = "{study: s, datasets: {cyto: synthetic_cyto}, questions: {spread: {dataset: cyto, seeds: [0, 1, 2]}}}"


@pytest.mark.parametrize(
    ("name", "taken"),
    [("train", "a rule"), ("methods", "a table"), ("patches", "a table"), ("segmentations", "a figure")],
)
def test_names_of_rules_tables_and_figures_are_taken(root, name, taken):
    study = demo(root)
    study["questions"][name] = study["questions"]["zero_shot"]
    with pytest.raises(ConfigError, match=f"questions.{name}: this is the name of {taken}; choose another"):
        complete(study, root)


def test_datasets_alone_are_a_study(root):
    study = complete({"study": "looked_at", "datasets": {"cyto": "synthetic_cyto"}}, root)
    assert asked_of(study) == {}
    assert study_models(study) == []
    assert study["recipes"] == study["selectors"] == {}


def test_a_kind_is_a_module_its_answer_a_template_and_a_line(root, tmp_path):
    for folder in ("workflow", "config"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "Snakefile", tmp_path)
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    package = tmp_path / "workflow/frugalseg"
    (package / "study/kinds/spread.py").write_text(KIND)
    (package / "answers/spread.py").write_text(ANSWER)
    (tmp_path / "config/questions/spread.yaml").write_text(TEMPLATE)
    kinds = package / "study/kinds/__init__.py"
    text = kinds.read_text().replace("import claim,", "import claim, spread,")
    kinds.write_text(
        text.replace('    "claim": claim.KIND,\n', '    "claim": claim.KIND,\n    "spread": spread.KIND,\n')
    )
    (tmp_path / "study.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--configfile", "study.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "workflow")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert "results/s/answers/spread.json" in said
    assert "results/s/metrics/small/cyto/seed2/cyto.csv" in said
