"""The plan of a study: each model once, its steps, hours and disk, from a throughput."""

import json

import numpy as np
import pytest
import torch
import yaml

from frugalseg.plan import __main__ as command
from frugalseg.plan import models as plan_models
from frugalseg.plan import throughput
from frugalseg.plan.__main__ import main, size, speeds_of, table
from frugalseg.plan.costs import FEATURES, PATCHES, Cost, costs
from frugalseg.plan.models import folder_of, is_trained, patch_counts, requested_models, steps_of, with_parents
from frugalseg.study.load import complete
from frugalseg.training.recipe import Recipe
from frugalseg.training.run import Run
from frugalseg.training.sampling import Source
from frugalseg.training.stage import build_network


def study(root, path):
    return complete(yaml.safe_load((root / path).read_text()), root)


@pytest.fixture(scope="module")
def published(root):
    return study(root, "config/studies/published.yaml")


@pytest.fixture
def tiny(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return study(root, "tests/workflow/tiny.yaml")


def speeds(config, **changes):
    """A throughput at which every step takes two seconds and every megapixel three."""
    recipes = {
        name: {"seconds_per_step": 2.0, "seconds_per_megapixel": 3.0, "bytes": 1000} for name in config["recipes"]
    }
    features = {"seconds_per_patch": 0.5, "dimension": 16, "seconds_of_pretraining": 7.0}
    return {
        "device": "an abacus",
        "gpu": False,
        "threads": 2,
        "seconds_per_job": 10.0,
        "seconds_per_cut": 0.25,
        "features": features,
        "recipes": recipes,
    } | changes


def train(model, config, **changes):
    """Put a checkpoint where the model belongs, described as trained by the config."""
    folder = folder_of(model, "models", config)
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(b"weights")
    used = {"recipe": config["recipes"][model[0]], "bins": config["bins"], "min_cells": config["patches"]["min_cells"]}
    (folder / "model.json").write_text(json.dumps({"config": used | changes}))


def test_parents_come_first_and_each_model_once(published):
    models = with_parents(
        [("cellpose", "cyto_to_histo_to_multi", 0), ("cellpose", "cyto_to_histo", 0), ("cellpose", "cyto", 1)],
        published,
    )
    assert [(chain, seed) for _, chain, seed in models] == [
        ("cyto", 0),
        ("cyto_to_histo", 0),
        ("cyto_to_histo_to_multi", 0),
        ("cyto", 1),
    ]


@pytest.mark.parametrize(
    ("chain", "steps"),
    [
        ("cyto", 500 * 10_063 / 8),
        ("histo_to_cyto@dq10", 500 * 1_000 / 8),  # bins of 1007 and 1006: 100 patches of each
        ("cyto_to_histo+cyto@dq5", 500 * (2_997 + 500) / 8),
        ("cyto_to_histo+cyto@dq5x25", 500 * 2_997 / 6),  # replay has a quarter of the batch to itself
    ],
)
def test_steps_follow_from_the_published_numbers_of_patches(published, chain, steps):
    counts = {"cyto": 10_063, "histo": 2_997}
    assert steps_of(("cellpose", chain, 0), published, counts) == pytest.approx(steps, abs=1)


@pytest.mark.parametrize("arch", ["cpnet", "ucell"])
def test_the_plan_and_the_training_count_the_steps_of_a_compute_alike(tiny, arch):
    block = {**tiny["recipes"]["small"], "arch": arch, "compute": 0.01, "ucell": {"hidden": 64, "registers": 2}}
    if arch == "cpnet":
        del block["ucell"]
    del block["steps"]
    config = {**tiny, "recipes": {"small": block}}
    source = Source("random", throughput._random_patches(32, 4)[0], np.arange(4))
    run = Run(build_network(block), [source], Recipe.of(block), 0, 0, [], torch.device("cpu"))
    assert steps_of(("small", "cyto@few3_to_histo", 0), config, {}) == run.steps > 1


def test_operations_are_counted_once_a_recipe(tiny, monkeypatch):
    recipes = {name: {**block, "compute": 1.0, "steps": None} for name, block in tiny["recipes"].items()}
    counted = []
    monkeypatch.setattr(plan_models, "step_flops", lambda network, size: counted.append(size) or 10**9)
    plan_models._operations.cache_clear()
    for seed in range(50):
        steps_of(("small", "cyto", seed), {**tiny, "recipes": recipes}, {})
    plan_models._operations.cache_clear()
    assert len(counted) == 1


def test_what_cannot_be_known_yet_is_said(published):
    assert steps_of(("cellpose", "cyto@few3", 0), published, {"cyto": 10_063}) is None
    assert steps_of(("cellpose", "multi", 0), published, {"cyto": 10_063}) is None
    assert "+ and what cannot be counted yet" in table(
        costs(published, speeds(published, recipes={}), remaining=True), speeds(published, recipes={})
    )


def test_patches_of_synthetic_images_are_known_before_they_are_drawn(tiny):
    # 192 pixels, windows of 64 every 96 pixels: two a side.
    assert patch_counts(tiny) == {"cyto": 60 * 4, "histo": 24 * 4}


def test_every_model_is_counted_once_and_where_it_is_first_needed(published):
    parts = costs(published, speeds(published), remaining=False)
    counted = [model for cost in parts.values() for model in cost.new]
    requested = [model for names in requested_models(published).values() for model in names]
    assert len(counted) == len(set(counted))
    assert set(counted) == set(with_parents(requested, published))
    assert ("cellpose", "cyto", 0) in parts["redundancy"].new
    assert ("cellpose", "cyto", 0) not in parts["forgetting"].new
    assert parts["forgetting"].models > len(parts["forgetting"].new)


def test_hours_and_disk_are_sums_over_models(tiny):
    parts = costs(tiny, speeds(tiny), remaining=False)
    # cyto@dq5 and cyto: four steps each; questions have either scored on the 15 and 10 test images, of 192 pixels, of two datasets.
    redundancy = parts["redundancy"]
    assert [chain for _, chain, _ in redundancy.new] == ["cyto@dq5", "cyto"]
    assert redundancy.steps == 2 * 4
    assert redundancy.train == pytest.approx(2 * (4 * 2 + 10))
    assert redundancy.evaluate == pytest.approx(2 * (25 * 192**2 / 1e6 * 3 + 10))
    assert redundancy.stored == 2 * 1000
    # A foreground network is evaluated on its own dataset.
    width = parts["width_cyto"]
    assert width.evaluate == pytest.approx(len(width.new) * (15 * 192**2 / 1e6 * 3 + 10))
    patches = 60 * 4 + 24 * 4 + 2 * 4
    assert parts[PATCHES].stored == patches * 64**2 * 8
    assert parts[PATCHES].prepare == pytest.approx(patches * 0.25)
    assert parts[FEATURES].prepare == pytest.approx(60 * 4 * 0.5 + 10 + 7)
    lines = table(parts, speeds(tiny)).splitlines()
    total = sum(parts.values(), Cost())
    assert f"{total.seconds * 2 / 3600:.2f}" in next(line for line in lines if line.startswith("in all"))


def test_what_is_done_is_left_out(tiny):
    before = costs(tiny, speeds(tiny), remaining=True)
    train(("small", "cyto", 0), tiny)
    after = costs(tiny, speeds(tiny), remaining=True)
    assert after["redundancy"].done == 1
    assert before["redundancy"].steps - after["redundancy"].steps == 4
    # It is trained, but not evaluated yet.
    assert after["redundancy"].evaluate == before["redundancy"].evaluate
    metrics = folder_of(("small", "cyto", 0), "metrics", tiny)
    metrics.mkdir(parents=True)
    for name in tiny["datasets"]:
        (metrics / f"{name}.csv").touch()
    evaluated = costs(tiny, speeds(tiny), remaining=True)["redundancy"].evaluate
    assert evaluated == pytest.approx(before["redundancy"].evaluate / 2)
    assert costs(tiny, speeds(tiny), remaining=False)["redundancy"].steps == before["redundancy"].steps


def test_a_model_of_another_recipe_is_not_done(tiny):
    train(("small", "cyto", 0), tiny, bins=tiny["bins"] + 1)
    assert not is_trained(("small", "cyto", 0), tiny)


def test_interpolated_models_take_no_steps_and_no_hours(tiny):
    before = costs(tiny, speeds(tiny), remaining=False)["replay"]
    tiny["recipes"]["between"] = {**tiny["recipes"]["small"], "interpolate": {"recipe": "small", "alpha": 0.5}}
    tiny["questions"]["replay"]["chains"].append({"chain": "cyto_to_histo", "recipe": "between", "label": "between"})
    after = costs(tiny, speeds(tiny), remaining=False)["replay"]
    assert [model for model in after.new if model not in before.new] == [("between", "cyto_to_histo", 0)]
    assert (after.steps, after.train) == (before.steps, before.train)
    assert after.stored == before.stored + 1000
    assert after.evaluate > before.evaluate
    ordered = with_parents([("between", "cyto_to_histo", 0)], tiny)
    assert ordered == [("small", "cyto", 0), ("small", "cyto_to_histo", 0), ("between", "cyto_to_histo", 0)]


def test_energy_is_shown_where_the_throughput_has_it(tiny):
    parts = costs(tiny, speeds(tiny), remaining=False)
    assert "kWh" not in table(parts, speeds(tiny))
    metered = speeds(tiny)
    metered["recipes"]["small"]["joules_per_step"] = {"package-0": 3.6e6}
    parts = costs(tiny, metered, remaining=False)
    assert parts["redundancy"].joules == 8 * 3.6e6
    assert "kWh" in table(parts, metered)


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (26_400_000, "26 MB"), (1.5e9, "1.5 GB"), (2e13, "20.0 TB")]
)
def test_sizes_are_for_people(count, text):
    assert size(count) == text


def test_the_throughput_of_a_recipe_is_measured(tiny, monkeypatch):
    monkeypatch.setattr(throughput, "_SECONDS_OF_STEPS", 0.1)
    monkeypatch.setattr(throughput, "_SECONDS", 1000.0)
    said = []
    measured = throughput.measure(tiny, ["small", "foreground-cap4"], torch.device("cpu"), said.append)
    assert set(measured["recipes"]) == {"small", "foreground-cap4"}
    for speed in measured["recipes"].values():
        assert speed["seconds_per_step"] > 0
        assert speed["seconds_per_megapixel"] > 0
        assert speed["bytes"] > 0
    assert measured["features"]["dimension"] == 16
    assert measured["threads"] == torch.get_num_threads()
    assert any("(1 of 2)" in text for text in said)


def test_what_there_is_no_time_to_measure_follows_from_a_smaller_recipe_by_operations(tiny, monkeypatch):
    monkeypatch.setattr(throughput, "_SECONDS", 0.0)
    tiny["recipes"]["larger"] = {**tiny["recipes"]["small"], "batch": 8}
    measured = throughput.measure(tiny, ["larger", "small", "consolidated"], torch.device("cpu"), lambda text: None)
    small, larger = (measured["recipes"][name] for name in ("small", "larger"))
    assert larger["estimated"]
    assert larger["seconds_per_step"] == pytest.approx(4 * small["seconds_per_step"])
    assert larger["seconds_per_megapixel"] == pytest.approx(small["seconds_per_megapixel"])
    assert larger["bytes"] == small["bytes"]
    text = table(costs(tiny, measured, remaining=True), measured)
    assert "by operations" in text


def test_features_of_a_checkpoint_cost_what_its_network_costs(tmp_path):
    patches, _ = throughput._random_patches(32, 2)
    network = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit_mae", "intermediate_size": 8, **network}))
    measured = throughput.measure_features({"checkpoint": str(tmp_path), "mask_ratio": 0}, patches, torch.device("cpu"))
    assert measured["dimension"] == 24
    assert measured["seconds_per_patch"] > 0
    assert measured["seconds_of_pretraining"] == 0


def test_a_recipe_that_has_changed_is_measured_again(tiny, tmp_path):
    keyed = {name: {"key": throughput.key_of(block)} for name, block in tiny["recipes"].items()}
    path = tmp_path / "throughput.json"
    path.write_text(json.dumps(speeds(tiny, recipes=keyed)))
    assert set(throughput.read(path, tiny)["recipes"]) == set(tiny["recipes"])
    tiny["recipes"]["small"]["crop"] = 48
    assert set(tiny["recipes"]) - set(throughput.read(path, tiny)["recipes"]) == {"small"}
    # The length of a training does not change its speed.
    tiny["recipes"]["foreground"]["steps"] = 100
    assert "foreground" in throughput.read(path, tiny)["recipes"]


def test_what_was_measured_before_is_not_measured_again(tiny, monkeypatch):
    asked = []

    def measure(config, recipes, device, say):
        asked.append(recipes)
        keyed = {name: {"key": throughput.key_of(config["recipes"][name])} for name in recipes}
        return speeds(config, recipes=keyed)

    monkeypatch.setattr(command.throughput, "measure", measure)
    first, second = speeds_of(tiny, None), speeds_of(tiny, None)
    assert len(asked) == 1
    assert first["recipes"] == second["recipes"]
    tiny["recipes"]["small"]["batch"] = 3
    speeds_of(tiny, None)
    assert asked[1] == ["small"]


def test_a_throughput_that_is_given_is_taken_at_its_word(tiny, tmp_path):
    path = tmp_path / "gpu.json"
    given = {"device": "NVIDIA A100", "gpu": True, "recipes": {"small": {"seconds_per_step": 0.05}, "unused": {}}}
    path.write_text(json.dumps(given))
    read = speeds_of(tiny, path)
    assert list(read["recipes"]) == ["small"]
    text = table(costs(tiny, read, remaining=True), read)
    assert "GPU-hours" in text
    assert "NVIDIA A100" in text
    assert not (tmp_path / "results").exists()


def test_a_wrong_throughput_is_told(tiny, tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"gpu\.json is no file of a throughput"):
        throughput.read(path, tiny)


def test_a_wrong_config_is_told(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(root)
    wrong = tmp_path / "study.yaml"
    wrong.write_text("{patches: {strid: 3}}")
    assert main([str(wrong)]) == 1
    assert "unknown key 'strid'" in capsys.readouterr().err
    assert main([]) == 2
