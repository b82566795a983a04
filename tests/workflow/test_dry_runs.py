"""Dry runs: what would be done, and what is refused before anything is."""

import re
import time

import pytest

pytestmark = pytest.mark.workflow


def jobs(output):
    """Number of jobs of each rule in the table that a dry run prints."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


def made(output, pattern):
    """Outputs of the jobs of a dry run that a pattern fits."""
    files = {
        file for line in re.findall(r"^    output: (.*)$", output, flags=re.MULTILINE) for file in line.split(", ")
    }
    return {file for file in files if re.search(pattern, file)}


def test_the_default_study_resolves(workflow):
    output = workflow.run("--dry-run")
    planned = jobs(output)
    # Rates, selectors, forgetting, order and replay; ways to keep cyto beside these; the learning curve.
    assert planned["train"] == (8 + 3 + 5 + 6 + 5) + 7 + 8
    # Some lie between others, and the paths' two starts are networks before their first step.
    assert planned["interpolate"] == 4
    assert planned["initialise"] == 2
    assert planned["evaluate"] == planned["train"] + 4 + 2
    # Six experiments; a learning curve, ways to keep, paths and verdicts; patches and three pages of methods.
    assert len(made(output, r"tables/\w+\.md$")) == 6 + 4 + 4


@pytest.mark.parametrize(
    ("study", "trained"),
    # Four caps and a peer with two seeds each; three networks at equal compute.
    [("width", 5 * 2), ("parameters", 3)],
)
def test_studies_of_minutes_beside_the_demo_resolve(workflow, study, trained):
    output = workflow.run("--dry-run", "--configfile", f"config/studies/{study}.yaml")
    assert jobs(output)["train"] == trained


def test_the_published_study_resolves_in_seconds_and_trains_each_model_once(workflow):
    start = time.monotonic()
    output = workflow.run("--dry-run", "--configfile", "config/studies/published.yaml")
    assert time.monotonic() - start < 60
    trained = re.findall(r"^    output: (\S+/model\.pt),", output, flags=re.MULTILINE)
    planned = jobs(output)
    assert len(trained) == len(set(trained)) == planned["train"] + planned["initialise"]
    # Tables I to VIII: 11 rates of cyto, random runs, both gains and k-center, multi, paths, replays.
    assert "results/published/models/cellpose/cyto@dq80/seed0/model.pt" in trained
    assert "results/published/models/cellpose/multi@random50/seed4/model.pt" in trained
    assert "results/published/models/cellpose/multi_to_cyto_to_histo/seed0/model.pt" in trained


def test_a_study_of_widths_alone_resolves_without_its_images(workflow):
    output = workflow.run("--dry-run", "--configfile", "config/studies/kimbowa2026.yaml")
    planned = jobs(output)
    # Three datasets, ten caps and three peers, three seeds each.
    assert planned["train"] == planned["evaluate_width"] == 3 * 13 * 3
    assert planned["scan"] == len(made(output, r"tables/width_\w+\.md")) == len(made(output, r"figures/.*\.png")) == 3
    assert "evaluate" not in planned


def test_an_experiment_is_a_target_of_its_own(workflow):
    output = workflow.run("forgetting", "--dry-run")
    assert jobs(output)["train"] == 7
    assert made(output, r"(tables|figures)/.*\.(md|png)$") == {
        "results/demo/tables/forgetting.md",
        "results/demo/figures/forgetting.png",
    }
    assert "select" not in jobs(output)


def test_a_wrong_config_ends_within_seconds_with_the_culprit(workflow):
    study = (workflow.folder / "config/config.yaml").read_text()
    (workflow.folder / "wrong.yaml").write_text(study.replace("cyto: synthetic_cyto", "cyto: synthetic_cito"))
    start = time.monotonic()
    output = workflow.run("--dry-run", "--configfile", "wrong.yaml", success=False)
    assert time.monotonic() - start < 20
    assert "did you mean 'synthetic_cyto'?" in output
    assert "wrong.yaml: " in output
