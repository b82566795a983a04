"""The workflow away from its checkout: in another directory, and as a module of another workflow."""

import json
import shutil

import pytest
from workflow_copy import Workflow

pytestmark = pytest.mark.workflow

OUTER = """
configfile: "tiny.yaml"


module frugalseg:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from frugalseg as frugalseg_*


rule best:
    default_target: True
    input:
        rules.frugalseg_redundancy.input,
    output:
        "best.txt",
    shell:
        "grep dq5 {{input[0]}} > {{output}}"
"""
CHECKS = "results/tiny/images/histo/checks.json"


@pytest.fixture
def elsewhere(root, tmp_path):
    """A folder with the tiny study, away from the workflow."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(root / "tests/workflow/tiny.yaml", folder)
    return folder


def test_results_lie_in_the_directory_that_is_asked_for(workflow, elsewhere):
    study = ("--directory", elsewhere, "--configfile", elsewhere / "tiny.yaml")
    assert "results/tiny/answers.html" in workflow.run("--dry-run", *study)
    workflow.run(CHECKS, *study)
    assert json.loads((elsewhere / CHECKS).read_text())["splits"]["train"]["images"] > 0
    assert not (workflow.folder / "results").exists()


def test_another_workflow_uses_all_rules_as_a_module(root, tmp_path, elsewhere):
    workflow = Workflow(root, tmp_path / "frugalseg")
    (elsewhere / "Snakefile").write_text(OUTER.format(snakefile=workflow.folder / "workflow/Snakefile"))
    planned = workflow.run("--dry-run", cwd=elsewhere)
    assert "rule best:" in planned
    assert "rule frugalseg_train:" in planned
    assert "output: results/tiny/tables/redundancy.csv" in planned
    workflow.run(CHECKS, cwd=elsewhere)
    assert json.loads((elsewhere / CHECKS).read_text())["splits"]["train"]["images"] > 0
