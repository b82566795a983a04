"""Blocks of claims in the config: what is wrong is told, and every model is known to study and plan once."""

from pathlib import Path

import pytest
import yaml
from studies import demo

from frugalseg.plan.models import requested_models
from frugalseg.reporting.records import models_of as models_behind
from frugalseg.study.kinds import VERDICTS, asked_of, models_of, study_models
from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError

BLOCK = {
    "text": "Fine-tuning forgets.",
    "kind": "claim",
    "effect": "loss",
    "metric": "iou",
    "test": "cyto",
    "recipe": "small",
    "seeds": [0, 5],
    "chains": {"before": "cyto", "after": "cyto_to_histo"},
    "at_least": 0.5,
}
DIRECTIONS = {
    "effect": "asymmetry",
    "other_test": "histo",
    "chains": {"before": "cyto", "after": "cyto_to_histo", "other_before": "histo", "other_after": "histo_to_cyto"},
}
#: Keys of the block that the changes of a test take away.
GONE = object()


def completed(root, changes, **others):
    study = demo(root)
    others_too = {name: block for name, block in study["questions"].items() if block["kind"] != "claim"}
    block = {key: value for key, value in (BLOCK | changes).items() if value is not GONE}
    study |= {"questions": others_too | {"forgets": block}} | others
    return complete({key: value for key, value in study.items() if value is not GONE}, root)


def test_a_study_may_have_no_claims(root):
    study = demo(root)
    questions = {name: block for name, block in study["questions"].items() if block["kind"] != "claim"}
    assert VERDICTS not in asked_of(complete(study | {"questions": questions}, root))


def test_models_are_known_to_the_study_and_to_the_plan_each_once(root):
    config = completed(root, DIRECTIONS | {"at_least": 0})
    expected = [("small", chain, seed) for chain in DIRECTIONS["chains"].values() for seed in (0, 5)]
    assert models_of(asked_of(config)[VERDICTS], config) == requested_models(config)[VERDICTS] == expected
    # A table's models come with their parents, and these first.
    assert models_behind("tables", VERDICTS, config) == models_behind("figures", VERDICTS, config)
    assert set(models_behind("tables", VERDICTS, config)) == set(expected)
    models = study_models(config)
    assert len(models) == len(set(models))
    assert set(expected) <= set(models)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"effect": "growth"}, "questions.forgets.effect is 'growth'"),
        ({"text": GONE}, "questions.forgets lacks the key 'text'"),
        ({"margn": 1}, "unknown key 'margn' in questions.forgets; did you mean 'margin'?"),
        ({"metric": "dyce"}, "questions.forgets.metric is 'dyce'; did you mean 'dice'?"),
        ({"metric": "gap_closed"}, "questions.forgets.metric is 'gap_closed'"),
        (
            {"metric": "hd95"},
            "questions.forgets.metric is 'hd95'; choose a score from 0 to 1, of which larger is better",
        ),
        ({"recipe": "smal"}, "questions.forgets names the unknown recipe 'smal'; did you mean 'small'?"),
        ({"recipe": "foreground"}, "questions.forgets.recipe 'foreground' learns foreground"),
        ({"test": "cito"}, "questions.forgets names the unknown test 'cito'; did you mean 'cyto'?"),
        (DIRECTIONS | {"other_test": "hist"}, "questions.forgets names the unknown test 'hist'; did you mean 'histo'?"),
        (
            {"chains": {"before": "cyto", "after": "cyto_to_hysto"}},
            "questions.forgets.chains: chain 'cyto_to_hysto' names the unknown dataset 'hysto'; did you mean 'histo'?",
        ),
        ({"chains": {"before": "cyto", "after": "cyto->histo"}}, "'cyto->histo' is not a source"),
        (
            {"chains": {"from": "cyto", "to": "cyto_to_histo"}},
            "questions.forgets.chains: the effect 'loss' needs the parts before, after, and only them; there are: from, to",
        ),
        (
            {"effect": "recovery"},
            "questions.forgets.chains: the effect 'recovery' needs the parts before, after, restored, and only them",
        ),
        (DIRECTIONS | {"other_test": GONE}, "questions.forgets lacks the key 'other_test'"),
        ({"other_test": "histo"}, "questions.forgets.other_test means nothing to the effect 'loss'; take it away"),
        (
            {"at_least": GONE},
            "questions.forgets: the effect 'loss' needs 'at_least' or 'at_most' as its bound, and only one; it has none",
        ),
        ({"at_most": 1}, "and only one; it has 'at_least' and 'at_most'"),
        (
            {"at_least": GONE, "margin": 0.1},
            "needs 'at_least' or 'at_most' as its bound, and only one; it has 'margin'",
        ),
        (
            {"effect": "equal", "chains": {"from": "cyto", "to": "histo"}},
            "the effect 'equal' needs 'margin' as its bound, and only one; it has 'at_least'",
        ),
        ({"margin": 0}, "questions.forgets.margin is 0"),
        ({"published": {"tables": ["I"]}}, "no table of I has iou of 'cyto_to_histo' on cyto, the part 'after'"),
        ({"published": {"tables": ["V"], "metric": "pq"}}, "no table of V has pq of 'cyto' on cyto, the part 'before'"),
        ({"published": {"metric": "iou"}}, "questions.forgets.published.metric means nothing without 'tables'"),
        ({"published": {}}, "questions.forgets.published is {}"),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    with pytest.raises(ConfigError) as caught:
        completed(root, changes)
    assert message in str(caught.value)


def test_published_values_need_their_file(root):
    published = {"published": {"tables": ["V"]}}
    with pytest.raises(ConfigError, match="name the file under the key 'published'"):
        completed(root, published, published=GONE)
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        completed(root, published, published="none.csv")


def test_the_name_of_the_table_of_claims_is_taken(root):
    study = demo(root)
    study["questions"][VERDICTS] = study["questions"]["zero_shot"]
    with pytest.raises(ConfigError, match=r"questions\.verdicts: this is the name of the table of claims"):
        complete(study, root)


@pytest.mark.parametrize("study", sorted(Path(__file__).resolve().parents[2].glob("config/studies/*.yaml")))
def test_claims_of_the_studies_ask_for_no_model_of_their_own(root, study):
    config = complete(yaml.safe_load(study.read_text()), root)
    others = {name: block for name, block in config["questions"].items() if block["kind"] != "claim"}
    assert set(study_models(config)) == set(study_models({**config, "questions": others}))
