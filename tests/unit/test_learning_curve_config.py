"""Blocks of learning curves in the config: what is wrong is told, and every model is known to study and plan once."""

import pytest
from studies import demo

from frugalseg.plan.models import requested_models
from frugalseg.reporting.records import models_of
from frugalseg.study.kinds import study_models
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

BLOCK = {
    "kind": "learning_curve",
    "title": "How many more?",
    "dataset": "cyto",
    "selector": "few",
    "numbers": [2, 4, 8],
    "test": "cyto",
    "recipe": "small",
    "seeds": [0, 1],
}


def completed(root, **changes):
    default = demo(root)
    default["questions"]["more_cyto"] = BLOCK | changes
    return complete(default, root)


def test_models_are_known_to_the_study_and_to_the_plan_each_once(root):
    config = completed(root)
    chains = ["cyto@few2", "cyto@few4", "cyto@few8", "cyto"]
    expected = [("small", chain, seed) for chain in chains for seed in (0, 1)]
    assert requested_models(config)["more_cyto"] == expected
    assert models_of("tables", "more_cyto", config) == models_of("figures", "more_cyto", config) == expected
    models = study_models(config)
    assert len(models) == len(set(models))
    assert set(expected) <= set(models)
    assert config["questions"]["more_cyto"]["margin"] == 0.01
    assert config["questions"]["more_cyto"]["metric"] == "ap"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "cito"}, "chain 'cito@few2' names the unknown dataset 'cito'; did you mean 'cyto'?"),
        ({"selector": "fwe"}, "questions.more_cyto names the unknown selector 'fwe'; did you mean 'few'?"),
        ({"recipe": "smal"}, "names the unknown recipe 'smal'; did you mean 'small'?"),
        ({"test": "histoo"}, "names the unknown test 'histoo'; did you mean 'histo'?"),
        ({"metric": "hd95"}, "questions.more_cyto.metric is 'hd95'; choose a score from 0 to 1"),
        ({"recipe": "foreground"}, "questions.more_cyto.recipe 'foreground' learns foreground"),
        ({"selector": "dq", "numbers": [10, 100]}, "numbers has 100; all of the dataset is there anyhow"),
        ({"numbers": [2, 2.5]}, "'cyto@few2.5': 'cyto@few2.5' asks for 2.5 images"),
        ({"margin": 0}, "questions.more_cyto.margin is 0"),
        ({"numberss": [1]}, "unknown key 'numberss' in questions.more_cyto; did you mean 'numbers'?"),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    with pytest.raises(ConfigError) as caught:
        completed(root, **changes)
    assert message in str(caught.value)
