"""Blocks of keeping in the config: what is wrong is told, and every model is known to study and plan once."""

import copy

import pytest
from studies import demo

from frugalseg.plan.models import requested_models
from frugalseg.reporting.records import models_of
from frugalseg.study.kinds import scores_of, study_models, tuning_datasets
from frugalseg.study.kinds.keeping import candidates_of, start_of
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

RECIPES = {
    "pulled": {"like": "small", "parent": "small", "keep": {"method": "l2sp", "strength": 0.3}},
    "other-start": {"like": "small", "lr": 0.05},
    "one-start": {"like": "small", "parent": "small", "parent_seed": 0},
    "half": {"interpolate": {"recipe": "small", "alpha": 0.5}},
    "quarter": {"interpolate": {"recipe": "pulled", "alpha": 0.25}},
}
REPLAY = "cyto_to_histo+cyto@dq5x25"
BLOCK = {
    "kind": "keeping",
    "title": "Learn histo, keep cyto",
    "start": "cyto",
    "source": "cyto",
    "target": "histo",
    "recipe": "small",
    "seeds": [0, 1],
    "arms": {
        "naive": [{"chain": "cyto_to_histo"}, {"chain": "cyto_to_histo+cyto"}],
        "replay": [{"chain": REPLAY, "label": "a quarter"}, {"chain": "cyto_to_histo+cyto@dq5"}],
        "in between": [{"chain": "cyto_to_histo", "recipe": "half"}, {"chain": "cyto_to_histo", "recipe": "quarter"}],
        "joint": [{"chain": "cyto+histo"}, {"chain": "cyto+histo@dq10"}],
    },
}


def completed(root, tuning=3, name="keep_cyto", arms=None, **changes):
    default = demo(root)
    default["recipes"] |= RECIPES
    default["tuning"] = tuning
    default["questions"][name] = copy.deepcopy(BLOCK) | changes
    default["questions"][name]["arms"] |= arms or {}
    return complete(default, root)


def test_a_study_without_it_needs_no_tuning_images(root):
    default = demo(root)
    questions = {name: block for name, block in default["questions"].items() if block["kind"] != "keeping"}
    assert not tuning_datasets(complete(default | {"questions": questions, "tuning": 0}, root))


def test_models_are_known_to_the_study_to_the_plan_and_to_the_records(root):
    config = completed(root)
    block = config["questions"]["keep_cyto"]
    assert (block["metric"], block["source_weight"]) == ("pq", 0.5)
    planned = requested_models(config)["keep_cyto"]
    assert planned[:2] == [("small", "cyto", 0), ("small", "cyto", 1)]
    assert ("quarter", "cyto_to_histo", 1) in planned
    assert len(planned) == len(set(planned)) == 2 * (1 + 8)
    models = study_models(config)
    assert set(planned) <= set(models)
    assert len(models) == len(set(models))
    # Behind an interpolation stand the models it lies between.
    assert ("pulled", "cyto_to_histo", 0) in models_of("tables", "keep_cyto", config)
    assert models_of("figures", "keep_cyto", config) == models_of("tables", "keep_cyto", config)


def test_every_model_is_scored_on_both_datasets_and_on_no_other(root):
    block = completed(root)["questions"]["keep_cyto"]
    requests = scores_of(block, {})
    assert requests[:3] == [
        (("small", "cyto", 0), "cyto"),
        (("small", "cyto", 0), "histo"),
        (("small", "cyto", 1), "cyto"),
    ]
    assert len(requests) == len(set(requests)) == 2 * 2 * (1 + 8)


def test_titles_say_which_candidate(root):
    block = completed(root)["questions"]["keep_cyto"]
    titles = [candidate.title for candidate in candidates_of(block)]
    assert titles[2:6] == [
        "replay (a quarter)",
        "replay (cyto_to_histo+cyto@dq5)",
        "in between (cyto_to_histo, half)",
        "in between (cyto_to_histo, quarter)",
    ]
    alone = block | {"arms": {"naive": [{"chain": "cyto_to_histo"}]}}
    assert [candidate.title for candidate in candidates_of(alone)] == ["naive"]
    assert (start_of(block).recipe, start_of(block).chain) == ("small", "cyto")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": 0}, "questions.keep_cyto chooses by tuning images, and none are kept; give the study's 'tuning'"),
        ({"source": "cito"}, "questions.keep_cyto.source is the unknown dataset 'cito'; did you mean 'cyto'?"),
        ({"target": "histoo"}, "questions.keep_cyto.target is the unknown dataset 'histoo'; did you mean 'histo'?"),
        ({"target": "cyto"}, "source and target are both 'cyto'; there is nothing to keep"),
        ({"metric": "hd95"}, "questions.keep_cyto.metric is 'hd95'; choose a score from 0 to 1"),
        ({"source_weight": 1.5}, "questions.keep_cyto.source_weight is 1.5"),
        ({"start": "cito"}, "chain 'cito' names the unknown dataset 'cito'; did you mean 'cyto'?"),
        ({"recipe": "smal"}, "the start names the unknown recipe 'smal'; did you mean 'small'?"),
        ({"sourse": "cyto"}, "unknown key 'sourse' in questions.keep_cyto; did you mean 'source'?"),
        (
            {"arms": {"replay": [{"chain": REPLAY}]}},
            "give all arms the same number of candidates (now: 'naive' 2, 'replay' 1, 'in between' 2, 'joint' 2)",
        ),
        (
            {"arms": {"replay": [{"chain": REPLAY}, {"chain": REPLAY, "recipe": "small"}]}},
            f"the arm 'replay' has {REPLAY!r} by the recipe 'small' twice",
        ),
        (
            {"arms": {"replay": [{"chain": REPLAY, "recipe": "polled"}, {"chain": REPLAY}]}},
            "names the unknown recipe 'polled'; did you mean 'pulled'?",
        ),
        (
            {"arms": {"replay": [{"chain": "cyto_to_histo", "recipe": "foreground"}, {"chain": REPLAY}]}},
            "the recipe 'foreground' of replay (cyto_to_histo, foreground) learns foreground",
        ),
        (
            {"arms": {"replay": [{"chain": "cyto_to_histo", "recipe": "other-start"}, {"chain": REPLAY}]}},
            "is fine-tuned from 'cyto' by the recipe 'other-start' with seed 0, and not from the start, 'cyto' by 'small' with "
            "seed 0; 'parent: small' in its recipe",
        ),
        (
            {"arms": {"replay": [{"chain": "cyto_to_histo", "recipe": "one-start"}, {"chain": REPLAY}]}},
            "is fine-tuned from 'cyto' by the recipe 'small' with seed 0, and not from the start, 'cyto' by 'small' with seed 1",
        ),
        (
            {"arms": {"replay": [{"chain": "multi_to_histo"}, {"chain": REPLAY}]}},
            "is fine-tuned from 'multi' by the recipe 'small' with seed 0, and not from the start",
        ),
        (
            {"arms": {"replay": [{"chain": "cyto_too_histo"}, {"chain": REPLAY}]}},
            "questions.keep_cyto.arms.replay: chain 'cyto_too_histo'",
        ),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    with pytest.raises(ConfigError) as caught:
        completed(root, **changes)
    assert message in str(caught.value)


def test_a_start_further_back_will_do(root):
    chains = [{"chain": "cyto_to_multi_to_histo"}, {"chain": "cyto_to_multi_to_histo", "recipe": "half"}]
    assert completed(root, arms={"replay": chains})
