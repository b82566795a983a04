"""Recipes that are like others."""

from __future__ import annotations

import re

import pytest
from studies import demo

from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError
from frugalseg.study.recipe import RecipeError, resolve

NET = {"arch": "ucell", "steps": 10, "lr": 0.1, "ucell": {"hidden": 128, "registers": 4}}


@pytest.mark.parametrize("key", [{"like": "net"}, {"weights": "net"}, {"interpolate": {"recipe": "net", "alpha": 0.5}}])
def test_a_recipe_has_the_keys_of_the_one_it_names_and_its_own_laid_over_them(key):
    recipes = resolve({"net": NET, "other": {**key, "lr": 0.2, "ucell": {"registers": 8}}})
    own = {name: value for name, value in key.items() if name != "like"}
    expected = {"arch": "ucell", "steps": 10, "lr": 0.2, "ucell": {"hidden": 128, "registers": 8}} | own
    assert recipes == {"net": NET, "other": expected}


def test_a_study_that_changes_a_recipe_changes_those_that_are_like_it_in_turn():
    recipes = {"net": NET, "second": {"like": "net", "steps": 5}, "third": {"like": "second", "lr": 1}}
    changed = {**recipes, "net": NET | {"lr": 7, "steps": 8}}
    assert resolve(recipes)["third"] == NET | {"steps": 5, "lr": 1}
    assert resolve(changed)["second"]["lr"] == 7
    assert resolve(changed)["third"] == NET | {"steps": 5, "lr": 1}


def test_like_counts_before_the_recipe_whose_weights_are_taken():
    recipes = {"net": NET, "fast": NET | {"batch": 2}, "other": {"like": "fast", "weights": "net"}}
    assert resolve(recipes)["other"] == NET | {"batch": 2, "weights": "net"}


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ({"net": NET, "other": {"like": "nett"}}, "recipes.other.like is 'nett'"),
        ({"net": {"like": "net"}}, "recipes.net.like is 'net'"),
        ({"net": {"like": "other"}, "other": {"like": "net"}}, "like is"),
    ],
)
def test_a_recipe_that_is_like_none_is_refused(recipes, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        resolve(recipes)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"like": "smal"}, "recipes.other.like is 'smal'; did you mean 'small'?"),
        ({"like": "other"}, "recipes.other.like is 'other'; recipes cannot be like each other"),
        ({"like": "small", "lr": "much"}, "recipes.other.lr is 'much'"),
    ],
)
def test_the_config_says_which_recipe_is_wrong(root, other, message):
    config = demo(root)
    config["recipes"]["other"] = other
    with pytest.raises(ConfigError, match=re.escape(message)):
        complete(config, root)


def test_a_recipe_of_another_length_keeps_none_of_the_one_it_is_like(root):
    config = demo(root)
    config["recipes"]["other"] = {"like": "small", "compute": 2}
    other = complete(config, root)["recipes"]["other"]
    assert other["compute"] == 2
    assert "steps" not in other
    assert "like" not in other
