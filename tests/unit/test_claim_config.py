"""Blocks of claims in the config: what is wrong is told, and every model is known to study and plan once."""

from pathlib import Path

import pytest
import yaml

from frugalseg.plan.models import requested_models
from frugalseg.reporting.records import models_of
from frugalseg.study.answers import VERDICTS
from frugalseg.study.claims import claim_models
from frugalseg.study.experiments import study_models
from frugalseg.study.load import ConfigError, complete

BLOCK = {
    "text": "Fine-tuning forgets.",
    "kind": "loss",
    "metric": "iou",
    "test": "cyto",
    "recipe": "small",
    "seeds": [0, 5],
    "chains": {"before": "cyto", "after": "cyto_to_histo"},
    "at_least": 0.5,
}
DIRECTIONS = {
    "kind": "asymmetry",
    "other_test": "histo",
    "chains": {"before": "cyto", "after": "cyto_to_histo", "other_before": "histo", "other_after": "histo_to_cyto"},
}
#: Keys of the block that the changes of a test take away.
GONE = object()


def completed(root, changes, **others):
    default = yaml.safe_load((root / "config/base.yaml").read_text())
    block = {key: value for key, value in (BLOCK | changes).items() if value is not GONE}
    return complete(default | {"claims": {"forgets": block}} | others, root)


def test_a_study_may_have_no_claims(root):
    default = yaml.safe_load((root / "config/base.yaml").read_text())
    assert complete(default | {"claims": None}, root)["claims"] == {}


def test_models_are_known_to_the_study_and_to_the_plan_each_once(root):
    config = completed(root, DIRECTIONS | {"at_least": 0})
    expected = [("small", chain, seed) for chain in DIRECTIONS["chains"].values() for seed in (0, 5)]
    assert claim_models(config["claims"]) == requested_models(config)[VERDICTS] == expected
    # A table's models come with their parents, and these first.
    assert models_of("tables", VERDICTS, config) == models_of("figures", VERDICTS, config)
    assert set(models_of("tables", VERDICTS, config)) == set(expected)
    models = study_models(config)
    assert len(models) == len(set(models))
    assert set(expected) <= set(models)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "growth"}, "claims.forgets.kind is 'growth'"),
        ({"text": GONE}, "claims.forgets lacks the key 'text'"),
        ({"margn": 1}, "unknown key 'margn' in claims.forgets; did you mean 'margin'?"),
        ({"metric": "dyce"}, "claims.forgets.metric is 'dyce'; did you mean 'dice'?"),
        ({"metric": "gap_closed"}, "claims.forgets.metric is 'gap_closed'"),
        ({"metric": "hd95"}, "claims.forgets.metric is 'hd95'; choose a score from 0 to 1, of which larger is better"),
        ({"recipe": "smal"}, "claims.forgets names the unknown recipe 'smal'; did you mean 'small'?"),
        ({"recipe": "foreground"}, "claims.forgets.recipe 'foreground' learns foreground"),
        ({"test": "cito"}, "claims.forgets names the unknown test 'cito'; did you mean 'cyto'?"),
        (DIRECTIONS | {"other_test": "hist"}, "claims.forgets names the unknown test 'hist'; did you mean 'histo'?"),
        (
            {"chains": {"before": "cyto", "after": "cyto_to_hysto"}},
            "claims.forgets.chains: chain 'cyto_to_hysto' names the unknown dataset 'hysto'; did you mean 'histo'?",
        ),
        ({"chains": {"before": "cyto", "after": "cyto->histo"}}, "'cyto->histo' is not a source"),
        (
            {"chains": {"from": "cyto", "to": "cyto_to_histo"}},
            "claims.forgets.chains: the kind 'loss' needs the parts before, after, and only them; there are: from, to",
        ),
        (
            {"kind": "recovery"},
            "claims.forgets.chains: the kind 'recovery' needs the parts before, after, restored, and only them",
        ),
        (DIRECTIONS | {"other_test": GONE}, "claims.forgets lacks the key 'other_test'"),
        ({"other_test": "histo"}, "claims.forgets.other_test means nothing to the kind 'loss'; take it away"),
        (
            {"at_least": GONE},
            "claims.forgets: the kind 'loss' needs 'at_least' or 'at_most' as its bound, and only one; it has none",
        ),
        ({"at_most": 1}, "and only one; it has 'at_least' and 'at_most'"),
        (
            {"at_least": GONE, "margin": 0.1},
            "needs 'at_least' or 'at_most' as its bound, and only one; it has 'margin'",
        ),
        (
            {"kind": "equal", "chains": {"from": "cyto", "to": "histo"}},
            "the kind 'equal' needs 'margin' as its bound, and only one; it has 'at_least'",
        ),
        ({"margin": 0}, "claims.forgets.margin is 0"),
        ({"published": {"tables": ["I"]}}, "no table of I has iou of 'cyto_to_histo' on cyto, the part 'after'"),
        ({"published": {"tables": ["V"], "metric": "pq"}}, "no table of V has pq of 'cyto' on cyto, the part 'before'"),
        ({"published": {"metric": "iou"}}, "claims.forgets.published.metric means nothing without 'tables'"),
        ({"published": {}}, "claims.forgets.published is {}"),
    ],
)
def test_what_is_wrong_is_told(root, changes, message):
    with pytest.raises(ConfigError) as caught:
        completed(root, changes)
    assert message in str(caught.value)


def test_published_values_need_their_file(root):
    published = {"published": {"tables": ["V"]}}
    with pytest.raises(ConfigError, match="name the file under the key 'published'"):
        completed(root, published, published=None)
    with pytest.raises(ConfigError, match=r"none\.csv: no such file"):
        completed(root, published, published="none.csv")


def test_the_name_of_the_table_of_claims_is_taken(root):
    default = yaml.safe_load((root / "config/base.yaml").read_text())
    default["experiments"][VERDICTS] = default["experiments"]["zero_shot"]
    with pytest.raises(ConfigError, match=r"experiments\.verdicts: this is the name of the table of claims"):
        complete(default, root)


@pytest.mark.parametrize("study", sorted(Path(__file__).resolve().parents[2].glob("config/studies/*.yaml")))
def test_claims_of_the_studies_ask_for_no_model_of_their_own(root, study):
    config = complete(yaml.safe_load(study.read_text()), root)
    assert set(study_models(config)) == set(study_models({**config, "claims": {}}))
