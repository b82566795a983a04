"""The config: what is wrong is told at once, with the file, the culprit and the nearest valid name."""

import copy
import re
import shutil
from pathlib import Path

import pytest
import yaml
from studies import demo

from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError


@pytest.fixture(scope="module")
def default(root):
    return demo(root)


def changed(config, path, value):
    config = copy.deepcopy(config)
    *parents, last = path
    inner = config
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return config


@pytest.mark.parametrize(
    "study", ["", *sorted(path.name for path in (Path(__file__).parents[2] / "config/studies").glob("*.yaml"))]
)
def test_the_studies_that_come_with_frugalseg_are_in_order(root, study):
    file = root / "config/studies" / study if study else root / "config/config.yaml"
    text = file.read_text()
    assert "null" not in text
    assert len(text.splitlines()) <= (150 if study else 120)
    config = complete(yaml.safe_load(text), root, [file])
    assert all(block["source"] in ("synthetic", "path") for block in config["datasets"].values())


def test_defaults_come_from_the_schema(default, root):
    config = complete(default, root)
    assert config["recipes"]["small"]["momentum"] == 0.9
    assert config["features"]["pretraining"]["decoder_layers"] == 2
    assert config["figures"]["patches"]["seed"] == 0


def test_a_gap_and_its_metric_are_accepted(default, root):
    gap = {"field": "rate", "from": 1, "to": 100, "metric": "pq"}
    config = changed(default, ["questions", "redundancy", "gap"], gap)
    config = changed(config, ["questions", "redundancy", "figure", "metrics"], ["pq", "gap_closed"])
    config = changed(config, ["questions", "redundancy", "metrics"], ["gap_closed"])
    assert complete(config, root)["questions"]["redundancy"]["gap"] == gap


def test_the_order_of_keys_does_not_matter(default, root):
    reordered = copy.deepcopy(default)
    reordered["recipes"]["small"] = dict(reversed(default["recipes"]["small"].items()))
    before, after = complete(default, root), complete(reordered, root)
    assert repr(before["recipes"]["small"]) == repr(after["recipes"]["small"])


PROBLEMS = {
    "misspelt key at the top": (["recipies"], {}, "unknown key 'recipies' in the top level; did you mean 'recipes'?"),
    "misspelt key deep down": (
        ["recipes", "small", "momentun"],
        0.9,
        "unknown key 'momentun' in recipes.small; did you mean 'momentum'?",
    ),
    "misspelt choice": (["patches", "border"], "pads", "patches.border is 'pads'; did you mean 'pad'?"),
    "unknown dataset file": (
        ["datasets", "cyto"],
        "synthetic_cito",
        "unknown dataset 'synthetic_cito' for 'cyto': there is no config/datasets/synthetic_cito.yaml; "
        "did you mean 'synthetic_cyto'?",
    ),
    "unknown dataset in a chain": (
        ["questions", "redundancy", "chains"],
        ["cito@dq10"],
        "chain 'cito@dq10' names the unknown dataset 'cito'; did you mean 'cyto'?",
    ),
    "unknown selector": (
        ["questions", "redundancy", "chains"],
        ["cyto@kcentre10"],
        "chain 'cyto@kcentre10' names the unknown selector 'kcentre'; did you mean 'kcenter'?",
    ),
    "chain that does not parse": (
        ["questions", "redundancy", "chains"],
        ["cyto->histo"],
        "'cyto->histo' is not a source",
    ),
    "rate of zero": (
        ["questions", "redundancy", "lists", "rate"],
        [0],
        "has the rate 0; a rate is a percentage in (0, 100]",
    ),
    "rate over a hundred": (["questions", "redundancy", "lists", "rate"], [120], "has the rate 120"),
    "placeholder without a list": (["questions", "redundancy", "lists"], {}, "has no list for {rate}"),
    "unknown recipe": (
        ["questions", "replay", "recipe"],
        "smal",
        "questions.replay names the unknown recipe 'smal'; did you mean 'small'?",
    ),
    "unknown test set": (
        ["questions", "replay", "tests"],
        ["hist"],
        "questions.replay names the unknown test 'hist'; did you mean 'histo'?",
    ),
    "unknown metric": (
        ["questions", "replay", "metrics"],
        ["dyce"],
        "questions.replay.metrics.0 is 'dyce'; did you mean 'dice'?",
    ),
    "gap that is not there": (
        ["questions", "replay", "metrics"],
        ["dice", "gap_closed"],
        "questions.replay.metrics shows 'gap_closed', but the experiment has no 'gap'; add one",
    ),
    "misspelt gap": (
        ["questions", "replay", "figure", "metrics"],
        ["gap_close"],
        "questions.replay.figure.metrics.0 is 'gap_close'; did you mean 'gap_closed'?",
    ),
    "gap without an end": (
        ["questions", "redundancy", "gap"],
        {"field": "rate", "from": 0, "to": 100, "metric": "pq"},
        "questions.redundancy.gap: of the chains none has rate 0; add the one that the gap is counted from",
    ),
    "gap of a metric that falls": (
        ["questions", "redundancy", "gap"],
        {"field": "rate", "from": 1, "to": 100, "metric": "hd95"},
        "questions.redundancy.gap.metric is 'hd95', which falls as models get better",
    ),
    "field that is counted": (
        ["questions", "zero_shot", "chains"],
        [{"chain": "cyto", "fields": {"parameters": 3}}],
        "questions.zero_shot.chains: the field 'parameters' is counted from the recipe",
    ),
    "option of another method": (
        ["selectors", "random", "gain"],
        "sum",
        "selectors.random.gain means nothing to the method 'random'",
    ),
    "clusters of another method": (
        ["selectors", "kcenter", "clusters"],
        5,
        "selectors.kcenter.clusters means nothing to the method 'kcenter'",
    ),
    "selector under a reserved name": (
        ["selectors", "some"],
        {"method": "few"},
        "the method 'few' goes by the name 'few'",
    ),
    "number of the wrong kind": (["patches", "stride"], 0, "patches.stride is 0"),
    "steps and epochs": (
        ["recipes", "small", "epochs"],
        5,
        "recipes.small needs 'steps' or 'epochs' or 'compute', and only one of them",
    ),
    "unknown parent": (["recipes", "small", "parent"], "big", "recipes.small.parent is 'big'"),
    "keeping without a strength": (
        ["recipes", "small", "keep"],
        {"method": "ewc"},
        "recipes.small.keep lacks the key 'strength'",
    ),
    "strength of a frozen encoder": (
        ["recipes", "small", "keep"],
        {"method": "frozen", "strength": 1},
        "recipes.small.keep.strength means nothing to the method 'frozen'",
    ),
    "patches of another method than ewc": (
        ["recipes", "small", "keep"],
        {"method": "l2sp", "strength": 1, "patches": 8},
        "recipes.small.keep.patches means nothing to the method 'l2sp'",
    ),
    "misspelt way of keeping": (
        ["recipes", "small", "keep"],
        {"method": "l2-sp", "strength": 1},
        "recipes.small.keep.method is 'l2-sp'; did you mean 'l2sp'?",
    ),
    "adapters that keep": (
        ["recipes", "small"],
        {"arch": "cpnet", "steps": 1, "lora": {}, "keep": {"method": "l2sp", "strength": 1}},
        "recipes.small has lora or keep, not both",
    ),
    "unknown recipe to interpolate": (
        ["recipes", "small", "interpolate"],
        {"recipe": "foregroun", "alpha": 0.5},
        "recipes.small.interpolate.recipe is 'foregroun'; did you mean 'foreground'?",
    ),
    "interpolation of itself": (
        ["recipes", "small", "interpolate"],
        {"recipe": "small", "alpha": 0.5},
        "recipes.small.interpolate.recipe is 'small'; recipes cannot be like each other",
    ),
    "interpolation of another network": (
        ["recipes", "small", "interpolate"],
        {"recipe": "foreground", "alpha": 0.5},
        "recipes.small takes the weights of 'foreground' and differs from it in arch, ",
    ),
    "interpolation beyond the child": (
        ["recipes", "small", "interpolate"],
        {"recipe": "foreground", "alpha": 2},
        "recipes.small.interpolate.alpha is 2",
    ),
    "two places for models to come from": (
        ["recipes", "small"],
        {"arch": "cpnet", "steps": 1, "weights": "foreground", "interpolate": {"recipe": "foreground", "alpha": 0}},
        "recipes.small has weights and interpolate",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_wrong_is_told_with_the_culprit(default, root, name):
    path, value, message = PROBLEMS[name]
    with pytest.raises(ConfigError, match=re.escape(message)):
        complete(changed(default, path, value), root)


def test_all_problems_are_told_at_once(default, root):
    config = changed(changed(default, ["patches", "border"], "pads"), ["patches", "strid"], 3)
    with pytest.raises(ConfigError, match="2 problems"):
        complete(config, root)


def test_the_message_names_the_file_a_problem_stands_in(default, root, tmp_path):
    study = tmp_path / "mine.yaml"
    study.write_text("patches: {strid: 3}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{study}: unknown key 'strid'")):
        complete(default | yaml.safe_load(study.read_text()), root, [root / "config/config.yaml", study])


def test_a_misspelt_key_in_a_dataset_file_is_told(default, root, tmp_path):
    shutil.copytree(root / "config/datasets", tmp_path / "config/datasets")
    broken = tmp_path / "config/datasets/synthetic_cyto.yaml"
    broken.write_text(broken.read_text().replace("domain:", "domian:"))
    with pytest.raises(ConfigError, match=r"config/datasets/synthetic_cyto.yaml: unknown key 'domian'"):
        complete(default, tmp_path)
