"""Experiments: patterns filled in from lists."""

import pytest

from frugalseg.study.kinds import study_models
from frugalseg.study.kinds.experiment import expand, requests
from frugalseg.study.lineage import child_of, made_from, parent_of, trained_as

EXPERIMENT = {
    "chains": [
        "cyto@{selector}{rate}",
        {"chain": "cyto@random{rate}", "fields": {"selector": "lots"}, "seeds": [0, 1], "label": "{rate} % by lot"},
        {"chain": "cyto", "fields": {"rate": 100}},
    ],
    "lists": {"selector": ["dq", "kcenter"], "rate": [1, 10]},
    "tests": ["cyto", "histo"],
    "recipe": "small",
    "seeds": [7],
}


def test_a_pattern_stands_for_every_combination_of_its_lists():
    entries = expand(EXPERIMENT)
    assert [entry.chain for entry in entries] == [
        "cyto@dq1",
        "cyto@dq10",
        "cyto@kcenter1",
        "cyto@kcenter10",
        "cyto@random1",
        "cyto@random10",
        "cyto",
    ]
    assert entries[1].fields == {"selector": "dq", "rate": 10, "label": "cyto@dq10"}
    assert entries[5].fields == {"selector": "lots", "rate": 10, "label": "10 % by lot"}
    assert [entry.seeds for entry in entries] == [(7,)] * 4 + [(0, 1)] * 2 + [(7,)]


def test_each_model_is_listed_once_whatever_number_of_experiments_use_it():
    questions = {name: {"kind": "experiment", **EXPERIMENT} for name in ("one", "other")}
    study = {
        "questions": questions,
        "figures": {},
        "recipes": {"small": {}},
        "selectors": {name: {"method": "few"} for name in ("dq", "kcenter", "random")},
    }
    assert len(study_models(study)) == 4 + 2 * 2 + 1


def test_requests_name_every_metrics_file_in_order():
    wanted = [(entry.chain, seed, test) for entry, seed, test in requests(EXPERIMENT)]
    assert wanted[:2] == [("cyto@dq1", 7, "cyto"), ("cyto@dq1", 7, "histo")]
    assert len(wanted) == 2 * (4 + 4 + 1)


def test_a_placeholder_without_a_list_is_refused():
    with pytest.raises(ValueError, match=r"'cyto@dq\{percent\}' has no list for \{percent\}"):
        expand({**EXPERIMENT, "chains": ["cyto@dq{percent}"]})


RECIPES = {
    "small": {},
    "kept": {"parent": "small", "parent_seed": 5},
    "between": {"interpolate": {"recipe": "kept", "alpha": 0.5}},
    "shown": {"weights": "between"},
    "after": {"parent": "between"},
}


@pytest.mark.parametrize(
    ("model", "sources"),
    [
        (("small", "a", 0), []),
        (("small", "a_to_b", 0), [("small", "a", 0)]),
        (("kept", "a_to_b", 0), [("small", "a", 5)]),
        # Between the child that its recipe names and that child's parent.
        (("between", "a_to_b", 0), [("small", "a", 5), ("kept", "a_to_b", 0)]),
        (("shown", "a_to_b", 0), [("small", "a", 5), ("kept", "a_to_b", 0)]),
        (("after", "a_to_b_to_c", 0), [("between", "a_to_b", 0)]),
        (("after", "a_to_b", 0), [("kept", "a", 0)]),
    ],
)
def test_models_are_made_from_their_parents_and_interpolated_ones_from_their_child_too(model, sources):
    assert made_from(model, RECIPES) == sources
    assert parent_of(model, RECIPES) == (sources[0] if sources else None)


def test_an_interpolated_first_stage_is_that_of_the_recipe_it_names():
    for recipe in ("kept", "between", "shown"):
        assert trained_as((recipe, "a", 0), RECIPES) == ("kept", "a", 0)
    assert trained_as(("shown", "a_to_b", 0), RECIPES) == ("between", "a_to_b", 0)
    assert child_of(("between", "a", 0), RECIPES) is None
