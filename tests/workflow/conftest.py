"""Copies of the workflow, and one in which the tiny study has run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflow_copy import Workflow


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
