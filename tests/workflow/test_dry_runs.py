"""Dry runs: what would be done, and what is refused before anything is."""

import re
import time

import pytest
import yaml

pytestmark = pytest.mark.workflow


def jobs(output):
    """Number of jobs of each rule in the table that a dry run prints."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


def test_the_default_study_resolves(workflow):
    planned = jobs(workflow.run("--dry-run"))
    # Two of them of networks before their first step, of the paths' two starts.
    # Seven more are trained to keep cyto, and four lie between others.
    assert planned["evaluate"] == 37 + 8 + 2 + 7 + 4
    assert planned["interpolate"] == 4
    assert planned["initialise"] == 2
    # Eight of them for the learning curve. And the width scan's proof: four caps and a peer, two seeds each.
    assert planned["evaluate_width"] == 5 * 2
    assert planned["train"] == 37 + 8 + 7 + 5 * 2
    assert planned["tabulate"] == 9


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
    planned = jobs(workflow.run("--dry-run", "--configfile", "config/studies/kimbowa2026.yaml"))
    # Three datasets, ten caps and three peers, three seeds each.
    assert planned["train"] == planned["evaluate_width"] == 3 * 13 * 3
    assert planned["scan"] == planned["tabulate_widths"] == planned["draw_widths"] == 3
    assert "evaluate" not in planned
    assert "tabulate" not in planned


def test_an_experiment_is_a_target_of_its_own(workflow):
    planned = jobs(workflow.run("forgetting", "--dry-run"))
    assert planned["train"] == 7
    assert planned["tabulate"] == planned["draw_experiment"] == 1
    assert "select" not in planned


def test_more_seeds_add_the_new_runs_only(tiny):
    study = yaml.safe_load((tiny.folder / "tiny.yaml").read_text())
    study["experiments"]["redundancy"]["seeds"] = [0, 1]
    (tiny.folder / "more.yaml").write_text(yaml.safe_dump(study))
    planned = jobs(tiny.run("--dry-run", "--configfile", "more.yaml"))
    assert planned["train"] == planned["evaluate"] == 2
    assert "prepare" not in planned
    assert "select" not in planned


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("recipies", "{}", "unknown key 'recipies' in the top level; did you mean 'recipes'?"),
        ("datasets", "{cyto: synthetic_cito}", "did you mean 'synthetic_cyto'?"),
        ("experiments", "{order: {chains: ['cyto@dq0']}}", "has the rate 0; a rate is a percentage in (0, 100]"),
    ],
)
def test_a_wrong_config_ends_within_seconds_with_the_culprit(workflow, key, value, message):
    (workflow.folder / "wrong.yaml").write_text(f"{key}: {value}\n")
    start = time.monotonic()
    output = workflow.run("--dry-run", "--configfile", "wrong.yaml", success=False)
    assert time.monotonic() - start < 20
    assert message in output
    assert "wrong.yaml: " in output
