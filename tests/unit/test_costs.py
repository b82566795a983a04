"""Planned beside measured times of a finished study."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from frugalseg.plan.models import folder_of
from frugalseg.reporting.costs import compare, to_markdown
from frugalseg.reporting.page import to_page
from frugalseg.reporting.records import models_of_study
from frugalseg.study.load import complete


@pytest.fixture
def config(root, tmp_path, monkeypatch):
    """A study in which training a model took 30 seconds and evaluating it five."""
    monkeypatch.chdir(tmp_path)
    config = complete(yaml.safe_load((root / "tests/workflow/tiny.yaml").read_text()), root)
    for model in models_of_study(config):
        folder = folder_of(model, "models", config)
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(json.dumps({"seconds": 25.0}))
        write_benchmark(folder_of(model, "benchmarks/train", config), "", 30.0)
        foreground = config["recipes"][model[0]]["target"] == "foreground"
        write_benchmark(folder_of(model, "benchmarks/evaluate", config), f"-{model[1]}" if foreground else "", 5.0)
    write_benchmark(Path("results/tiny/benchmarks/embed/cyto"), "", 4.0)
    write_benchmark(Path("results/tiny/benchmarks/pretrain_autoencoder/cyto"), "", 3.0)
    return config


def write_benchmark(path, suffix, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}{suffix}.jsonl").write_text(json.dumps({"s": seconds}) + "\n")


def speeds(config):
    speed = {"seconds_per_step": 2.0, "seconds_per_megapixel": 0.0, "bytes": 1}
    return {
        "device": "an abacus",
        "gpu": False,
        "threads": 1,
        "seconds_per_job": 1.0,
        "seconds_per_cut": 0.1,
        "features": {"seconds_per_patch": 0.0, "dimension": 4, "seconds_of_pretraining": 6.0},
        "recipes": dict.fromkeys(config["recipes"], speed),
    }


def test_measured_stands_beside_planned(config):
    table = compare(config, speeds(config)).set_index("part")
    redundancy = table.loc["redundancy"]
    assert redundancy["models"] == 2
    assert redundancy["planned_s"] == pytest.approx(2 * (4 * 2 + 1 + 1))
    assert redundancy["measured_s"] == pytest.approx(2 * (30 + 5))
    assert redundancy["training_measured_s"] == pytest.approx(2 * 30)
    width = table.loc["width_cyto"]
    assert width["measured_s"] == pytest.approx(width["models"] * 35)
    assert table.loc["features", "measured_s"] == 7
    assert table["complete"].all()


def test_a_training_that_went_on_after_a_kill_counts_in_full(config):
    description = folder_of(("small", "cyto", 0), "models", config) / "model.json"
    description.write_text(json.dumps({"seconds": 300.0}))
    table = compare(config, speeds(config)).set_index("part")
    assert table.loc["redundancy", "training_measured_s"] == pytest.approx(30 + 300)


def test_what_left_no_record_is_marked(config):
    (folder_of(("small", "cyto", 0), "models", config) / "model.json").unlink()
    table = compare(config, speeds(config))
    assert not table.set_index("part").loc["redundancy", "complete"]
    text = to_markdown(table, speeds(config))
    row = next(line for line in text.splitlines() if line.startswith("| redundancy"))
    assert " + |" in row
    assert "left no record" in text


def test_the_page_has_a_row_a_part_and_their_sum(config):
    table = compare(config, speeds(config))
    text = to_markdown(table, speeds(config))
    assert text.count("\n|") == len(table) + 3
    total = next(line for line in text.splitlines() if line.startswith("| in all"))
    assert str(timedelta(seconds=round(table["measured_s"].sum()))) in total
    assert "<td" in to_page(text)
