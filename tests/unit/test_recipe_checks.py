"""Recipes that name others, and keys that mean nothing to them: told before anything runs."""

import copy
import re

import pytest
from studies import demo

from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError
from frugalseg.study.recipe import trained_by

UCELL = {"arch": "ucell", "target": "unit_flows", "channels": 3, "crop": 64, "steps": 10, "ucell": {"hidden": 128}}


@pytest.fixture(scope="module")
def default(root):
    return demo(root)


def with_recipes(config, recipes):
    config = copy.deepcopy(config)
    config["recipes"] |= {"net": UCELL, **recipes}
    return config


@pytest.mark.parametrize(
    "recipe",
    [
        UCELL | {"parent": "net", "parent_seed": 0, "lora": {"rank": 4}},
        UCELL | {"weights": "net", "ucell": {"hidden": 128, "cycles": 3, "recursion": "a"}, "batch": 2},
        UCELL | {"optimiser": "adamw", "betas": [0.9, 0.99]},
        UCELL | {"weights": "net", "masks": {"steps": "auto", "min_size": 4, "largest": 1}},
        {"arch": "cpnet", "steps": 10, "lora": {"rank": 4, "layers": ["conv"]}},
    ],
)
def test_recipes_that_go_together_are_accepted(default, root, recipe):
    config = complete(with_recipes(default, {"other": recipe}), root)
    assert config["recipes"]["other"]["arch"] == recipe["arch"]
    assert config["recipes"]["net"]["ucell"]["recursion"] == "default"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (UCELL | {"parent": "nett"}, "recipes.other.parent is 'nett'; did you mean 'net'?"),
        (UCELL | {"weights": "nett"}, "recipes.other.weights is 'nett'; did you mean 'net'?"),
        (
            {"arch": "cpnet", "steps": 10, "ucell": {}},
            "recipes.other.ucell means nothing unless arch is 'ucell'; take it away",
        ),
        ({"arch": "cpnet", "steps": 10, "betas": [0.9, 0.9]}, "means nothing unless optimiser is 'adamw'"),
        (
            UCELL | {"crop": 60},
            "recipes.other.crop is 60; ucell cuts it into tokens of 8 x 8 pixels: make it a multiple of 8",
        ),
        (UCELL | {"ucell": {"hidden": 100}}, "recipes.other.ucell.hidden is 100"),
        (UCELL | {"masks": {"largest": 2}}, "recipes.other.masks.largest is 2"),
        (UCELL | {"ucell": {"recursion": "d"}}, "recipes.other.ucell.recursion is 'd'"),
        (UCELL | {"weights": "net", "steps": 20}, "differs from it in steps; it may differ in how it predicts alone"),
        (UCELL | {"weights": "net", "ucell": {"hidden": 64}}, "differs from it in ucell.hidden"),
        (UCELL | {"weights": "second"}, "recipes.other.weights is 'second', which trains nothing itself; name 'net'"),
    ],
)
def test_recipes_that_do_not_are_refused_with_the_key(default, root, recipe, message):
    recipes = {"second": UCELL | {"weights": "net"}, "other": recipe}
    with pytest.raises(ConfigError, match=re.escape(message)):
        complete(with_recipes(default, recipes), root)


def test_other_masks_ask_for_no_other_training(default, root):
    recipes = complete(with_recipes(default, {"other": UCELL | {"masks": {"flow_threshold": 0}}}), root)["recipes"]
    assert recipes["other"]["masks"] == {"flow_threshold": 0}
    assert "masks" not in recipes["net"]
    assert trained_by(recipes["other"]) == trained_by(recipes["net"])
