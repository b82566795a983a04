"""Dry runs of what the study says to the person who ran it."""

import re

import pytest
import yaml

pytestmark = pytest.mark.workflow


def dry_run(workflow, target, **changes):
    """What Snakemake would do for a target of the demo, with other keys of its config."""
    study = yaml.safe_load((workflow.folder / "config/config.yaml").read_text()) | changes
    (workflow.folder / "study.yaml").write_text(yaml.safe_dump(study))
    return workflow.run(*target.split(), "--dry-run", "--configfile", "study.yaml")


def trained(output):
    return set(re.findall(r"^    output: (\S+/model\.pt),", output, flags=re.MULTILINE))


def test_a_learning_curve_trains_each_model_once_and_shares_those_of_experiments(workflow):
    questions = {
        "redundancy": {"dataset": "cyto", "seeds": [0, 1]},
        "more_cyto": {"ask": "how_many", "dataset": "cyto", "numbers": [2, 4, 8]},
    }
    alone = dry_run(workflow, "redundancy", questions=questions, figures={})
    both = dry_run(workflow, "redundancy more_cyto", questions=questions, figures={})
    # Of two seeds, three numbers and all of cyto; the experiment has the last of them already.
    assert len(trained(both) - trained(alone)) == 3 * 2
    assert trained(alone) < trained(both)
    assert "results/demo/tables/more_cyto.md" in both
    assert "results/demo/figures/more_cyto.png" in both
    # A study without claims judges none.
    assert "verdicts" not in both


def test_keeping_trains_each_model_once_and_none_for_an_interpolation(workflow):
    recipes = {
        "pulled": {"like": "small", "parent": "small", "keep": {"method": "l2sp", "strength": 1}},
        "half": {"interpolate": {"recipe": "small", "alpha": 0.5}},
    }
    arms = {
        "naive": [{"chain": "cyto_to_histo"}],
        "L2-SP": [{"chain": "cyto_to_histo", "recipe": "pulled"}],
        "in between": [{"chain": "cyto_to_histo", "recipe": "half"}],
    }
    block = {"kind": "keeping", "title": "Learn histo, keep cyto", "start": "cyto", "source": "cyto", "target": "histo"}
    questions = {"learn_histo": block | {"recipe": "small", "seeds": [0, 1], "arms": arms}}
    output = dry_run(workflow, "learn_histo", questions=questions, recipes=recipes, figures={}, tuning=3)
    planned = dict(re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE))
    # The start, its child and the one that is pulled; the start and three arms are scored, tuning images in the same jobs.
    assert (planned["train"], planned["interpolate"], planned["evaluate"]) == ("6", "2", "8")
    assert "results/demo/tuning/half/cyto_to_histo/seed1/histo.csv" in output
    assert "results/demo/answers/learn_histo.json" in output


def test_claims_are_judged_once_all_their_models_are_there(workflow):
    output = workflow.run("verdicts", "--dry-run")
    [job] = [job for job in output.split("\nrule ") if "output: results/demo/tables/verdicts.csv" in job]
    assert "results/demo/metrics/small/histo_to_cyto/seed0/histo.csv" in job
    assert "config/published/zhao2025.csv" in job
    assert "results/demo/answers/verdicts.json" in job
