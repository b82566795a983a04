"""Dry runs of what the study says to the person who ran it."""

import re

import pytest
import yaml

pytestmark = pytest.mark.workflow


def test_a_learning_curve_trains_each_model_once_and_shares_those_of_experiments(workflow):
    curve = {
        "title": "How many more images of cyto?",
        "dataset": "cyto",
        "selector": "few",
        "numbers": [2, 4, 8],
        "test": "cyto",
        "recipe": "small",
        "seeds": [0, 1],
    }
    (workflow.folder / "more.yaml").write_text(yaml.safe_dump({"learning_curves": {"more_cyto": curve}}))
    # The experiment alone, both, and the curve alone: models of all of cyto are the same.
    outputs = [
        workflow.run(*targets, "--dry-run", "--configfile", "more.yaml")
        for targets in (["redundancy"], ["redundancy", "more_cyto"], ["more_cyto"])
    ]
    alone, both, curve = (
        set(re.findall(r"^    output: (\S+/model\.pt),", output, flags=re.MULTILINE)) for output in outputs
    )
    assert len(curve) == 4 * 2
    assert both == alone | curve
    assert len(alone & curve) == 2
    assert "rule answer_how_many:" in outputs[2]
    assert "results/demo/tables/more_cyto.md" in outputs[2]
    assert "results/demo/figures/more_cyto.png" in outputs[2]


def test_keeping_trains_each_model_once_and_none_for_an_interpolation(workflow):
    study = {
        "tuning": 3,
        "recipes": {
            "pulled": {"like": "small", "parent": "small", "keep": {"method": "l2sp", "strength": 1}},
            "half": {"interpolate": {"recipe": "small", "alpha": 0.5}},
        },
        "keeping": {
            "keep_cyto": None,
            "learn_histo": {
                "title": "Learn histo, keep cyto",
                "start": "cyto",
                "source": "cyto",
                "target": "histo",
                "recipe": "small",
                "seeds": [0, 1],
                "arms": {
                    "naive": [{"chain": "cyto_to_histo"}],
                    "L2-SP": [{"chain": "cyto_to_histo", "recipe": "pulled"}],
                    "in between": [{"chain": "cyto_to_histo", "recipe": "half"}],
                },
            },
        },
    }
    (workflow.folder / "keep.yaml").write_text(yaml.safe_dump(study))
    output = workflow.run("learn_histo", "--dry-run", "--configfile", "keep.yaml")
    planned = dict(re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE))
    # The start, its child and the one that is pulled; the start and three arms are scored, tuning images in the same jobs.
    assert (planned["train"], planned["interpolate"], planned["evaluate"]) == ("6", "2", "8")
    assert "results/demo/tuning/half/cyto_to_histo/seed1/histo.csv" in output
    assert "results/demo/answers/learn_histo.json" in output
    study["tuning"] = 0
    (workflow.folder / "keep.yaml").write_text(yaml.safe_dump(study))
    output = workflow.run("learn_histo", "--dry-run", "--configfile", "keep.yaml", success=False)
    assert "keeping.learn_histo chooses by tuning images, and none are kept" in output


def test_claims_are_judged_once_all_their_models_are_there(workflow):
    output = workflow.run("verdicts", "--dry-run")
    rule = output.split("rule judge_claims:")[1].split("rule ")[0]
    assert "results/demo/metrics/small/histo_to_cyto/seed0/histo.csv" in rule
    assert "config/published/zhao2025.csv" in rule
    assert "results/demo/answers/verdicts.json" in rule
    # A study without claims has no such target.
    (workflow.folder / "none.yaml").write_text(yaml.safe_dump({"claims": None}))
    assert "judge_claims" not in workflow.run("all", "--dry-run", "--configfile", "none.yaml")
