"""What networks cost, as fields of an experiment's table."""

import pandas as pd
import pytest

from frugalseg.answers.experiment import add_costs, costs_of
from frugalseg.models.cost import forward_flops, parameters
from frugalseg.reporting.formats import value_text
from frugalseg.study.kinds.experiment import cost_fields, costed_recipes
from frugalseg.training.stage import build_network

BLOCK = {"target": "flows", "channels": 2, "widths": [4, 8], "crop": 32, "batch": 2}
RECIPES = {
    "small": {**BLOCK, "arch": "cpnet"},
    "deep": {**BLOCK, "arch": "ucell", "ucell": {"hidden": 64, "registers": 2, "cycles": 2}},
    "deeper": {**BLOCK, "arch": "ucell", "ucell": {"hidden": 64, "registers": 2, "cycles": 6}},
}
RECIPES["adapted"] = {**RECIPES["deep"], "lora": {"rank": 2, "alpha": 1, "layers": ["mlp"]}}
EXPERIMENT = {
    "chains": ["cyto", {"chain": "cyto", "recipe": "deep"}],
    "recipe": "small",
    "seeds": [0],
    "pivot": {"rows": ["label"], "columns": ["metric"]},
}


def test_costs_are_those_of_the_network_that_the_recipe_builds():
    for recipe in RECIPES.values():
        network = build_network(recipe)
        costs = costs_of(recipe)
        assert costs["parameters"] == parameters(network) == sum(weight.numel() for weight in network.parameters())
        # A megapixel has 1e6 / 32^2 windows.
        assert costs["gigaflops"] == pytest.approx(forward_flops(network, 32) * (1e6 / 32**2) / 1e9)


def test_recursion_costs_operations_and_no_parameters_and_adapters_nothing():
    deep, deeper, adapted = (costs_of(RECIPES[name]) for name in ("deep", "deeper", "adapted"))
    assert deep["parameters"] == deeper["parameters"]
    assert 2 * deep["gigaflops"] < deeper["gigaflops"] < 3 * deep["gigaflops"]
    assert adapted == deep


def test_every_row_has_the_costs_of_its_recipe():
    table = pd.DataFrame({"recipe": ["deep", "small", "deep"], "mean": [0.1, 0.2, 0.3]})
    with_costs = add_costs(table, ["gigaflops"], RECIPES)
    assert list(with_costs.columns) == ["recipe", "mean", "gigaflops"]
    assert with_costs["gigaflops"].tolist() == [costs_of(RECIPES[name])["gigaflops"] for name in table["recipe"]]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"figure": {"kind": "curve", "x": "parameters", "metrics": ["pq"]}}, ["parameters"]),
        ({"figure": {"kind": "bars", "x": "label", "hue": ["gigaflops", "test"], "metrics": ["pq"]}}, ["gigaflops"]),
        ({"pivot": {"rows": ["gigaflops"], "columns": ["metric", "parameters"]}}, ["parameters", "gigaflops"]),
    ],
)
def test_costs_are_counted_only_where_an_experiment_asks_for_them(changes, fields):
    experiment = {**EXPERIMENT, **changes}
    assert cost_fields(experiment) == fields
    assert list(costed_recipes(experiment, RECIPES)) == (["small", "deep"] if fields else [])


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("parameters", 7_180_800, "7.18 M"),
        ("parameters", 1_200_000, "1.2 M"),
        ("parameters", 118_432, "118 k"),
        ("parameters", 999_700, "1 M"),
        ("parameters", 640, "640"),
        ("gigaflops", 0.4567, "0.457"),
        ("gigaflops", 99.7, "99.7"),
        ("gigaflops", 6311.4, "6,311"),
        ("rate", 10.0, "10"),
    ],
)
def test_costs_are_written_for_people(field, value, text):
    assert value_text(field, value) == text
