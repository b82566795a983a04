"""The documentation is true: every file that a page gives is written, and every command of every page is run.

A block whose first line is a comment with a path is that file; a block of the language diff changes one. Commands stand in
blocks of the language bash; those marked ``bash elsewhere`` need a container engine or a cluster, and only their syntax
and the files that they name are looked at. Commands that would take hours are run as far as a minute allows: HANDLERS
says how, and a command that none of them knows is a failure.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from frugalseg.data.synthetic import draw

pytestmark = pytest.mark.workflow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "config/README.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]

# Layered over the studies that the pages give, so that what they show takes seconds.
SMALL = """
datasets: {cyto: plates}
patches: {size: 64, stride: 96, min_cells: 1, validation: 4}
features:
  pretraining:
    {image_size: 32, patch_size: 8, hidden_size: 16, layers: 1, heads: 2, decoder_hidden_size: 16, decoder_layers: 1,
    decoder_heads: 2, steps: 3, batch: 8}
recipes:
  small: {like: small, widths: [4, 8], steps: 2, batch: 2, crop: 32}
  context: {arch: context, steps: 2, batch: 2, crop: 32}
"""


#: The throughput that docs/cluster.md writes down.
THROUGHPUT = "workflow/profiles/slurm/throughput.json"


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    mark: str
    text: str

    @property
    def file(self) -> str | None:
        """The path of the file that the block is, if it is one; of JSON, which has no comments, the fence names it."""
        if self.language == "json":
            return self.mark or None
        path = re.match(r"# (\S+/\S+\.\w+)\n", self.text) if self.language in ("yaml", "python") else None
        return path[1] if path else None

    @property
    def commands(self) -> list[str]:
        """The commands of a block of bash, each on one line, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [shlex.join(words) for words in (shlex.split(line, comments=True) for line in lines) if words]


def blocks(page: str) -> Iterator[Block]:
    fence = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
    for language, mark, text in fence.findall((ROOT / page).read_text(encoding="utf-8")):
        yield Block(page, language, mark, text)


BLOCKS = [block for page in PAGES for block in blocks(page)]
COMMANDS = list(
    dict.fromkeys(line for block in BLOCKS if (block.language, block.mark) == ("bash", "") for line in block.commands)
)
ELSEWHERE = [block for block in BLOCKS if (block.language, block.mark) == ("bash", "elsewhere")]


class Checkout:
    """A copy of the checkout with the files and changes that the pages give."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._said: dict[str, str] = {}
        for path in ("config", "envs", "scripts", "workflow", "docs"):
            shutil.copytree(ROOT / path, folder / path)
        for path in (
            "Snakefile",
            "Makefile",
            "README.md",
            "pyproject.toml",
            "requirements.lock",
            "requirements-dev.lock",
        ):
            shutil.copy(ROOT / path, folder)
        self._lend_environment()
        (folder / "small.yaml").write_text(SMALL)

    def _lend_environment(self) -> None:
        """A .venv that `make` takes for its own, without anything being installed."""
        (self.folder / ".venv").mkdir()
        for part in Path(sys.prefix).iterdir():
            if not part.name.endswith("ready"):
                (self.folder / ".venv" / part.name).symlink_to(part)
        for name in ("ready", "dev-ready"):
            (self.folder / ".venv" / name).touch()

    def follow(self, block: Block) -> None:
        """Write the file that a block is, or make the change that it shows."""
        if block.language == "diff":
            self.run("git apply --unidiff-zero -", given=block.text)
        elif block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)

    def run(self, command: str, given: str | None = None) -> str:
        """What a command says in the copy, with the copy's package; an assertion fails where it fails."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "workflow"), "OMP_NUM_THREADS": "1"}
        shell = ["bash", "-c", command]
        done = subprocess.run(
            shell, cwd=self.folder, env=environment, input=given, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout + done.stderr

    def run_once(self, command: str) -> str:
        """What a command says that says the same whenever it is run; several pages have it."""
        if command not in self._said:
            self._said[command] = self.run(command)
        return self._said[command]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The copy in which all pages have been followed."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    for split, count in (("train", 3), ("test", 2)):
        folder = checkout.folder / "data/plates" / split
        folder.mkdir(parents=True)
        for name, image, labels in draw("multi", count, 96, seed=5, split=split):
            tifffile.imwrite(folder / f"{name}_img.tif", image)
            tifffile.imwrite(folder / f"{name}_masks.tif", labels.astype(np.uint16))
            (checkout.folder / "data/arrays" / split).mkdir(parents=True, exist_ok=True)
            np.savez(
                checkout.folder / f"data/arrays/{split}/{name}.npz",
                image=np.atleast_3d(image).mean(axis=-1),
                cells=labels,
            )
    for block in BLOCKS:
        checkout.follow(block)
    return checkout


def dry_run(checkout: Checkout, command: str) -> str:
    """What Snakemake would do. One that makes a report has nothing to make it of."""
    if " --report " in command:
        return ""
    command = command.replace(" --dry-run", "").replace(" --quiet rules", "")
    return checkout.run_once(f"{command} --dry-run")


def run_small(checkout: Checkout, command: str) -> str:
    """The study that a page gives, made small by another layer, for one file of its results."""
    return checkout.run_once(re.sub(r"(--configfile \S+)", r"\1 small.yaml", command))


def dry_run_of_make(checkout: Checkout, command: str) -> str:
    """What make would call: Snakemake as a dry run, all else as it is."""
    said = ""
    for line in checkout.run(f"{command} --dry-run --no-print-directory").splitlines():
        if line.startswith(".venv/bin/snakemake "):
            said += dry_run(checkout, line)
        elif line.startswith(".venv/bin/python -m frugalseg.plan "):
            # With a throughput that is given, a plan measures nothing.
            given = "" if line.endswith(".json") else THROUGHPUT
            said += checkout.run(f"{line} {given}")
    return said


def what_make_says(checkout: Checkout, command: str) -> str:
    """The lines that make would call; the tests cannot run the tests."""
    return checkout.run(f"{command} --dry-run --no-print-directory")


#: How each command is run; the first pattern that fits the beginning of the command counts.
HANDLERS: dict[str, Callable[[Checkout, str], str]] = {
    r"make (demo|study|fetch|plan)\b": dry_run_of_make,
    r"make (setup|test|lint|bench|docs)$": what_make_says,
    r"\.venv/bin/snakemake .* results/.* --configfile config/studies/(plates|arrays|moderate|context|hardest)\.yaml$": run_small,
    r"\.venv/bin/snakemake --unlock ": Checkout.run_once,
    r"\.venv/bin/snakemake ": dry_run,
    r"snakemake ": lambda checkout, command: dry_run(checkout, f".venv/bin/{command}"),
    r"\.venv/bin/python ": Checkout.run_once,
    r"git clone |cd frugalseg$": lambda checkout, command: "the copy is the clone",
}


def files_named(text: str) -> list[str]:
    return re.findall(r"(?<![\w/.])(?:config|docs|workflow|envs|tests)/[\w./-]+\.\w+", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_documentation_runs(checkout, command):
    handler = next((run for pattern, run in HANDLERS.items() if re.match(pattern, command)), None)
    assert handler, f"no handler of this test can run {command!r}"
    for path in files_named(command):
        assert (checkout.folder / path).exists(), f"{command!r} names {path}, which does not exist"
    handler(checkout, command)


def test_the_example_dataset_is_read(checkout):
    run_small(checkout, command_with("results/plates/images/plates/checks.json"))
    checks = json.loads((checkout.folder / "results/plates/images/plates/checks.json").read_text())
    assert [checks["splits"][split]["images"] for split in ("train", "test")] == [3, 2]
    assert "plates@dq10/seed0/model.pt" in dry_run(checkout, command_with(" redundancy --configfile"))


def test_the_example_reader_reads_its_files(checkout):
    run_small(checkout, command_with("results/arrays/images/arrays/checks.json"))
    checks = json.loads((checkout.folder / "results/arrays/images/arrays/checks.json").read_text())
    assert [checks["splits"][split]["images"] for split in ("train", "test")] == [3, 2]


def test_the_example_selector_puts_patches_in_order(checkout):
    run_small(checkout, command_with("coresets/cyto/moderate.npz"))
    results = checkout.folder / "results/moderate"
    with np.load(results / "coresets/cyto/moderate.npz") as coreset:
        order = coreset["order"]
    features = np.load(results / "features/cyto.npy").astype(np.float64)
    assert sorted(order) == list(range(len(features)))
    distances = np.linalg.norm(features - features.mean(axis=0), axis=1)
    assert order[0] == abs(distances - np.median(distances)).argmin()
    assert (
        "The selector *moderate* was a moderate coreset (Xia et al. 2023)"
        in (results / "tables/methods.md").read_text()
    )
    assert "small/cyto@moderate10/seed0/model.pt" in dry_run(checkout, command_with(" selectors_cyto --configfile"))


def test_the_example_model_is_trained(checkout):
    run_small(checkout, command_with("models/context/cyto/seed0/model.pt"))
    results = checkout.folder / "results/context"
    model = json.loads((results / "models/context/cyto/seed0/model.json").read_text())
    assert model["config"]["recipe"]["arch"] == "context"
    assert "A context network (Yu & Koltun 2016) was trained" in (results / "tables/methods.md").read_text()


def test_the_example_kind_of_question_is_answered_by_the_example_metric(checkout):
    run_small(checkout, command_with("results/hardest/tables/hardest_images.md"))
    results = checkout.folder / "results/hardest"
    answer = json.loads((results / "answers/hardest_images.json").read_text())
    assert answer["sentences"][0].startswith("The model is worst on multi_test_")
    assert (results / "figures/hardest_images.png").stat().st_size
    scores = pd.read_csv(results / "metrics/small/cyto/seed0/cyto.csv")
    assert pd.read_csv(results / "tables/hardest_images.csv")["count"][0] == scores["count"].min()


def command_with(text: str) -> str:
    [command] = [command for command in COMMANDS if text in command]
    return command


@pytest.mark.parametrize("block", ELSEWHERE, ids=lambda block: block.page)
def test_commands_for_elsewhere_are_shell_and_name_files_that_exist(block):
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    assert block.commands
    for path in files_named(block.text):
        assert (ROOT / path).exists(), f"{block.page} names {path}, which does not exist"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_of_a_kind_that_is_tested(page):
    for block in blocks(page):
        assert block.language in ("bash", "yaml", "python", "diff", "json"), block
        assert block.language != "bash" or block.mark in ("", "elsewhere"), block
        if block.language == "yaml":
            yaml.safe_load(block.text)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), f"{page} links to {target}"
            assert not anchor or anchor in anchors(file), f"{page} links to {target}"
