"""Snakemake on a copy of the workflow, so that tests neither see nor touch the results of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


class Workflow:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shutil.copy(root / "Snakefile", folder)
        for part in ("config", "envs", "scripts", "workflow"):
            shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("frugalseg", "__pycache__"))

    def start(
        self, *arguments: str | Path, environment: dict[str, str] | None = None, **popen: object
    ) -> subprocess.Popen[str]:
        """Snakemake at work, on one thread a job where the rules do not say otherwise."""
        command = [sys.executable, "-m", "snakemake", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        return subprocess.Popen(command, env=environment, text=True, **({"cwd": self.folder} | popen))

    def run(self, *arguments: str | Path, success: bool = True, **popen: object) -> str:
        """What Snakemake says; an assertion fails where it does not end as expected."""
        command = ("--cores", "2", *arguments)
        with self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **popen) as process:
            output = process.communicate()[0]
        assert (process.returncode == 0) == success, output[-6000:]
        return output
