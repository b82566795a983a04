"""The config reference and the schema for editors, and the classes that both are made from."""

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from jsonschema import Draft202012Validator

from frugalseg.study.keys import Keys, Seeds, key, like, number, some, whole
from frugalseg.study.reference import EDITORS, PAGE, for_editors, reference, schema_of, type_of
from frugalseg.study.study import Study

ROOT = Path(__file__).parents[2]
STUDIES = [
    ROOT / "config/config.yaml",
    ROOT / "tests/workflow/tiny.yaml",
    *sorted((ROOT / "config/studies").glob("*.yaml")),
]


def test_the_page_in_docs_is_what_the_classes_say(root):
    assert (root / PAGE).read_text() == reference(), "the classes have changed: make docs"


def test_the_schema_for_editors_is_what_classes_and_templates_say(root):
    assert json.loads((root / EDITORS).read_text()) == for_editors(root), "classes or templates have changed: make docs"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_editors_find_nothing_wrong_with_the_studies(root, path):
    schema = json.loads((root / EDITORS).read_text())
    Draft202012Validator.check_schema(schema)
    found = Draft202012Validator(schema).iter_errors(yaml.safe_load(path.read_text()))
    assert [error.message for error in found] == []


def test_editors_mark_a_key_that_no_template_has(root):
    study = {
        "study": "s",
        "datasets": {"cyto": "synthetic_cyto"},
        "questions": {"redundancy": {"dataset": "cyto", "rate": 1}},
    }
    found = list(Draft202012Validator(for_editors(root)).iter_errors(study))
    assert len(found) == 1
    assert any("'rate' was unexpected" in error.message for error in found[0].context)


def test_every_key_is_described():
    # Of splits the class says once what they are, and then what each reader makes of them.
    for line in reference().splitlines():
        if line.startswith("| `"):
            assert not line.endswith("|  |"), line


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (whole(ge=2, le=5), "integer ≥ 2, ≤ 5"),
        (number(gt=0, lt=0.5), "number > 0, < 0.5"),
        (Literal["a", "b", "c"], "`a`, `b` or `c`"),
        (like("^(a|b)$", "a or b"), "text like `^(a|b)$`"),
        (some(bool, 2, 2), "list of 2 (true or false)"),
        (Annotated[str | list[str], None], "text or list of text"),
        (Literal["grey"] | int, "`grey` or integer"),
        (Seeds, "list of 1 or more different (integer ≥ 0)"),
        (dict[str, str], "NAME: text"),
        (int | None, "integer"),
    ],
)
def test_types_and_bounds_are_told_in_words(kind, words):
    class Block(Keys):
        """A block."""

        one: kind = key("One.")

    schema = schema_of(Block)
    assert type_of(schema["properties"]["one"], schema.get("$defs", {})) == words


def test_what_may_be_left_out_is_never_null():
    assert "null" not in json.dumps(schema_of(Study))
