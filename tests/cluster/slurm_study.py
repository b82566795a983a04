"""Copies of the workflow that run on the throw-away cluster under the real Slurm profile."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import yaml
from workflow_copy import Workflow

TINY = ("--configfile", "tiny.yaml")
LONGER = ("--configfile", "tiny.yaml", "longer.yaml")
MODELS = {chain: f"results/tiny/models/small/{chain}/seed0/model.pt" for chain in ("cyto", "histo", "cyto_to_histo")}


class Study(Workflow):
    """A copy of the workflow with the studies of these tests and the Slurm profile, as the throw-away cluster needs it."""

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(root, folder)
        shutil.copy(root / "tests/workflow/tiny.yaml", folder)
        shutil.copy(root / "tests/cluster/longer.yaml", folder)
        profile = yaml.safe_load((root / "workflow/profiles/slurm/config.yaml").read_text(encoding="utf-8"))
        # Two cores stand in for two nodes, and bits are compared with those of one thread.
        self.threads = dict.fromkeys(profile["set-threads"], 1)
        profile["set-threads"] = self.threads
        profile["default-resources"]["slurm_partition"] = "standard"
        profile["slurm-status-command"] = "squeue"
        profile["slurm-init-seconds-before-status-checks"] = 2
        profile["slurm-keep-successful-logs"] = True
        (folder / "throwaway").mkdir()
        (folder / "throwaway/config.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")

    def run_here(self, *arguments: str) -> str:
        """Snakemake on this machine, with as many threads a job as in the cluster."""
        threads = [f"{rule}={count}" for rule, count in self.threads.items()]
        return self.run(*arguments, "--set-threads", *threads)

    def start_in_cluster(self, *arguments: str) -> subprocess.Popen[str]:
        """Snakemake at work in the cluster; what it says is in the file ``snakemake.txt``."""
        with (self.folder / "snakemake.txt").open("a", encoding="utf-8") as log:
            command = ("--workflow-profile", "throwaway", *arguments)
            return self.start(*command, stdout=log, stderr=subprocess.STDOUT)

    def end(self, process: subprocess.Popen[str]) -> None:
        """Wait for Snakemake in the cluster; an assertion fails where it does not end well."""
        assert process.wait(timeout=400) == 0, (self.folder / "snakemake.txt").read_text(encoding="utf-8")[-6000:]

    def take_patches(self, other: Study) -> None:
        """Take over the images and patches of a copy in which they are there."""
        for part in ("results/tiny/images", "results/tiny/patches", ".snakemake/metadata"):
            shutil.copytree(other.folder / part, self.folder / part)

    def bits(self) -> dict[str, str]:
        """SHA-256 of every checkpoint and every file of metrics."""
        results = self.folder / "results/tiny"
        files = [*results.glob("models/**/model.pt"), *results.glob("metrics/**/*.csv")]
        return {str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def slurm_logs(self, job: str) -> list[Path]:
        """Logs that Slurm kept of the jobs of a rule (``rule_...``) or group (``group_...``)."""
        return list((self.folder / ".snakemake/slurm_logs").glob(f"{job}*/**/*.log"))

    def training_log(self, chain: str) -> str:
        """What the last job that trained a chain of the longer study said; nothing while Snakemake starts another."""
        path = self.folder / f"results/tiny/logs/train/small/{chain}/seed0.txt"
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""

    def has_saved(self, chain: str) -> bool:
        """Whether a training of the longer study has got as far as a running state, and is not done yet."""
        return (self._state(chain) / "state.pt").exists()

    def holder(self, chain: str) -> str:
        """The process that trains a chain of the longer study."""
        return (self._state(chain) / "lock").read_text(encoding="utf-8")

    def _state(self, chain: str) -> Path:
        return self.folder / f"results/tiny/state/small/{chain}/seed0"
