"""Snakemake on a copy of the workflow, so that tests neither see nor touch the results of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


class Workflow:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        shutil.copy(root / "Snakefile", folder)
        for part in (
            "config",
            "envs",
            "scripts",
            "workflow/rules",
            "workflow/schemas",
            "workflow/report",
            "workflow/profiles",
        ):
            shutil.copytree(root / part, folder / part)

    def run(self, *arguments: str | Path, success: bool = True) -> str:
        """What Snakemake says; an assertion fails where it does not end as expected."""
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert (done.returncode == 0) == success, output[-6000:]
        return output


@pytest.fixture
def workflow(root: Path, tmp_path: Path) -> Workflow:
    """A fresh copy of the workflow."""
    return Workflow(root, tmp_path)


@pytest.fixture(scope="module")
def tiny(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy of the workflow in which the tiny study has run."""
    workflow = Workflow(root, tmp_path_factory.mktemp("tiny"))
    shutil.copy(root / "tests/workflow/tiny.yaml", workflow.folder)
    workflow.run("--configfile", "tiny.yaml")
    return workflow
