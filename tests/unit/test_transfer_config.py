"""Blocks of transfer matrices in the config: what is wrong is told, and every model is known to study and plan once."""

import pytest
from studies import demo

from frugalseg.plan.models import requested_models, steps_of
from frugalseg.reporting.methods import to_markdown
from frugalseg.reporting.records import models_of
from frugalseg.study.kinds import study_models
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

BLOCK = {
    "kind": "transfer",
    "title": "What is forgotten?",
    "chains": ["cyto_to_histo_to_multi"],
    "recipe": "small",
    "seeds": [0, 1],
}


def completed(root, recipes=None, **changes):
    default = demo(root)
    default["questions"].pop("orders")
    default["questions"]["paths"] = BLOCK | changes
    default["recipes"] |= recipes or {}
    return complete(default, root)


def test_a_study_without_transfer_matrices_has_none(root):
    default = demo(root)
    default["questions"].pop("orders")
    config = complete(default, root)
    assert not any("untrained" in name for name in config["recipes"])
    assert "Lopez-Paz" not in to_markdown(config)


def test_all_stages_and_the_untrained_network_are_models_of_study_and_plan(root):
    config = completed(root)
    stages = [
        ("small-untrained", "cyto"),
        ("small", "cyto"),
        ("small", "cyto_to_histo"),
        ("small", "cyto_to_histo_to_multi"),
    ]
    expected = [(*stage, seed) for seed in (0, 1) for stage in stages]
    assert requested_models(config)["paths"] == expected
    assert set(models_of("tables", "paths", config)) == set(models_of("figures", "paths", config)) == set(expected)
    models = study_models(config)
    assert len(models) == len(set(models))
    assert set(expected) <= set(models)
    assert config["questions"]["paths"]["metric"] == "pq"
    assert steps_of(("small-untrained", "cyto", 0), config, {}) == 0
    text = to_markdown(config)
    assert "Along one chain the models of all stages were scored on every dataset" in text
    assert "Chance is a network at its random start, before any step." in text
    assert "small-untrained" not in text


def test_after_pre_training_no_untrained_network_is_needed(root):
    config = completed(root, reference="start")
    assert not any("untrained" in recipe for recipe, _, _ in requested_models(config)["paths"])
    assert "Chance is the model after the first stage, which counts as pre-training." in to_markdown(config)


@pytest.mark.parametrize("length", [{"epochs": 3}, {"compute": 1}])
def test_an_untrained_network_takes_no_step_however_long_its_recipe_trains(root, length):
    config = completed(root, recipes={"other": {"like": "small", **length}}, recipe="other")
    recipe = config["recipes"]["other-untrained"]
    assert recipe["steps"] == 0
    assert not {"epochs", "compute"} & recipe.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chains": ["cito_to_histo"]}, "names the unknown dataset 'cito'; did you mean 'cyto'?"),
        ({"recipe": "smal"}, "questions.paths names the unknown recipe 'smal'; did you mean 'small'?"),
        ({"recipe": "foreground"}, "questions.paths.recipe 'foreground' learns foreground"),
        ({"metric": "hd95"}, "questions.paths.metric is 'hd95'; choose a score from 0 to 1"),
        ({"chains": ["cyto"]}, "the chain 'cyto' has 1 stage; transfer needs two or more"),
        (
            {"chains": ["cyto_to_histo"], "reference": "start"},
            "has 1 stage, not counting the first, which is the reference",
        ),
        (
            {"chains": ["cyto_to_histo_to_cyto"]},
            "the stage 'cyto' of the chain 'cyto_to_histo_to_cyto' learns no dataset that",
        ),
        ({"recipes": {"small-untrained": {"like": "small"}}}, "'small-untrained', as one of the recipes is called"),
        ({"recipes": {"seen": {"weights": "small"}}, "recipe": "seen"}, "'seen' trains nothing itself; name 'small'"),
        ({"refrence": "start"}, "unknown key 'refrence' in questions.paths; did you mean 'reference'?"),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    with pytest.raises(ConfigError) as caught:
        completed(root, **changes)
    assert message in str(caught.value)
