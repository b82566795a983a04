"""Blocks of learning curves in the config: what is wrong is told, and every model is known to study and plan once."""

import pytest
import yaml

from frugalseg.plan.models import requested_models
from frugalseg.reporting.records import models_of
from frugalseg.study.experiments import study_models
from frugalseg.study.load import ConfigError, complete

BLOCK = {
    "title": "How many more?",
    "dataset": "cyto",
    "selector": "few",
    "numbers": [2, 4, 8],
    "test": "cyto",
    "recipe": "small",
    "seeds": [0, 1],
}


def completed(root, **changes):
    default = yaml.safe_load((root / "config/base.yaml").read_text())
    default["learning_curves"] = {changes.pop("name", "more_cyto"): BLOCK | changes}
    return complete(default, root)


def test_a_study_without_learning_curves_has_none(root):
    default = yaml.safe_load((root / "config/base.yaml").read_text())
    default.pop("learning_curves", None)
    config = complete(default, root)
    assert config["learning_curves"] == {}


def test_models_are_known_to_the_study_and_to_the_plan_each_once(root):
    config = completed(root)
    chains = ["cyto@few2", "cyto@few4", "cyto@few8", "cyto"]
    expected = [("small", chain, seed) for chain in chains for seed in (0, 1)]
    assert requested_models(config)["more_cyto"] == expected
    assert models_of("tables", "more_cyto", config) == models_of("figures", "more_cyto", config) == expected
    models = study_models(config)
    assert len(models) == len(set(models))
    assert set(expected) <= set(models)
    assert config["learning_curves"]["more_cyto"]["margin"] == 0.01
    assert config["learning_curves"]["more_cyto"]["metric"] == "ap"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "cito"}, "chain 'cito@few2' names the unknown dataset 'cito'; did you mean 'cyto'?"),
        ({"selector": "fwe"}, "learning_curves.more_cyto names the unknown selector 'fwe'; did you mean 'few'?"),
        ({"recipe": "smal"}, "names the unknown recipe 'smal'; did you mean 'small'?"),
        ({"test": "histoo"}, "names the unknown test 'histoo'; did you mean 'histo'?"),
        ({"metric": "hd95"}, "learning_curves.more_cyto.metric is 'hd95'; choose a score from 0 to 1"),
        ({"recipe": "foreground"}, "learning_curves.more_cyto.recipe 'foreground' learns foreground"),
        ({"selector": "dq", "numbers": [10, 100]}, "numbers has 100; all of the dataset is there anyhow"),
        ({"numbers": [2, 2.5]}, "'cyto@few2.5': 'cyto@few2.5' asks for 2.5 images"),
        ({"margin": 0}, "learning_curves.more_cyto.margin is 0"),
        ({"name": "redundancy"}, "there is a block of this name in experiments; choose another"),
        ({"numberss": [1]}, "unknown key 'numberss' in learning_curves.more_cyto; did you mean 'numbers'?"),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    with pytest.raises(ConfigError) as caught:
        completed(root, **changes)
    assert message in str(caught.value)
