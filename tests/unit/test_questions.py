"""Questions: a template of config/questions is filled in by a study, or a block is written out."""

import pytest
import yaml

from frugalseg.study.load import complete
from frugalseg.study.messages import ConfigError
from frugalseg.study.questions import QuestionError, written_out

KEYS = {"experiment": ["title", "chains", "lists", "figure", "seeds"]}
TEMPLATE = """
kind: experiment
required: [dataset]
parameters: {rates: [1, 10], test: "{dataset}"}
question:
  title: "{dataset} at rising rates, tested on {test}"
  chains: ["{dataset}@dq{rate}", {chain: "{dataset}", fields: {rate: 100}}]
  lists: {rate: "{rates}"}
  figure: {kind: curve, x: rate}
"""


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "config/questions").mkdir(parents=True)
    (tmp_path / "config/questions/redundancy.yaml").write_text(TEMPLATE)
    return tmp_path


def test_a_template_is_filled_in_and_chain_patterns_keep_their_braces(repository):
    block = written_out({"redundancy": {"dataset": "cyto", "rates": [5]}}, KEYS, repository)["redundancy"]
    assert block == {
        "kind": "experiment",
        "title": "cyto at rising rates, tested on cyto",
        "chains": ["cyto@dq{rate}", {"chain": "cyto", "fields": {"rate": 100}}],
        "lists": {"rate": [5]},
        "figure": {"kind": "curve", "x": "rate"},
    }


def test_a_question_under_another_name_asks_a_template_and_keys_of_the_block_are_laid_over_it(repository):
    given = {"ask": "redundancy", "dataset": "histo", "seeds": [3], "figure": {"x": "label"}}
    block = written_out({"redundancy_histo": given}, KEYS, repository)["redundancy_histo"]
    assert block["title"].startswith("histo")
    assert block["seeds"] == [3]
    assert block["figure"] == {"kind": "curve", "x": "label"}


def test_a_block_with_a_kind_is_taken_as_it_is(repository):
    block = {"kind": "experiment", "title": "{dataset}"}
    assert written_out({"own": block}, KEYS, repository) == {"own": block}


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ({"redundancy": {}}, "lacks the key 'dataset'"),
        ({"redundancy": {"dataset": "cyto", "rate": [5]}}, "unknown key 'rate' in questions.redundancy; did you mean 'rates'?"),
        ({"redundency": {"dataset": "cyto"}}, "did you mean 'redundancy'?"),
        ({"own": {"ask": "redundency", "dataset": "cyto"}}, "questions.own.ask is 'redundency'; did you mean 'redundancy'?"),
        ({"own": {"kind": "experment"}}, "unknown kind 'experment'; did you mean 'experiment'?"),
        ({"redundancy": None}, "questions.redundancy is None; write its keys"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_question_is_said_with_the_nearest_name(repository, questions, message):
    with pytest.raises(QuestionError) as error:
        written_out(questions, KEYS, repository)
    assert message in str(error.value)


def test_a_study_has_the_shared_recipes_and_selectors_that_it_uses_and_no_others(root):
    study = {
        "study": "small",
        "datasets": {"cyto": "synthetic_cyto"},
        "recipes": {"fast": {"like": "small", "lr": 0.3}, "small": {"like": "small", "steps": 10}},
        "questions": {"redundancy": {"dataset": "cyto", "recipe": "fast"}},
    }
    config = complete(study, root)
    assert list(config["selectors"]) == ["dq"]
    assert set(config["recipes"]) == {"small", "fast"}
    assert config["recipes"]["fast"]["steps"] == config["recipes"]["small"]["steps"] == 10


def test_a_problem_in_a_question_is_told_with_its_file(root, tmp_path):
    file = tmp_path / "study.yaml"
    study = {
        "study": "small",
        "datasets": {"cyto": "synthetic_cyto"},
        "questions": {"redundancy": {"dataset": "cito"}},
    }
    file.write_text(yaml.safe_dump(study))
    with pytest.raises(ConfigError) as error:
        complete(study, root, [file])
    assert f"{file}: " in str(error.value)
    assert "did you mean 'cyto'?" in str(error.value)


def test_every_template_is_listed_with_what_it_asks(root):
    page = (root / "config/README.md").read_text()
    for path in (root / "config/questions").glob("*.yaml"):
        asks = path.read_text().splitlines()[0].removeprefix("# ")
        assert f"| `{path.stem}` | {yaml.safe_load(path.read_text())['kind']} | {asks} |" in page
