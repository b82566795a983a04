"""What models are scored on: what some question asks of them, and nothing else; and whose seeds a study knows of."""

import copy

import pytest
from studies import demo

from frugalseg.study.kinds import asked_of, inputs_of, replicated_on, scored_on, scores_of, tuned_on
from frugalseg.study.load import complete

CURVE = {
    "kind": "learning_curve",
    "title": "How many more?",
    "dataset": "cyto",
    "selector": "few",
    "numbers": [2, 4],
    "test": "cyto",
    "recipe": "small",
    "seeds": [0, 1],
}
ONE_SEED = {
    "kind": "claim",
    "text": "It is a gain.",
    "effect": "gain",
    "metric": "dice",
    "test": "histo",
    "recipe": "small",
    "seeds": [0],
    "chains": {"from": "cyto", "to": "cyto_to_histo"},
    "at_least": 0,
}


@pytest.fixture
def study(root):
    config = demo(root)
    config["questions"] = {"more": copy.deepcopy(CURVE), "gains": copy.deepcopy(ONE_SEED)}
    config["figures"] = {}
    return complete(config, root)


def test_a_model_is_scored_on_what_questions_ask_of_it(study):
    scored = scored_on(study)
    assert scored["small", "cyto@few2", 1] == ["cyto"]
    assert scored["small", "cyto_to_histo", 0] == ["histo"]
    # Two questions may ask for the same model.
    assert sorted(scored["small", "cyto", 0]) == ["cyto", "histo"]
    assert tuned_on(study) == {}


def test_the_demo_scores_every_model_as_its_questions_need(root):
    config = complete(demo(root), root)
    scored = scored_on(config)
    for block in asked_of(config).values():
        assert all(test in scored[model] for model, test in scores_of(block, config))
    assert any(len(tests) < len(config["datasets"]) for tests in scored.values())


def test_seeds_are_known_of_models_with_several_on_the_same_test_set(study):
    assert replicated_on("cyto", study) == {
        ("small", chain): [("small", chain, 0), ("small", chain, 1)] for chain in ("cyto@few2", "cyto@few4", "cyto")
    }
    assert replicated_on("histo", study) == {}


def test_answers_with_intervals_read_what_is_known_of_seeds(study):
    answers = asked_of(study)
    inputs = {name: inputs_of(name, block, study) for name, block in answers.items()}
    assert inputs["more"]["seed_variance"] == ["<results>/seed_variance/cyto.csv"]
    assert inputs["verdicts"]["seed_variance"] == ["<results>/seed_variance/histo.csv"]


def test_tables_and_width_scans_do_not(root):
    config = complete(demo(root), root)
    for name, block in asked_of(config).items():
        reads = "seed_variance" in inputs_of(name, block, config)
        assert reads == (block["kind"] not in ("experiment", "widths"))
